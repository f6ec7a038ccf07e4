"""A folder of DICOM files as one series: headers in order and the grid they form. Decodes no pixels."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from spine_node.anatomy.landmarks import Vertical
from spine_node.dicom.frames import (
    MODALITIES,
    SUPPORTED_CLASSES,
    Frame,
    frames_of,
    image_type_of,
    is_multiframe,
)
from spine_node.dicom.headers import read_header
from spine_node.dicom.identity import undecoded
from spine_node.dicom.pixels import check_declared
from spine_node.dicom.posture import posture_of
from spine_node.dicom.stacking import stack
from spine_node.errors import SeriesRefused, Unavailable
from spine_node.imaging.volume import Grid


@dataclass(frozen=True, slots=True, eq=False)
class ImageSeries:
    """One series that can become a volume.

    Attributes
    ----------
    headers : tuple of Dataset
        Without pixel data: one for each slice along the normal, or a single multi-frame one.
    paths : tuple of Path
        Where each header's pixels are.
    frames : tuple of Frame
        Slices in the order of the grid; `Frame.header` indexes `headers` and `paths`.
    grid : Grid
        Axes (slice, row, column).
    standing : bool or None
        What the header declares; None when it does not.
    posture : str
        The same in words.
    notes : tuple of str
        What was left out of the folder, and why.
    """

    headers: tuple[Dataset, ...] = field(repr=False)  # a traceback must not show a patient
    paths: tuple[Path, ...] = field(repr=False)
    frames: tuple[Frame, ...] = field(repr=False)
    grid: Grid
    standing: bool | None
    posture: str
    notes: tuple[str, ...] = ()

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return str(self.headers[0].StudyInstanceUID)

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID: the space that the grid's millimetres are in."""
        return str(self.headers[0].FrameOfReferenceUID)

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs, sorted: what the results are named after."""
        return tuple(sorted(str(h.SOPInstanceUID) for h in self.headers))

    @property
    def multiframe(self) -> bool:
        """Whether all slices are frames of one instance."""
        return is_multiframe(self.headers[0])


def read_headers(
    paths: Sequence[Path], ahead: Mapping[Path, Dataset] = MappingProxyType({})
) -> list[Dataset]:
    """Headers of these files without pixel data, each with its `filename`; other files are left out.

    Those that were read `ahead` are not read again.

    Raises
    ------
    SeriesRefused
        If none of them is DICOM, or one is and cannot be read.
    Unavailable
        If the disk or the system does not let a file be read.
    """
    headers, _ = _scan(paths, ahead)
    if not headers:
        raise SeriesRefused(f"none of {len(paths)} files is a DICOM file.")
    return headers


def read_series(source: Path | Sequence[Path]) -> ImageSeries:
    """The one image series in a folder (with its subfolders) or among these files.

    Objects that are no image of a supported class, localizers and files that are not DICOM are left
    out; `ImageSeries.notes` names them.

    Raises
    ------
    SeriesRefused
        If there is no image, more than one series, or the slices do not form a volume.
    """
    paths = sorted(p for p in source.rglob("*") if p.is_file()) if isinstance(source, Path) else list(source)
    if isinstance(source, Path) and source.is_file():
        paths = [source]
    headers, notes = _scan(paths)
    images, more_notes = _images(headers)
    if not images:
        found = " ".join([*notes, *more_notes]) or "The folder is empty."
        raise SeriesRefused(f"no CT-like image among {len(paths)} files. {found}")
    images, copies = _without_copies(images)
    _check_one_series(images)
    frames = frames_of(images)
    series_uid = str(images[0].SeriesInstanceUID)
    slices, grid = stack(frames, series_uid)
    check_declared(images, [Path(str(h.filename)) for h in images], slices)
    posture = posture_of(images[0])
    if not is_multiframe(images[0]):
        images = [images[f.header] for f in slices]
        slices = [replace(f, header=i) for i, f in enumerate(slices)]
    return ImageSeries(
        headers=tuple(images),
        paths=tuple(Path(str(h.filename)) for h in images),
        frames=tuple(slices),
        grid=grid,
        standing=posture.standing,
        posture=posture.words,
        notes=(*notes, *more_notes, *copies),
    )


def vertical_of(series: ImageSeries) -> Vertical:
    """The direction against gravity: the image's z axis, with what is declared about the posture.

    The z axis is vertical only if the patient stood and the device's axis is vertical; whether that is
    so is `Vertical.standing`, from the header.
    """
    return Vertical(provenance=f"image z axis, {series.posture}", standing=series.standing)


def age_years_of(series: ImageSeries) -> float | None:
    """The patient's age at the study; None where the header does not tell it.

    PS3.5 6.2: an AS is three digits and D, W, M or Y. Without it, the dates of birth and study tell.
    """
    header = undecoded(series.headers[0], ["PatientAge", "PatientBirthDate", "StudyDate"])
    stated = re.fullmatch(r"(\d{3})([DWMY])", str(header.get("PatientAge") or "").strip())
    if stated:
        return int(stated[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[stated[2]]
    dates = [str(header.get(keyword) or "").strip() for keyword in ("PatientBirthDate", "StudyDate")]
    try:
        born, studied = (datetime.strptime(date, "%Y%m%d") for date in dates)
    except ValueError:
        return None
    return (studied - born).days / 365.25 if born <= studied else None


def _scan(
    paths: Sequence[Path], ahead: Mapping[Path, Dataset] = MappingProxyType({})
) -> tuple[list[Dataset], list[str]]:
    headers, others = [], []
    for path in paths:
        try:
            headers.append(ahead[path] if path in ahead else read_header(Path(path)))
        except InvalidDicomError:
            others.append(Path(path).name)
        except OSError as problem:
            raise Unavailable(f"{Path(path).name} cannot be read now: {problem.strerror}") from problem
    notes = [f"Left out: {_count(len(others), 'file')} outside DICOM ({_some(others)})."] if others else []
    return headers, notes


def _images(headers: Sequence[Dataset]) -> tuple[list[Dataset], list[str]]:
    """Images of supported classes that are no localizer, and a note on each kind of object left out."""
    images: list[Dataset] = []
    left_out: dict[str, int] = {}
    for header in headers:
        uid = str(header.get("SOPClassUID") or "")
        if not uid and "Rows" in header:
            raise SeriesRefused(
                f"SOPClassUID is missing from {Path(str(header.filename)).name}: no result may refer to an "
                "image without it; the sender or anonymiser must keep it."
            )
        if uid not in SUPPORTED_CLASSES:
            kind = f"{UID(uid).name or 'unknown'} object"
        elif "LOCALIZER" in image_type_of(header):
            kind = "localizer"
        else:
            images.append(header)
            continue
        left_out[kind] = left_out.get(kind, 0) + 1
    return images, [f"Left out: {_count(number, kind)}." for kind, number in left_out.items()]


def _without_copies(images: Sequence[Dataset]) -> tuple[list[Dataset], list[str]]:
    """Images of which each is there once, and a note on the copies left out.

    Raises
    ------
    SeriesRefused
        If two files carry the same SOP Instance UID and are not the same.
    """
    first: dict[str, Dataset] = {}
    kept = []
    for image in images:
        uid = str(image.get("SOPInstanceUID") or "")
        known = first.setdefault(uid, image) if uid else image
        if known is image:
            kept.append(image)
        elif not filecmp.cmp(str(known.filename), str(image.filename), shallow=False):
            names = " and ".join(Path(str(i.filename)).name for i in (known, image))
            raise SeriesRefused(
                f"{names} carry the same SOP Instance UID {uid} and are not the same: which of them is the "
                "image cannot be told; the sender must name them apart, or remove one."
            )
    copies = len(images) - len(kept)
    return kept, [f"Left out: {_count(copies, 'file')} that others are copies of."] if copies else []


def _check_one_series(images: Sequence[Dataset]) -> None:
    for keyword, what in (("SeriesInstanceUID", "series"), ("StudyInstanceUID", "studies")):
        count: dict[str, int] = {}
        for image in images:
            uid = str(image.get(keyword) or "")
            if not uid:
                raise SeriesRefused(
                    f"{keyword} is missing from instance {image.get('SOPInstanceUID')}: without it results "
                    "have no place in the archive; the sender or anonymiser must keep it."
                )
            count[uid] = count.get(uid, 0) + 1
        if len(count) > 1:
            listed = ", ".join(f"{uid} ({number} images)" for uid, number in sorted(count.items()))
            raise SeriesRefused(f"{len(count)} {what} were found, one was expected: {listed}.")
    series = str(images[0].SeriesInstanceUID)
    for image in images:
        modality, sop_class = str(image.get("Modality") or ""), str(image.SOPClassUID)
        if modality and modality not in MODALITIES:
            raise SeriesRefused(
                f"Modality of instance {image.get('SOPInstanceUID')} is {modality[:16]}, and its SOP class "
                f"{SUPPORTED_CLASSES[sop_class]}: they contradict each other, and what was measured "
                "cannot be told; an X-ray modality was expected."
            )
    for keyword, meaning in (
        ("FrameOfReferenceUID", "frame of reference"),
        ("PatientID", "patient"),
        ("SOPClassUID", "SOP class"),
    ):
        values = {str(undecoded(image, [keyword]).get(keyword) or "") for image in images}
        if "" in values and len(values) > 1:
            raise SeriesRefused(
                f"{keyword} is missing from some of the {len(images)} instances of series {series}: whether "
                "they belong together cannot be told; the sender must send them whole."
            )
        if len(values) > 1:
            shown = "" if keyword == "PatientID" else f": {_some(sorted(values))}"
            raise SeriesRefused(f"series {series} mixes {len(values)} values of {meaning}{shown}.")
    if not images[0].get("FrameOfReferenceUID"):
        raise SeriesRefused(
            f"FrameOfReferenceUID is missing from series {series}: its positions belong to no space that "
            "results could refer to; the sender must keep the frame of reference module."
        )
    if len(images) > 1 and any(is_multiframe(image) for image in images):
        raise SeriesRefused(
            f"series {series} has {len(images)} instances of which some are multi-frame; one multi-frame "
            "instance or single-frame slices were expected."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
