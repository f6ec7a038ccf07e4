"""What a MONAI bundle says of itself, read as data: no expression of it is ever run. No torch here.

Bundles of MONAI's model zoo hold Python expressions ("$..."). Those that do not matter here are passed
over; where one stands in the way, the refusal says which plain entry to add to `configs/metadata.json`
under "spine_node".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.schemes import value_of
from spine_node.errors import BundleRefused
from spine_node.segmentation.bundle import INFERENCE, METADATA, WEIGHTS, read_json, sha256_of
from spine_node.segmentation.monai_reader import OWN_KEY, Reader
from spine_node.segmentation.segmenter import ModelIdentity

TORCH_WEIGHTS = Path("models/model.pt")
BACKGROUND = ("background", "bg")


@dataclass(frozen=True, slots=True)
class MonaiBundle:
    """A MONAI bundle that can be used.

    Attributes
    ----------
    folder : Path
    identity : ModelIdentity
    weights : Path
    network : str
        Class of monai.networks.nets.
    arguments : dict
        What it is built from: plain values.
    spacing_mm : tuple of float
        Of the net's voxels, along its array axes.
    axcodes : str
        Where those axes point, as in "RAS".
    scaling : tuple of (str, dict)
        Names of MONAI's transforms with their arguments, in order.
    roi_size : tuple of int
        Window of one pass, voxels.
    overlap : float
    values : dict of int to int
        Our label value of each channel that we know (whole vertebrae: the body's).
    channels : int
        How many channels the net has.
    quality : tuple of str
    """

    folder: Path
    identity: ModelIdentity
    weights: Path
    network: str
    arguments: dict[str, Any]
    spacing_mm: tuple[float, float, float]
    axcodes: str
    scaling: tuple[tuple[str, dict[str, Any]], ...]
    roi_size: tuple[int, int, int]
    overlap: float
    values: dict[int, int]
    channels: int
    quality: tuple[str, ...]


def load_monai_bundle(folder: Path) -> MonaiBundle:
    """Read and verify a MONAI bundle.

    Raises
    ------
    BundleRefused
        If a file is missing, the weights are not those that the bundle names, or it leaves open what its
        net is, at what spacing and scale it works or what its channels mean.
    """
    folder = Path(folder)
    metadata, config = _json(folder, METADATA), _json(folder, INFERENCE)
    own = metadata.get(OWN_KEY, {})
    reader = Reader(folder, config, own if isinstance(own, dict) else {})
    network, arguments = reader.network()
    reader.require_one_class_each()
    values, channels = _channels(folder, metadata, reader.own)
    said = arguments.get("out_channels")
    if isinstance(said, int) and said != channels:
        raise BundleRefused(
            f"{folder / METADATA} names {channels} channels, but its net has {said}: the channel map is that "
            "of another net."
        )
    weights = next((folder / w for w in (WEIGHTS, TORCH_WEIGHTS) if (folder / w).is_file()), None)
    if weights is None:
        raise BundleRefused(
            f"{folder} has neither {WEIGHTS} nor {TORCH_WEIGHTS}: a bundle without weights cannot segment."
        )
    digest, checked = _check_weights(folder, weights, metadata)
    quality = () if checked else (f"The model bundle {folder.name} names no checksum of its weights.",)
    identity = ModelIdentity(
        str(metadata.get("name", folder.name)), str(metadata.get("version") or "unknown"), digest
    )
    return MonaiBundle(
        folder, identity, weights, network, arguments, reader.spacing(), reader.axcodes(), reader.scaling(),
        reader.roi_size(metadata), reader.overlap(), values, channels, quality,
    )  # fmt: skip


def _json(folder: Path, name: Path) -> dict[str, Any]:
    if not (folder / name).is_file() and (folder / name).with_suffix(".yaml").is_file():
        raise BundleRefused(
            f"{folder / name} is missing, though it is there as YAML: only JSON is read. MONAI writes one as "
            "the other (monai.bundle.ConfigParser)."
        )
    return read_json(folder, name, f"{WEIGHTS} or {TORCH_WEIGHTS}")


def _check_weights(folder: Path, weights: Path, metadata: dict[str, Any]) -> tuple[str, bool]:
    found = sha256_of(weights)
    named = metadata.get("sha256")
    expected = named.get(str(weights.relative_to(folder))) if isinstance(named, dict) else named
    sidecar = weights.with_name(weights.name + ".sha256")
    if expected is None and sidecar.is_file():
        expected = (sidecar.read_text(encoding="utf-8").split(maxsplit=1) or ["nothing"])[0]
    if expected is not None and str(expected).lower() != found:
        raise BundleRefused(
            f"the weights in {weights} are not those that the bundle names: SHA-256 {found[:16]}..., "
            "expected "
            f"{str(expected)[:16]}.... The file was changed or only partly copied; nothing was loaded."
        )
    return found, expected is not None


def _channels(folder: Path, metadata: dict[str, Any], own: dict[str, Any]) -> tuple[dict[int, int], int]:
    """Our value of each channel that means something here, and how many channels there are."""
    said: dict[Any, Any] = dict(own.get("label_map") or {})
    form = metadata.get("network_data_format")
    outputs = form.get("outputs") if isinstance(form, dict) else None
    outputs = outputs if isinstance(outputs, dict) else {}
    maps = [o["channel_def"] for o in outputs.values() if isinstance(o, dict) and o.get("channel_def")]
    count = max((len(m) for m in maps), default=0)
    explicit = bool(said)
    said = said or (dict(maps[0]) if maps else {})
    try:
        names = {int(channel): str(name) for channel, name in said.items()}
    except ValueError as error:
        raise BundleRefused(f"{folder / METADATA}: a channel is a number, not as there: {error}.") from error
    if not names:
        raise BundleRefused(
            f"{folder / METADATA} has no channel map (network_data_format.outputs.pred.channel_def): "
            "without it "
            f'nobody knows what its channels mean. Add one, or "{OWN_KEY}": {{"label_map": {{"1": '
            '"vertebrae_L5", ...}}.'
        )
    known = {c: v for c, name in names.items() if (v := value_of(name)) is not None}
    strange = [n for c, n in names.items() if c not in known and n.lower() not in BACKGROUND]
    if explicit and strange:
        raise BundleRefused(
            f"{folder / METADATA} maps channels to {', '.join(map(repr, strange[:3]))}: no structure of "
            "ours is "
            'called so. Names are like "L5", "L5_body", "L5_posterior", "sacrum", "hip_left", "femur_left".'
        )
    if not any(v in VERTEBRA_VALUES.values() for v in known.values()):
        raise BundleRefused(
            f"{folder / METADATA} names no vertebra among its {len(names)} channels "
            f"({', '.join(list(names.values())[:4])}...): its label maps cannot be measured."
        )
    return known, max(count, max(names) + 1)
