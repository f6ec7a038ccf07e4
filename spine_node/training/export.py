"""From a checkpoint to a bundle: half-precision weights, metadata, checksum and card.

A bundle holds a fine net and may hold a context net; the recipe's `role` says which one a checkpoint
is. Each is exported alone, the other one's weights and entries stay: either can be trained again. The
card's figures come from `evaluate`; a bundle without them says that it was not evaluated.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from spine_node.errors import ConfigRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import (
    AXES,
    CARD,
    INFERENCE,
    METADATA,
    WEIGHTS_OF,
    Role,
    nets_in,
    read_json,
    sha256_of,
)
from spine_node.segmentation.classes import LEVEL_CLASSES, SPINE, Scheme, Structure
from spine_node.training.card import model_card
from spine_node.training.curve import draw_curve
from spine_node.training.train import CURVE, read_checkpoint

OVERLAP = 0.25
"""Share of a window that its neighbour covers too, at inference."""

PICTURE_OF: dict[Role, Path] = {"fine": Path("docs/curve.png"), "context": Path("docs/curve-context.png")}
"""The learning curve of each net, beside the card."""

NET_KEYS = ("spacing_mm", "network", "training")
"""Entries of the metadata that each net has for itself."""

SPINE_WORDS = "Residual 3-D U-Net with tissue, centre-offset and level heads; one label map"


def export(
    checkpoint: Path,
    bundle: Path,
    *,
    command: str,
    version: str | None = None,
    figures: dict[str, Any] | None = None,
    remarks: str | None = None,
    device: str = "",
) -> str:
    """Write the averaged weights of a checkpoint as one net of a bundle; returns their SHA-256.

    Parameters
    ----------
    checkpoint : Path
        As `train` leaves it; its recipe's `role` says which net of the bundle it becomes.
    bundle : Path
        Folder of the bundle. That net's files and entries are replaced, and with them the card and what
        describes the whole (name, version, licence); those of the other net stay.
    command : str
        What was run to train it, for the card.
    version : str, optional
        Of the model; by default its recipe's.
    figures : dict, optional
        What `evaluate` returned.
    remarks : str, optional
        What else a reader of the card must know: stages of the training, looks at real images. By default
        what the card said of the net that is replaced.
    device : str
        What it was trained on, in words.

    Raises
    ------
    ConfigRefused
        If it is the context net of another label list than the spine's, or the folder holds the other
        net of another label list.
    BundleRefused
        If the folder holds configurations that cannot be read.
    """
    content = read_checkpoint(checkpoint)
    recipe = json.loads(content["recipe"])
    role: Role = recipe.get("role", "fine")
    before, windows = _rest_of(bundle, role, recipe)
    for name in (METADATA, INFERENCE, CARD, WEIGHTS_OF[role]):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    weights = {key: value.to(torch.float16).contiguous() for key, value in content["average"].items()}
    save_file(weights, bundle / WEIGHTS_OF[role])
    (bundle / WEIGHTS_OF[role]).chmod(0o644)
    digest = sha256_of(bundle / WEIGHTS_OF[role])
    draw_curve(checkpoint.parent / CURVE, bundle / PICTURE_OF[role])
    training = {
        "command": command,
        "steps": int(content["step"]),
        "hours": round(float(content["seconds"]) / 3600, 2),
        "finished": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": device,
        "recipe": {key: value for key, value in recipe.items() if key not in _ELSEWHERE},
        "data": [*content.get("earlier", []), *_data(recipe["streams"])],
        "remarks": _remarks_before(bundle, role) if remarks is None else remarks,
    }
    architecture = Architecture.from_dict(recipe["architecture"])
    net = {
        "spacing_mm": recipe["spacing_mm"],
        "network": architecture.to_dict() | {"axes": AXES},
        "training": training,
    }
    window = {"patch": recipe["patch"], "overlap": OVERLAP, "blending": "gaussian", "padding": "symmetric"}
    metadata = _described(_scheme(recipe["labels"]), recipe, version or recipe["version"])
    metadata |= (net if role == "fine" else {"context": net}) | before
    metadata["sha256"] = before.get("sha256", {}) | {str(WEIGHTS_OF[role]): digest}
    _write_json(bundle / METADATA, metadata)
    _write_json(bundle / INFERENCE, (window if role == "fine" else {"context": window}) | windows)
    (bundle / CARD).write_text(model_card(metadata, figures, curves=_curves(bundle)), encoding="utf-8")
    return digest


def _rest_of(bundle: Path, role: Role, recipe: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the folder's configurations say of the other net: it stays."""
    if role == "context" and recipe["labels"] != "spine":
        raise ConfigRefused(
            "a context net finds the spine and names its levels: a label list of its own has none. "
            "Nothing was exported."
        )
    if not (bundle / METADATA).exists():
        return {}, {}
    metadata, inference = (read_json(bundle, name) for name in (METADATA, INFERENCE))
    if role == "fine":
        keep, windows = ({"context": c["context"]} if "context" in c else {} for c in (metadata, inference))
    else:
        keep = {key: metadata[key] for key in NET_KEYS if key in metadata}
        windows = {key: value for key, value in inference.items() if key != "context"}
    if not keep:
        return {}, {}
    if metadata.get("labels", "spine") != recipe["labels"]:
        raise ConfigRefused(
            f"{bundle} holds a net of another label list: the two nets of a bundle have the same one. Choose "
            "another folder. Nothing was exported."
        )
    other: Role = "context" if role == "fine" else "fine"
    name = str(WEIGHTS_OF[other])
    return keep | {"sha256": {name: metadata.get("sha256", {}).get(name)}}, windows


