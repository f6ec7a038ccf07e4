"""A model bundle on disk: what is read, what is checked, and why one is refused.

A bundle holds the fine net, which draws outlines, and may hold a context net beside it, which sees
more of the patient at coarser voxels: where the spine is, and which vertebra is which.

The folder has the shape of a MONAI bundle. Only JSON values and safetensors files are read: no
pickle is opened and no text of a configuration is ever run as code. No torch until `network`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spine_node.errors import BundleRefused
from spine_node.segmentation.architecture import NAME, Architecture
from spine_node.segmentation.classes import LEVEL_CLASSES, SPINE, Scheme, Structure
from spine_node.segmentation.segmenter import ModelIdentity

if TYPE_CHECKING:
    from torch import Tensor

    from spine_node.segmentation.networks import SpineNet

_HOMES = (Path(__file__).parents[2] / "models", Path(sys.prefix) / "share" / "spine-node" / "models")
DEFAULT_BUNDLE = next((home for home in _HOMES if home.is_dir()), _HOMES[0]) / "spinenet"
"""The bundle that comes with the project: beside the package in a checkout, under share/ when installed."""

METADATA = Path("configs/metadata.json")
INFERENCE = Path("configs/inference.json")
CARD = Path("docs/README.md")
WEIGHTS = Path("models/model.safetensors")

Role = Literal["fine", "context"]
"""What a net is there for."""

WEIGHTS_OF: dict[Role, Path] = {"fine": WEIGHTS, "context": Path("models/context.safetensors")}
"""Where each net's weights lie. The context net's entries are those of the fine net, in an object
`context` of both configurations."""

SPACINGS_MM = (0.5, 8.0)
"""Range of net spacings that make sense: outside it the metadata are wrong, not bold."""

AXES = "z,y,x"
"""Order of the net's array axes: cranial, posterior, left (LPS)."""


@dataclass(frozen=True, slots=True)
class Net:
    """One net of a bundle, verified.

    Attributes
    ----------
    weights : Path
        Its safetensors file.
    sha256 : str
        Of that file.
    architecture : Architecture
    spacing_mm : float
        Edge of the net's voxels.
    patch : tuple of int
        Window of one pass, voxels (z, y, x).
    overlap : float
        Share of a window that its neighbour covers too.
    """

    weights: Path
    sha256: str
    architecture: Architecture
    spacing_mm: float
    patch: tuple[int, int, int]
    overlap: float

    def network(self) -> SpineNet:
        """The net with its weights, float32, ready to infer.

        Raises
        ------
        BundleRefused
            If the weights do not fit the architecture that the metadata name.
        """
        from safetensors.torch import load_file

        from spine_node.segmentation.networks import SpineNet

        try:
            network = SpineNet(self.architecture)
            network.load_state_dict({k: v.float() for k, v in load_file(self.weights).items()})
        except (TypeError, KeyError, RuntimeError, ValueError) as error:
            raise BundleRefused(
                f"the weights in {self.weights} do not fit the architecture that "
                f"{METADATA} names ({self.architecture}): {str(error)[:300]}"
            ) from error
        return network.eval()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was verified.

    Attributes
    ----------
    folder : Path
    identity : ModelIdentity
        Name, version and SHA-256. With one net the SHA-256 is that of its weights file. With two it
        covers both: it is that of their checksums as `sha256sum models/model.safetensors
        models/context.safetensors` prints them, so that whoever trains one of them again has
        another model.
    fine : Net
        Draws the outlines.
    context : Net or None
        Finds the spine and tells which level a body is; only for the spine.
    scheme : Scheme
        What its label maps hold; `scheme.spine` says whether the node can measure them.
    """

    folder: Path
    identity: ModelIdentity
    fine: Net
    context: Net | None = None
    scheme: Scheme = SPINE

    @property
    def is_spine(self) -> bool:
        """Whether this segments the spine with its levels, and so can be measured by the node."""
        return self.scheme.spine


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle.

    Raises
    ------
    BundleRefused
        If a file is missing or unreadable, weights are not those that the metadata name, the
        channel map is missing or other than this software's, or spacing, axes or architecture of a
        net are not usable.
    """
    folder = Path(folder)
    metadata, inference = (read_json(folder, name) for name in (METADATA, INFERENCE))
    scheme = _scheme(folder, metadata)
    _check_channels(folder, metadata, scheme)
    if "network" not in metadata and "context" in metadata:
        raise BundleRefused(
            f"{folder} holds a context net only: it finds the spine, but nothing in it draws outlines. Train "
            'and export the fine net (role = "fine") into the same folder. Nothing was loaded.'
        )
    fine = _net(folder, "fine", metadata, inference, scheme)
    context = _context(folder, metadata, inference, scheme)
    identity = ModelIdentity(
        _entry(folder, metadata, "name", str),
        _entry(folder, metadata, "version", str),
        _digest(fine, context),
    )
    return Bundle(folder, identity, fine, context, scheme)


