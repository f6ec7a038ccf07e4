"""A segmentation as DICOM Segmentations, on the grid of its source and never flipped.

BINARY is what every archive takes; LABELMAP is one frame a slice for all segments. `highdicom` writes
everything but the pixels and is shown none: from stand-ins of the source with a single pixel it makes a
frame for each slice that holds anything. BINARY repeats those for each segment. The pixels then go where
the frames' own references say they belong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from spine_node.dicom.codes import PARTS, STRUCTURE_OF_VALUE, STRUCTURES, Structure, scheme_item
from spine_node.dicom.forms import Form
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    series_description,
    series_number,
)
from spine_node.dicom.result_uids import result_uids
from spine_node.dicom.seg_frames import groups_of_segments, put_encoded_groups, slices_of
from spine_node.dicom.seg_pixels import packed_bits, run_lengths, values_in_slices
from spine_node.dicom.seg_segments import segment_description
from spine_node.dicom.seg_shares import Occupancy, frame_slices, shares
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.standins import standins
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.definitions import PRIVATE_SCHEME
from spine_node.segmentation.segmenter import Segmentation

_CONTENT = "Vertebrae, sacrum, hip bones, femoral heads"

_KINDS = {
    "seg-binary": (hd.seg.SegmentationTypeValues.BINARY, ExplicitVRLittleEndian),
    "seg-labelmap": (hd.seg.SegmentationTypeValues.LABELMAP, RLELossless),
}
"""Segmentation Type and transfer syntax of each form."""


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """Where a structure's segment is, for objects that refer to it."""

    sop_class_uid: str
    sop_instance_uid: str
    number: int
    tracking_uid: str


def present_structures(label_map: LabelMap, *, parts: bool = False) -> list[Structure]:
    """Structures with at least one voxel, in the order of segments; `parts` as in `write_segs`.

    Raises
    ------
    LabelMapRefused
        If the label map holds a value that names no structure.
    """
    return _present(values_in_slices(label_map), parts=parts)


def write_seg(
    series: ImageSeries,
    segmentation: Segmentation,
    *,
    software_version: str,
    form: Form = "seg-binary",
    parts: bool = False,
    by_net: bool = True,
) -> Dataset:
    """The whole segmentation in one instance; see `write_segs`."""
    (seg,) = write_segs(
        series, segmentation, software_version=software_version, form=form, parts=parts, by_net=by_net
    )
    return seg


def write_segs(
    series: ImageSeries,
    segmentation: Segmentation,
    *,
    software_version: str,
    form: Form = "seg-binary",
    parts: bool = False,
    by_net: bool = True,
    most_frames: int | None = None,
) -> tuple[Dataset, ...]:
    """One segment for each structure, body and posterior elements of a vertebra together.

    Segments without a voxel and frames without a segment are left out; of a LABELMAP, the frames before
    the first and after the last slice that holds anything. Its background is the Pixel Padding Value 0 and
    no item of Segment Sequence: OHIF would shift the colours by one. The same input gives the same bytes:
    times are those of the source. Tracking UIDs are the same in every form and share.

    Parameters
    ----------
    series : ImageSeries
    segmentation : Segmentation
        Its label map is on the grid of `series`.
    software_version : str
    form : str
        "seg-binary" (Segmentation Storage) or "seg-labelmap" (Label Map Segmentation Storage, RLE Lossless).
    parts : bool
        Body and posterior elements of a vertebra as two segments, so that a person can correct each.
    by_net : bool
        Whether artificial intelligence made it, alone; else a person helped.
    most_frames : int, optional
        Where a viewer takes no more frames: structures are shared out over several instances of a series
        of their own, each numbered from 1 and valid by itself. A structure with more frames than that has
        its slices in several instances, as segments with the same Tracking UID.

    Raises
    ------
    LabelMapRefused
        If nothing is labelled, or a value names no structure.
    ValueError
        If the label map is not on the grid of the series, or the form is none of a Segmentation.
    """
    label_map = segmentation.label_map
    if form not in _KINDS:
        raise ValueError(f"{form!r} is no form of a Segmentation; {' or '.join(_KINDS)} was expected")
    if not label_map.grid.matches(series.grid, tolerance_mm=0.01):
        raise ValueError("the label map is not on the grid of its series")
    there = values_in_slices(label_map)
    structures = _present(there, parts=parts)
    if not structures:
        raise LabelMapRefused("the label map is empty: there is nothing to store as a segmentation.")
    uid, model = result_uids(series, segmentation, software_version), segmentation.model
    occupied = np.stack([there[:, list(s.values)].any(axis=1) for s in structures], axis=1)
    all_shares = shares(occupied, form, most_frames)
    kinds = {
        "label map": form == "seg-labelmap",
        "parts": parts,
        f"at most {most_frames} frames": len(all_shares) > 1,
    }
    which = [words for words, holds in kinds.items() if holds]
    # a series of its own for each kind, told apart in a list of series, too
    offset = 1 + sum(10 * 2**place for place, holds in enumerate(kinds.values()) if holds)
    images = standins(series)
    for image in images:
        image.Rows = image.Columns = 1
    segs = []
    for number, share in enumerate(all_shares, start=1):
        held = np.flatnonzero(share.any(axis=0))
        part = [structures[k] for k in held]
        own = [*which, f"instance {number}"] if len(all_shares) > 1 else which
        named = f"{part[0].label} to {part[-1].label} ({number} of {len(all_shares)})"
        seg = _metadata(
            images,
            series,
            share[:, held],
            form,
            [
                segment_description(n, structure, model, uid("tracking", structure.name), by_net)
                for n, structure in enumerate(part, start=1)
            ],
            series_instance_uid=uid("seg series", *which),
            series_number=series_number(series.headers[0], offset),
            sop_instance_uid=uid("seg", *own),
            instance_number=number,
            software_versions=software_version,
            content_description=_CONTENT if len(all_shares) == 1 else named[:64],
            series_description=series_description(
                " ".join(["Spine SEG", *which, "(computed)"]), segmentation.variant
            ),
        )
        _name_dimensions(seg, uid("dimensions", *own))
        if any(PRIVATE_SCHEME in (s.code.scheme, s.part and s.part.scheme) for s in part):
            seg.CodingSchemeIdentificationSequence = [scheme_item(software_version)]
        finish(seg, series.headers[0])
        _put_frames(seg, label_map, part, share[:, held], series)
        segs.append(seg)
    return tuple(segs)


