"""naming.json beside a label map: who made it, how its vertebrae were named and how else they could be.

With it levels can be fixed later, without the image and without the net.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.levels import CERTAIN, Hypothesis, Naming
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation

SCHEMA = "spine-node/naming/1"


def naming_path(labels: Path) -> Path:
    """Where the naming of a label map lies: naming.json beside labels.nii.gz of results, else by its name."""
    stem = labels.name.removesuffix(".gz").removesuffix(".nii")
    return labels.with_name("naming.json" if stem == "labels" else f"{stem}.naming.json")


def to_dict(segmentation: Segmentation) -> dict[str, Any]:
    """What is to be known of a segmentation beside its label map."""
    model = segmentation.model
    return {
        "schema": SCHEMA,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "quality": list(segmentation.quality),
        "pinned": list(segmentation.pinned),
        "variant": segmentation.variant,
        "naming": None if segmentation.naming is None else _naming_dict(segmentation.naming),
    }


def write_naming(segmentation: Segmentation, path: Path) -> None:
    """Write naming.json."""
    path.write_text(json.dumps(to_dict(segmentation), indent=1) + "\n", encoding="utf-8")


def read_segmentation(path: Path, label_map: LabelMap) -> Segmentation:
    """The segmentation that a label map and its naming.json are.

    Raises
    ------
    LabelMapRefused
        If the file is not there, or is not one of this software.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']}, {SCHEMA} was expected")
        naming = data["naming"] and _naming(data["naming"])
        return Segmentation(
            label_map,
            ModelIdentity(**data["model"]),
            tuple(data["quality"]),
            naming,
            tuple(data["pinned"]),
            data["variant"],
        )
    except FileNotFoundError as missing:
        raise LabelMapRefused(
            f"{path} is not there: either the label map shows other structures than the spine, or nobody "
            "knows who made it and how its levels were told. `spine-node measure --pin` shifts the names of "
            "any label map of the spine. Nothing was renamed."
        ) from missing
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelMapRefused(f"{path} is not understood: {error}. Nothing was renamed.") from error


def _naming_dict(naming: Naming) -> dict[str, Any]:
    return {
        "levels": list(naming.levels),
        "uncertain": naming.uncertain,
        "margin_nats": round(naming.margin, 3),
        "certain_from_nats": CERTAIN,
        "quality": list(naming.quality),
        "pinned": list(naming.pinned),
        "hypotheses": [
            {"words": h.words, "score_nats": round(h.score, 3), "levels": list(h.levels)}
            for h in naming.hypotheses
        ],
        "evidence": naming.evidence.to_dict(),
    }


def _naming(data: Mapping[str, Any]) -> Naming:
    hypotheses = [Hypothesis(tuple(h["levels"]), h["score_nats"], h["words"]) for h in data["hypotheses"]]
    return Naming(
        tuple(data["levels"]),
        data["margin_nats"],
        tuple(hypotheses),
        tuple(data["quality"]),
        Evidence.from_dict(data["evidence"]),
        tuple(data["pinned"]),
    )