def _remarks_before(bundle: Path, role: Role) -> str | None:
    if not (bundle / METADATA).exists():
        return None
    net = nets_in(read_json(bundle, METADATA)).get(role, {})
    return net.get("training", {}).get("remarks")


def _curves(bundle: Path) -> dict[str, str]:
    return {role: name.name for role, name in PICTURE_OF.items() if (bundle / name).exists()}


_ELSEWHERE = ("architecture", "labels", "name", "version", "description", "licence")
"""Keys of a recipe that have their own place in the metadata."""


def _data(streams: list[dict[str, Any]]) -> list[str]:
    total = sum(stream["share"] for stream in streams)
    return [f"{100 * stream['share'] / total:.0f} %: {stream['words']}" for stream in streams]


def _scheme(labels: Any) -> Scheme:
    return SPINE if labels == "spine" else Scheme.of([Structure(**entry) for entry in labels])


def _described(scheme: Scheme, recipe: dict[str, Any], version: str) -> dict[str, Any]:
    """What the metadata say of the bundle as a whole."""
    named = ", ".join(scheme.classes[1:])
    about = (
        {"tissues": list(scheme.classes), "level_classes": list(LEVEL_CLASSES)}
        if scheme.spine
        else {"tissues": list(scheme.classes)}
    )
    task = "the standing spine, pelvis and femoral heads" if scheme.spine else named
    return {
        "name": recipe["name"],
        "version": version,
        "task": f"segmentation of {task}",
        "description": recipe["description"]
        or (SPINE_WORDS if scheme.spine else f"Residual 3-D U-Net; a label map of {named}"),
        "intended_use": "research only; not a medical device",
        "licence": recipe["licence"],
        "labels": recipe["labels"],
        **about,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "modality": "CBCT or CT",
                    "num_channels": 1,
                    "spatial_shape": ["*", "*", "*"],
                    "axes": AXES,
                    "frame": "LPS: z cranial, y posterior, x to the patient's left",
                    "value_range": [-3, 3],
                    "scaling": "tissue above Otsu's threshold: median 0, 99.5th percentile 1; then clipped",
                }
            },
            "outputs": {
                "label_map": {
                    "type": "label map",
                    "grid": "that of the input series",
                    "channel_def": {str(value): name for value, name in sorted(scheme.channels.items())},
                }
            },
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
