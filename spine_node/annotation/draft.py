"""A first label map of a scan, written the ways viewers and people want it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spine_node import __version__, nifti
from spine_node.anatomy.levels import CHANNELS, LEVEL_OF_VALUE, POSTERIOR_OFFSET
from spine_node.annotation.centres import Centres, check_inside
from spine_node.annotation.checks import Finding, findings
from spine_node.annotation.scans import Scan
from spine_node.annotation.seeded import Method, seeded
from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import LabelMap
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation, Segmenter

SCHEMA = "spine-node/annotation/1"

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A first label map and how it was made.

    Attributes
    ----------
    segmentation : Segmentation
        Its model is the net, or the method with the SHA-256 of its markers.
    method : str
        "model", "watershed" or "random-walker".
    centres : dict
        LPS mm; empty for a model.
    """

    segmentation: Segmentation
    method: str
    centres: Centres

    @property
    def findings(self) -> list[Finding]:
        """What looks odd in it."""
        return findings(self.segmentation.label_map)


def draft_by_model(scan: Scan, segmenter: Segmenter, progress: Progress | None = None) -> Draft:
    """What a net sees.

    Raises
    ------
    SeriesRefused
        If it finds no spine.
    """
    return Draft(segmenter.segment(scan.volume, progress), "model", {})


def draft_by_centres(
    scan: Scan, centres: Centres, method: Method = "watershed", progress: Progress | None = None
) -> Draft:
    """Bone around clicked centres, shared out between them.

    Raises
    ------
    LabelMapRefused
        If a centre lies outside the image, or none is that of a vertebra.
    """
    check_inside(centres, scan.volume.grid)
    label_map = seeded(scan.volume, centres, method, progress)
    written = json.dumps([method, {n: np.round(p, 3).tolist() for n, p in sorted(centres.items())}])
    identity = ModelIdentity(method, __version__, hashlib.sha256(written.encode()).hexdigest())
    return Draft(Segmentation(label_map, identity), method, centres)


def write_draft(draft: Draft, scan: Scan, out: Path) -> list[Path]:
    """Write labels.nii.gz, labels.ctbl, overview.png, annotation.json and, of DICOM, seg.dcm.

    Raises
    ------
    LabelMapRefused
        If nothing was found.
    """
    label_map = draft.segmentation.label_map
    out.mkdir(parents=True, exist_ok=True)
    files = [out / name for name in ("labels.nii.gz", "labels.ctbl", "overview.png", "annotation.json")]
    if scan.series is not None:
        from spine_node.dicom.seg import write_seg  # slow: highdicom

        seg = write_seg(
            scan.series,
            draft.segmentation,
            software_version=__version__,
            parts=True,
            by_net=draft.method == "model",
        )
        seg.save_as(out / "seg.dcm", enforce_file_format=True)
        files.insert(1, out / "seg.dcm")
    nifti.write_label_map(label_map, out / "labels.nii.gz")
    (out / "labels.ctbl").write_text(colour_table(), encoding="utf-8")
    (out / "annotation.json").write_text(json.dumps(_record(draft, scan), indent=1) + "\n", encoding="utf-8")
    from spine_node.annotation.overview import draw_overview

    draw_overview(scan.volume, label_map, out / "overview.png", f"Draft by {draft.method}")
    return files


def colour_table() -> str:
    """Names and colours of label values as 3D Slicer reads them: number, name, red, green, blue, alpha."""
    lines = ["# Color table file of Spine Node's label values", "0 background 0 0 0 0"]
    for value, name in CHANNELS.items():
        if value:
            posterior = value > POSTERIOR_OFFSET
            rgb = STRUCTURES[STRUCTURE_OF_VALUE[value]].rgb
            shown = [round(255 * (0.6 * c + 0.4 if posterior else c)) for c in rgb]
            label = f"{name}_body" if value in LEVEL_OF_VALUE else name
            lines.append(f"{value} {label} {shown[0]} {shown[1]} {shown[2]} 255")
    return "\n".join(lines) + "\n"


def volumes_ml(label_map: LabelMap) -> dict[str, float]:
    """Volume of every structure that is there."""
    count = np.bincount(label_map.labels.ravel(), minlength=256)
    ml = label_map.grid.voxel_mm3 / 1000
    return {name: round(float(count[v] * ml), 3) for v, name in CHANNELS.items() if v and count[v]}


def _record(draft: Draft, scan: Scan) -> dict[str, Any]:
    model = draft.segmentation.model
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"spine-node {__version__}",
        "source": scan.source,
        "method": draft.method,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "centres_lps_mm": {name: np.round(p, 3).tolist() for name, p in draft.centres.items()},
        "volumes_ml": volumes_ml(draft.segmentation.label_map),
        "quality": list(draft.segmentation.quality),
        "findings": [f"{f.severity}: {f.structure}: {f.words}" for f in draft.findings],
    }
