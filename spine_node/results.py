"""The results folder of one analysis: written whole or not at all.

labels.nii.gz  naming.json  measurements.json  dicom/PRODUCT.dcm  pictures/*.png  stl/*.stl  done.json

Of a series that was not analysed it holds dicom/notice.dcm alone, if somebody wants to be told.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_node.dicom.forms import NOTICE, Kind
from spine_node.durable import durable_folder, sync_folder
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


def write_results(results: Results, out: Path, *, stl: bool = True) -> dict[str, Any]:
    """Write every result of one series into `out`, replacing what stood there.

    Parameters
    ----------
    results : Results
    out : Path
    stl : bool
        Surfaces as files too, which take longer than all else: `spine-node print` makes them later.

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
    from spine_node.nifti import write_label_map
    from spine_node.pictures.pictures import write_png
    from spine_node.printing.files import write_stl
    from spine_node.segmentation.naming_file import naming_path, write_naming

    found = results.findings

    def fill(folder: Path) -> None:
        write_label_map(found.segmentation.label_map, folder / "labels.nii.gz")
        write_naming(found.segmentation, naming_path(folder / "labels.nii.gz"))
        (folder / "measurements.json").write_text(found.measurements.to_json())
        if stl:
            write_stl(found.surfaces, folder / "stl")

    def fill_beside(folder: Path) -> None:
        write_png(found.pictures, folder / "pictures")

    return _write_whole(out, found.series.study_uid, results.objects, fill, fill_beside)


def write_notice(notice: Dataset, out: Path) -> dict[str, Any]:
    """Write the picture that says why a series was not analysed, as `write_results` would."""
    return _write_whole(out, str(notice.StudyInstanceUID), {NOTICE: (notice,)}, lambda _folder: None)


def partial_folder(out: Path) -> Path:
    """Where results are while they are written; what an interruption leaves there is nobody's."""
    return out.with_name(out.name + ".partial")


def _write_whole(
    out: Path,
    study_uid: str,
    objects: Mapping[str, Sequence[Dataset]],
    fill: Callable[[Path], None],
    fill_beside: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """A results folder of DICOM objects, and of what `fill` and, in a second thread, `fill_beside` put there.

    It is filled beside its place and renamed, so that a reader, or a re-run after a kill, never meets
    half of it.
    """
    require_replaceable(out)
    out = out.resolve()  # "." has no name to put another beside
    durable_folder(out.parent)
    partial = partial_folder(out)
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "dicom").mkdir(parents=True)
    try:
        with ThreadPoolExecutor(1) as beside:  # pictures are drawn by another process, and compressed by this
            filled = None if fill_beside is None else beside.submit(fill_beside, partial)
            fill(partial)
            saved = {name: _save(name, instances, partial / "dicom") for name, instances in objects.items()}
            if filled is not None:
                filled.result()
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    done = {"study_uid": study_uid, "objects": saved}
    (partial / DONE).write_text(json.dumps(done, indent=2) + "\n")
    _sync_tree(partial)
    older = out.with_name(f".{out.name}.replaced-by-spine-node")
    shutil.rmtree(older, ignore_errors=True)
    if out.exists():
        out.rename(older)
    partial.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(older, ignore_errors=True)
    return done


def _save(name: str, instances: Sequence[Dataset], folder: Path) -> list[dict[str, str]]:
    """Write the instances of one product; give what done.json says of each."""
    rows = []
    for number, instance in enumerate(instances, start=1):
        file = f"{name}.dcm" if len(instances) == 1 else f"{name}-{number}.dcm"
        instance.save_as(folder / file, enforce_file_format=True)
        _sync(folder / file)  # the disk writes it while the next ones are made
        rows.append(
            {
                "file": f"{folder.name}/{file}",
                "sop_instance_uid": str(instance.SOPInstanceUID),
                "sop_class_uid": str(instance.SOPClassUID),
            }
        )
    return rows


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


def read_headers_of(out: Path, kind: Kind) -> list[Dataset]:
    """Every instance of one kind in a results folder, in all forms it was made in, without pixels.

    Raises
    ------
    LabelMapRefused
        If there is none, or one cannot be read.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    made = (read_done(out) or {"objects": {}})["objects"]
    rows = [row for name, rows in made.items() if name.startswith(f"{kind}-") for row in rows]
    if not rows:
        raise LabelMapRefused(f"{out} holds no {kind.upper()} of complete results. Nothing was renamed.")
    try:
        return [pydicom.dcmread(out / row["file"], stop_before_pixels=True) for row in rows]
    except (OSError, InvalidDicomError) as error:
        raise LabelMapRefused(
            f"the {kind.upper()} of {out} cannot be read: {error}. Without it nobody knows of which series "
            "these results are. Nothing was renamed."
        ) from error


def read_done(out: Path) -> dict[str, Any] | None:
    """The contents of done.json, or None when the folder is not complete.

    Returns
    -------
    dict
        "study_uid", and "objects": by product, for each instance "file" (relative to the folder),
        "sop_instance_uid" and "sop_class_uid".
    """
    try:
        done: dict[str, Any] = json.loads((out / DONE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    for before, name in (("seg", "seg-binary"), ("sr", "sr-3d")):  # as version 0.2 wrote it
        if before in done["objects"]:
            row = done["objects"].pop(before)
            done["objects"][name] = [{"file": f"dicom/{before}.dcm", **row}]
    return done


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            _sync(path)
    sync_folder(folder)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