def start_weights(folder: Path, role: Role) -> tuple[Architecture, dict[str, Tensor]]:
    """What one net of a bundle has learned, to train it further; the other one need not be there.

    Returns
    -------
    Architecture
    dict of str to Tensor
        Its weights, float32, as `SpineNet.load_state_dict` takes them.

    Raises
    ------
    BundleRefused
        If the bundle has no such net, or it cannot be trusted or used.
    """
    folder = Path(folder)
    metadata, inference = (read_json(folder, name) for name in (METADATA, INFERENCE))
    if role not in nets_in(metadata):
        raise BundleRefused(f"{folder} holds no {role} net: there is nothing to start from.")
    net = _net(folder, role, metadata, inference, _scheme(folder, metadata))
    return net.architecture, dict(net.network().state_dict())


def nets_in(metadata: dict[str, Any]) -> dict[Role, dict[str, Any]]:
    """The entries of each net that a bundle's metadata describe: network, spacing_mm, training."""
    nets: dict[Role, dict[str, Any]] = {"fine": metadata} if "network" in metadata else {}
    return nets | ({"context": metadata["context"]} if "context" in metadata else {})


def learned_from(net: dict[str, Any]) -> list[str]:
    """Whose data a net of `nets_in` learned from, in words; metadata of earlier versions had one entry."""
    training = net.get("training", {})
    return list(training.get("data") or filter(None, [training.get("real_data")]))


def read_json(folder: Path, name: Path, weights: str = str(WEIGHTS)) -> dict[str, Any]:
    """The JSON object of one of a bundle's files; `weights` is what a refusal says was expected beside it."""
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleRefused(
            f"{folder} is not a model bundle: {name} cannot be read ({error}). A folder with {METADATA}, "
            f"{INFERENCE} and {weights} was expected."
        ) from error
    if not isinstance(content, dict):
        raise BundleRefused(f"{folder / name} does not hold a JSON object.")
    return content


def _net(
    folder: Path, role: Role, metadata: dict[str, Any], inference: dict[str, Any], scheme: Scheme
) -> Net:
    whole = metadata
    if role == "context":
        metadata, inference = (_entry(folder, c, "context", dict) for c in (metadata, inference))
    architecture = _architecture(folder, _entry(folder, metadata, "network", dict), scheme)
    spacing = _entry(folder, metadata, "spacing_mm", (int, float))
    if not SPACINGS_MM[0] <= spacing <= SPACINGS_MM[1]:
        raise BundleRefused(
            f"{folder / METADATA} says the {role} net works at {spacing:g} mm; "
            f"{SPACINGS_MM[0]:g} to {SPACINGS_MM[1]:g} mm can be used."
        )
    patch = _entry(folder, inference, "patch", list)
    divisor = architecture.divisor
    if len(patch) != 3 or any(not isinstance(n, int) or n < 1 or n % divisor for n in patch):
        raise BundleRefused(
            f"{folder / INFERENCE} asks for windows of {patch} voxels for the {role} net; three multiples "
            f"of {divisor} were expected."
        )
    overlap = _entry(folder, inference, "overlap", (int, float))
    if not 0 <= overlap < 1:
        raise BundleRefused(f"{folder / INFERENCE} has an overlap of {overlap:g}; 0 up to 1 was expected.")
    return Net(
        folder / WEIGHTS_OF[role],
        _check_weights(folder, whole, WEIGHTS_OF[role]),
        architecture,
        float(spacing),
        (patch[0], patch[1], patch[2]),
        float(overlap),
    )


