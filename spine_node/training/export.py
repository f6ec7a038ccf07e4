"""From a checkpoint to a bundle: half-precision weights, metadata, checksum and card.

The card's figures come from `evaluate`; a bundle without them says that it was not evaluated.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import AXES, CARD, INFERENCE, METADATA, WEIGHTS, sha256_of
from spine_node.segmentation.classes import LEVEL_CLASSES, SPINE, Scheme, Structure
from spine_node.training.card import model_card
from spine_node.training.curve import draw_curve
from spine_node.training.train import CURVE, read_checkpoint

OVERLAP = 0.25
"""Share of a window that its neighbour covers too, at inference."""

PICTURE = Path("docs/curve.png")
"""The learning curve, beside the card."""

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
    """Write the averaged weights of a checkpoint as a bundle; returns the SHA-256 of the weights.

    Parameters
    ----------
    checkpoint : Path
        As `train` leaves it.
    bundle : Path
        Folder of the bundle; its files are replaced.
    command : str
        What was run to train it, for the card.
    version : str, optional
        Of the model; by default its recipe's.
    figures : dict, optional
        What `evaluate` returned.
    remarks : str, optional
        What else a reader of the card must know: stages of the training, looks at real images.
    device : str
        What it was trained on, in words.
    """
    content = read_checkpoint(checkpoint)
    recipe = json.loads(content["recipe"])
    architecture = Architecture.from_dict(recipe["architecture"])
    for name in (METADATA, INFERENCE, CARD, WEIGHTS):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    weights = {key: value.to(torch.float16).contiguous() for key, value in content["average"].items()}
    save_file(weights, bundle / WEIGHTS)
    (bundle / WEIGHTS).chmod(0o644)
    digest = sha256_of(bundle / WEIGHTS)
    draw_curve(checkpoint.parent / CURVE, bundle / PICTURE)
    training = {
        "command": command,
        "steps": int(content["step"]),
        "hours": round(float(content["seconds"]) / 3600, 2),
        "finished": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": device,
        "recipe": {key: value for key, value in recipe.items() if key not in _ELSEWHERE},
        "data": [*content.get("earlier", []), *_data(recipe["streams"])],
        "remarks": remarks,
    }
    scheme = _scheme(recipe["labels"])
    metadata = _metadata(architecture, scheme, recipe, version or recipe["version"], digest, training)
    _write_json(bundle / METADATA, metadata)
    _write_json(
        bundle / INFERENCE,
        {"patch": recipe["patch"], "overlap": OVERLAP, "blending": "gaussian", "padding": "replicate"},
    )
    (bundle / CARD).write_text(model_card(metadata, figures, curve=PICTURE.name), encoding="utf-8")
    return digest


_ELSEWHERE = ("architecture", "labels", "name", "version", "description", "licence")
"""Keys of a recipe that have their own place in the metadata."""


def _data(streams: list[dict[str, Any]]) -> list[str]:
    total = sum(stream["share"] for stream in streams)
    return [f"{100 * stream['share'] / total:.0f} %: {stream['words']}" for stream in streams]


def _scheme(labels: Any) -> Scheme:
    return SPINE if labels == "spine" else Scheme.of([Structure(**entry) for entry in labels])


def _metadata(
    architecture: Architecture,
    scheme: Scheme,
    recipe: dict[str, Any],
    version: str,
    digest: str,
    training: dict[str, Any],
) -> dict[str, Any]:
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
        "spacing_mm": recipe["spacing_mm"],
        "network": architecture.to_dict() | {"axes": AXES},
        "labels": recipe["labels"],
        **about,
        "sha256": {str(WEIGHTS): digest},
        "training": training,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "modality": "CBCT or CT",
                    "num_channels": 1,
                    "spatial_shape": recipe["patch"],
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
