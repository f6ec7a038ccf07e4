"""The results folder of one analysis: written whole or not at all.

labels.nii.gz  naming.json  measurements.json  dicom/{seg,sr}.dcm  pictures/*.png  stl/*.stl  done.json
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_node.errors import LabelMapRefused, Refused

if TYPE_CHECKING:
    from pydicom import Dataset

    from spine_node.pipeline import Results
    from spine_node.segmentation.segmenter import Segmentation

DONE = "done.json"
"""Written last: its presence says that the folder is complete."""


def require_replaceable(out: Path) -> None:
    """Refuse a folder that holds anything but earlier results.

    Raises
    ------
    Refused
        If `out` exists and is not empty and has no done.json.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and read_done(out) is None:
        raise Refused(f"{out} holds something else than results; nothing was written. Name another folder.")


def write_results(results: Results, out: Path) -> dict[str, Any]:
    """Write every result of one series into `out`, replacing what stood there.

    The folder is filled beside its place and renamed, so that a reader, or a re-run after a kill,
    never meets half of it.

    Returns
    -------
    dict
        The contents of done.json: UIDs of the source and of each DICOM object.

    Raises
    ------
    Refused
        If `out` holds something else than results.
    """
    # Here, not above: the main process reads done.json and must start without these.
    from spine_node.dicom.pictures import write_pictures
    from spine_node.dicom.stl import write_stl
    from spine_node.nifti import write_label_map
    from spine_node.segmentation.naming_file import naming_path, write_naming

    require_replaceable(out)
    out = out.resolve()  # "." has no name to put another beside
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "dicom").mkdir(parents=True)
    write_label_map(results.segmentation.label_map, partial / "labels.nii.gz")
    write_naming(results.segmentation, naming_path(partial / "labels.nii.gz"))
    (partial / "measurements.json").write_text(results.measurements.to_json())
    for name, dataset in (("seg", results.seg), ("sr", results.sr)):
        dataset.save_as(partial / "dicom" / f"{name}.dcm", enforce_file_format=True)
    write_pictures(
        results.volume,
        results.segmentation.label_map,
        results.spine,
        results.measurements,
        partial / "pictures",
    )
    write_stl(results.segmentation.label_map, partial / "stl")
    done = {
        "study_uid": str(results.seg.StudyInstanceUID),
        "objects": {
            name: {"sop_instance_uid": str(ds.SOPInstanceUID), "sop_class_uid": str(ds.SOPClassUID)}
            for name, ds in (("seg", results.seg), ("sr", results.sr))
        },
    }
    (partial / DONE).write_text(json.dumps(done, indent=2) + "\n")
    _sync_tree(partial)
    older = out.with_name(f".{out.name}.replaced-by-spine-node")
    shutil.rmtree(older, ignore_errors=True)
    if out.exists():
        out.rename(older)
    partial.rename(out)
    _sync_directory(out.parent)
    shutil.rmtree(older, ignore_errors=True)
    return done


def write_labels(segmentation: Segmentation, path: Path) -> None:
    """Write a label map and, beside it, how its vertebrae were named; each file whole or not at all.

    The label map goes first: `renaming.renamed` refuses one beside an older naming. Other structures than
    the spine have no naming.
    """
    from spine_node.nifti import write_label_map
    from spine_node.segmentation.naming_file import naming_path, write_naming

    partial = path.with_name(f".partial-{path.name}")
    write_label_map(segmentation.label_map, partial)
    if not segmentation.spine:
        naming_path(path).unlink(missing_ok=True)
        partial.replace(path)
        return
    write_naming(segmentation, naming_path(partial))
    partial.replace(path)
    naming_path(partial).replace(naming_path(path))


def read_seg_header(out: Path) -> Dataset:
    """The SEG of a results folder without its pixels: of which images the results were made.

    Raises
    ------
    LabelMapRefused
        If it is not there or cannot be read.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    path = out / "dicom" / "seg.dcm"
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise LabelMapRefused(
            f"{path} cannot be read: {error}. Without it nobody knows of which series these results are. "
            "Nothing was renamed."
        ) from error


def read_done(out: Path) -> dict[str, Any] | None:
    """The contents of done.json, or None when the folder is not complete."""
    try:
        done: dict[str, Any] = json.loads((out / DONE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return done


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _sync_directory(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