def segment_references(segs: Iterable[Dataset]) -> dict[str, SegmentReference]:
    """The segment of each structure, by name, in Segmentations written here.

    Of a structure that is cut between instances, the segment with its first slices.
    """
    found: dict[str, SegmentReference] = {}
    for seg in segs:
        for item in seg.SegmentSequence:
            if "TrackingID" not in item:  # a background, that others put into label maps
                continue
            found.setdefault(
                str(item.TrackingID),
                SegmentReference(
                    str(seg.SOPClassUID),
                    str(seg.SOPInstanceUID),
                    int(item.SegmentNumber),
                    str(item.TrackingUID),
                ),
            )
    return found


def _present(there: NDArray[np.bool_], *, parts: bool) -> list[Structure]:
    values = set(np.flatnonzero(there.any(axis=0)).tolist()) - {0}
    unknown = sorted(values - STRUCTURE_OF_VALUE.keys())
    if unknown:
        raise LabelMapRefused(f"the label map holds the values {unknown}, which name no structure.")
    return [s for s in (PARTS if parts else STRUCTURES).values() if values & set(s.values)]


def _metadata(
    images: list[Dataset],
    series: ImageSeries,
    occupied: Occupancy,
    form: Form,
    descriptions: list[hd.seg.SegmentDescription],
    **words: object,
) -> Dataset:
    """Everything but the pixels, by highdicom: it is shown one pixel for each slice that has a frame."""
    kind, syntax = _KINDS[form]
    places = _places(series)
    shown = np.zeros((len(places), 1, 1), dtype=np.uint8)
    shown[places[frame_slices(occupied, form)]] = 1
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=shown,
        segmentation_type=kind,
        segment_descriptions=descriptions[:2],  # it looks at each slice once for each; two are as many as all
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        device_serial_number="1",
        content_label="SPINE",
        content_creator_name="Node^Spine",
        transfer_syntax_uid=ExplicitVRLittleEndian,  # of what it is shown
        omit_empty_frames=True,
        **words,
    )
    # Plain from here on: highdicom's object keeps tables of what it was shown.
    seg = Dataset(made)
    seg.file_meta = made.file_meta
    seg.file_meta.TransferSyntaxUID = syntax
    seg.SegmentSequence = descriptions
    return seg


def _places(series: ImageSeries) -> NDArray[np.intp]:
    """Place of each slice among the stand-ins: those of a multi-frame source are in file order."""
    numbers = [frame.number if series.multiframe else i for i, frame in enumerate(series.frames)]
    return np.argsort(np.argsort(numbers))


def _put_frames(
    seg: Dataset,
    label_map: LabelMap,
    structures: Sequence[Structure],
    occupied: Occupancy,
    series: ImageSeries,
) -> None:
    """Give each frame the pixels of the image that it refers to; to BINARY, the frames of each segment."""
    seg.Rows, seg.Columns = label_map.grid.shape[1:]
    groups = seg.PerFrameFunctionalGroupsSequence
    slices = slices_of(groups, series)
    if seg.SegmentationType == "LABELMAP":
        tables = [_numbers(structures, occupied[index]) for index in slices]
        runs = [run_lengths(label_map.labels[i], table) for i, table in zip(slices, tables, strict=True)]
        seg.add_new("PixelData", "OB", encapsulate(runs))
        return
    of = [(index, 0) for index in slices]
    if len(structures) > 1:  # else its number is among what all frames share
        encoded, of = groups_of_segments(groups, slices, occupied)
        put_encoded_groups(seg, encoded)
    seg.NumberOfFrames = len(of)
    seg.add_new("PixelData", "OB", packed_bits(label_map, [(index, structures[k].values) for index, k in of]))


def _numbers(structures: Sequence[Structure], there: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Segment number of each label value, of the structures that are there."""
    numbers = np.zeros(256, dtype=np.uint8)
    for k in np.flatnonzero(there):
        numbers[list(structures[k].values)] = k + 1
    return numbers


def _name_dimensions(seg: Dataset, uid: str) -> None:
    for item in seg.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid
