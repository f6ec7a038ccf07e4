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

from spine_node.anatomy.levels import CHANNELS
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import AXES, CARD, INFERENCE, METADATA, WEIGHTS, sha256_of
from spine_node.segmentation.classes import LEVEL_CLASSES, TISSUES
from spine_node.training.card import model_card
from spine_node.training.train import read_checkpoint

OVERLAP = 0.25
"""Share of a window that its neighbour covers too, at inference."""

NAME = "spinenet"


def export(
    checkpoint: Path,
    bundle: Path,
    *,
    version: str,
    command: str,
    figures: dict[str, Any] | None = None,
    real_data: str | None = None,
    remarks: str | None = None,
) -> str:
    """Write the averaged weights of a checkpoint as a bundle; returns the SHA-256 of the weights.

    Parameters
    ----------
    checkpoint : Path
        As `train` leaves it.
    bundle : Path
        Folder of the bundle; its files are replaced.
    version : str
        Of the model.
    command : str
        What was run to train it, for the card.
    figures : dict, optional
        What `evaluate` returned.
    real_data : str, optional
        Attribution of scans that were trained on besides the phantoms.
    remarks : str, optional
        What else a reader of the card must know: stages of the training, looks at real images.
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
    training = {
        "command": command,
        "steps": int(content["step"]),
        "hours": round(float(content["seconds"]) / 3600, 2),
        "finished": datetime.now(UTC).strftime("%Y-%m-%d"),
        "recipe": {key: value for key, value in recipe.items() if key != "architecture"},
        "real_data": real_data,
        "remarks": remarks,
    }
    metadata = _metadata(architecture, recipe, version, digest, training)
    _write_json(bundle / METADATA, metadata)
    _write_json(
        bundle / INFERENCE,
        {"patch": recipe["patch"], "overlap": OVERLAP, "blending": "gaussian", "padding": "replicate"},
    )
    (bundle / CARD).write_text(model_card(metadata, figures), encoding="utf-8")
    return digest


def _metadata(
    architecture: Architecture, recipe: dict[str, Any], version: str, digest: str, training: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": version,
        "task": "segmentation of the standing spine, pelvis and femoral heads",
        "description": "Residual 3-D U-Net with tissue, centre-offset and level heads; one label map",
        "intended_use": "research only; not a medical device",
        "licence": "Apache-2.0",
        "spacing_mm": recipe["spacing_mm"],
        "network": architecture.to_dict() | {"axes": AXES},
        "tissues": list(TISSUES),
        "level_classes": list(LEVEL_CLASSES),
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
                    "channel_def": {str(value): name for value, name in sorted(CHANNELS.items())},
                }
            },
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
