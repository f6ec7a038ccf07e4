"""A phantom on disk: the DICOM series a scanner would send, its label map and its true parameters."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spine_node.dicom.ct import write_ct_series
from spine_node.nifti import write_label_map
from spine_node.phantom.generate import Phantom


def write_phantom(phantom: Phantom, out: Path, *, identity: Mapping[str, object] | None = None) -> None:
    """Write `out/dicom/*.dcm`, `out/labels.nii.gz` (same voxels) and `out/truth.json`.

    `identity` replaces DICOM elements of the series, as in `dicom.ct.write_ct_series`.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(1) as aside:  # labels are compressed while the slices are written
        labels = aside.submit(write_label_map, phantom.label_map, out / "labels.nii.gz")
        write_ct_series(phantom.volume, out / "dicom", identity=identity, standing=True, seed=phantom.seed)
        labels.result()
    (out / "truth.json").write_text(phantom.truth.to_json(), encoding="utf-8")