def _context(folder: Path, metadata: dict[str, Any], inference: dict[str, Any], scheme: Scheme) -> Net | None:
    weights = folder / WEIGHTS_OF["context"]
    if "context" not in metadata:
        if weights.exists():
            raise BundleRefused(
                f"{weights} is there, but {METADATA} names no context net: the folder was only partly "
                "copied, or two bundles were mixed. Nothing was loaded."
            )
        return None
    if not scheme.spine:
        raise BundleRefused(
            f"{folder / METADATA} names a context net beside a label list of its own: only the spine has one."
        )
    return _net(folder, "context", metadata, inference, scheme)


def _digest(fine: Net, context: Net | None) -> str:
    if context is None:
        return fine.sha256
    nets = ((fine.sha256, WEIGHTS_OF["fine"]), (context.sha256, WEIGHTS_OF["context"]))
    lines = "".join(f"{sha256}  {name.as_posix()}\n" for sha256, name in nets)
    return hashlib.sha256(lines.encode()).hexdigest()


def _entry(folder: Path, content: dict[str, Any], key: str, kind: Any) -> Any:
    value = content.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleRefused(f"{folder}: the entry {key!r} of its configuration is missing or not usable.")
    return value


def _scheme(folder: Path, metadata: dict[str, Any]) -> Scheme:
    labels = metadata.get("labels", "spine")
    if labels == "spine":
        return SPINE
    try:
        return Scheme.of([Structure(**entry) for entry in labels])
    except (TypeError, ValueError) as error:
        raise BundleRefused(f"{folder / METADATA} has a label list that cannot be used: {error}.") from error


def _check_channels(folder: Path, metadata: dict[str, Any], scheme: Scheme) -> None:
    try:
        found = metadata["network_data_format"]["outputs"]["label_map"]["channel_def"]
        said = {int(value): str(name) for value, name in found.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleRefused(
            f"{folder / METADATA} has no channel map (network_data_format.outputs.label_map.channel_def): "
            "without it nobody knows what the values of its label maps mean."
        ) from error
    ours = scheme.channels
    wrong = sorted(v for v in said.keys() | ours.keys() if said.get(v) != ours.get(v))
    if wrong:
        first = wrong[0]
        whose = "in this software" if scheme.spine else "in its label list"
        raise BundleRefused(
            f"{folder / METADATA} has another channel map: value {first} is {said.get(first)!r} there and "
            f"{ours.get(first)!r} {whose} ({len(wrong)} values differ)."
        )


def _architecture(folder: Path, network: dict[str, Any], scheme: Scheme) -> Architecture:
    levels = len(LEVEL_CLASSES) if scheme.spine else 0
    expected = {"name": NAME, "semantic": len(scheme.classes), "levels": levels}
    for key, value in expected.items():
        if network.get(key) != value:
            raise BundleRefused(
                f"{folder / METADATA} names a network whose {key} is {network.get(key)!r}; "
                f"this software has {value!r}."
            )
    if network.get("axes", AXES) != AXES:
        raise BundleRefused(
            f"{folder / METADATA}: the network's axes are {network.get('axes')!r}, not {AXES!r} (LPS)."
        )
    if "widths" not in network:
        raise BundleRefused(f"{folder / METADATA}: the network's widths are missing.")
    try:
        return Architecture.from_dict(network)
    except (TypeError, ValueError) as error:
        raise BundleRefused(f"{folder / METADATA} names a network that cannot be built: {error}.") from error


def _check_weights(folder: Path, metadata: dict[str, Any], name: Path) -> str:
    expected = _entry(folder, metadata, "sha256", dict).get(str(name))
    path = folder / name
    if not path.is_file():
        raise BundleRefused(f"{path} is missing: a bundle without weights cannot segment.")
    found = sha256_of(path)
    if found != expected:
        raise BundleRefused(
            f"the weights in {path} are not those that {METADATA} names: SHA-256 {found[:16]}..., "
            f"expected {str(expected)[:16]}.... It was changed or only partly copied; nothing was loaded."
        )
    return found
