"""A model bundle on disk: what is read, what is checked, and why one is refused.

The folder has the shape of a MONAI bundle. Only JSON values and a safetensors file are read: no
pickle is opened and no text of a configuration is ever run as code. No torch until `network`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_node.errors import BundleRefused
from spine_node.segmentation.architecture import NAME, Architecture
from spine_node.segmentation.classes import LEVEL_CLASSES, SPINE, Scheme, Structure
from spine_node.segmentation.segmenter import ModelIdentity

if TYPE_CHECKING:
    from spine_node.segmentation.networks import SpineNet

_HOMES = (Path(__file__).parents[2] / "models", Path(sys.prefix) / "share" / "spine-node" / "models")
DEFAULT_BUNDLE = next((home for home in _HOMES if home.is_dir()), _HOMES[0]) / "spinenet"
"""The bundle that comes with the project: beside the package in a checkout, under share/ when installed."""

METADATA = Path("configs/metadata.json")
INFERENCE = Path("configs/inference.json")
CARD = Path("docs/README.md")
WEIGHTS = Path("models/model.safetensors")

SPACINGS_MM = (0.5, 8.0)
"""Range of net spacings that make sense: outside it the metadata are wrong, not bold."""

AXES = "z,y,x"
"""Order of the net's array axes: cranial, posterior, left (LPS)."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was verified.

    Attributes
    ----------
    folder : Path
    identity : ModelIdentity
        Name, version and SHA-256 of the weights file.
    spacing_mm : float
        Edge of the net's voxels.
    patch : tuple of int
        Window of one pass, voxels (z, y, x).
    overlap : float
        Share of a window that its neighbour covers too.
    architecture : Architecture
    scheme : Scheme
        What its label maps hold; `scheme.spine` says whether the node can measure them.
    """

    folder: Path
    identity: ModelIdentity
    spacing_mm: float
    patch: tuple[int, int, int]
    overlap: float
    architecture: Architecture
    scheme: Scheme = SPINE

    @property
    def is_spine(self) -> bool:
        """Whether this segments the spine with its levels, and so can be measured by the node."""
        return self.scheme.spine

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
            weights = {k: v.float() for k, v in load_file(self.folder / WEIGHTS).items()}
            network.load_state_dict(weights)
        except (TypeError, KeyError, RuntimeError, ValueError) as error:
            raise BundleRefused(
                f"the weights in {self.folder / WEIGHTS} do not fit the architecture that "
                f"{METADATA} names ({self.architecture}): {str(error)[:300]}"
            ) from error
        return network.eval()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle.

    Raises
    ------
    BundleRefused
        If a file is missing or unreadable, the weights are not those that the metadata name, the
        channel map is missing or other than this software's, or spacing, axes or architecture are
        not usable.
    """
    folder = Path(folder)
    metadata, inference = (read_json(folder, name) for name in (METADATA, INFERENCE))
    scheme = _scheme(folder, metadata)
    _check_channels(folder, metadata, scheme)
    architecture = _architecture(folder, _entry(folder, metadata, "network", dict), scheme)
    spacing = _entry(folder, metadata, "spacing_mm", (int, float))
    if not SPACINGS_MM[0] <= spacing <= SPACINGS_MM[1]:
        raise BundleRefused(
            f"{folder / METADATA} says the net works at {spacing:g} mm; "
            f"{SPACINGS_MM[0]:g} to {SPACINGS_MM[1]:g} mm can be used."
        )
    patch = _entry(folder, inference, "patch", list)
    divisor = architecture.divisor
    if len(patch) != 3 or any(not isinstance(n, int) or n < 1 or n % divisor for n in patch):
        raise BundleRefused(
            f"{folder / INFERENCE} asks for windows of {patch} voxels; three multiples of {divisor} "
            "were expected."
        )
    overlap = _entry(folder, inference, "overlap", (int, float))
    if not 0 <= overlap < 1:
        raise BundleRefused(f"{folder / INFERENCE} has an overlap of {overlap:g}; 0 up to 1 was expected.")
    identity = ModelIdentity(
        _entry(folder, metadata, "name", str),
        _entry(folder, metadata, "version", str),
        _check_weights(folder, metadata),
    )
    window = (patch[0], patch[1], patch[2])
    return Bundle(folder, identity, float(spacing), window, float(overlap), architecture, scheme)


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


def _check_weights(folder: Path, metadata: dict[str, Any]) -> str:
    expected = _entry(folder, metadata, "sha256", dict).get(str(WEIGHTS))
    path = folder / WEIGHTS
    if not path.is_file():
        raise BundleRefused(f"{path} is missing: a bundle without weights cannot segment.")
    found = sha256_of(path)
    if found != expected:
        raise BundleRefused(
            f"the weights in {path} are not those that {METADATA} names: SHA-256 {found[:16]}..., "
            f"expected {str(expected)[:16]}.... It was changed or only partly copied; nothing was loaded."
        )
    return found
