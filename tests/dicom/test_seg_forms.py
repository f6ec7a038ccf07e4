"""BINARY and LABELMAP are what highdicom would have written, valid, and shared out as a viewer needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from spine_node.dicom.checks import SegGeometryError, check_geometry, check_source
from spine_node.dicom.codes import PRIVATE_SCHEME_UID, STRUCTURES
from spine_node.dicom.forms import Form
from spine_node.dicom.seg import (
    SegmentReference,
    present_structures,
    segment_references,
    write_seg,
    write_segs,
)
from spine_node.dicom.seg_reading import read_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.standins import standins
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.definitions import PRIVATE_SCHEME
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import SHAPE, grid_of, labels_of, write_multiframe, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)
FORMS: tuple[Form, ...] = ("seg-binary", "seg-labelmap")
OBLIQUE = ((0.6, 0.8, 0), (0.48, -0.36, 0.8))


@pytest.fixture(params=[False, True], ids=["slices", "multi-frame"])
def series(request: pytest.FixtureRequest, tmp_path: Path) -> ImageSeries:
    """Oblique, pixels not square, stored head first."""
    write = write_multiframe if request.param else write_series
    write(tmp_path / "ct", grid_of(*OBLIQUE), order=range(SHAPE[0])[::-1])
    return read_series(tmp_path / "ct")


def all_structures(series: ImageSeries) -> LabelMap:
    """Every value there is, a structure in two or three slices, none in the outermost."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for place, structure in enumerate(STRUCTURES.values()):
        first, row = 1 + place % 16, place // 16 * 4
        for column, value in enumerate(structure.values):
            labels[
                first : first + 2 + place % 2, row : row + 3, 3 + 9 * column : 5 + 9 * column + place % 7
            ] = value
    return LabelMap(series.grid, labels)


def written(series: ImageSeries, label_map: LabelMap, **how: Any) -> tuple[Dataset, ...]:
    return write_segs(series, Segmentation(label_map, MODEL), software_version="9.9", **how)


def stored(seg: Dataset, path: Path) -> Dataset:
    seg.save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path)


def plain_by_highdicom(seg: Dataset, series: ImageSeries, label_map: LabelMap, parts: bool) -> Dataset:
    """What its constructor makes of the same pixels and words."""
    numbers = np.zeros(SHAPE, dtype=np.uint8)
    for number, structure in enumerate(present_structures(label_map, parts=parts), start=1):
        numbers[np.isin(label_map.labels, structure.values)] = number
    if series.multiframe:
        numbers = numbers[np.argsort([frame.number for frame in series.frames])]
    return hd.seg.Segmentation(
        source_images=standins(series),
        pixel_array=numbers,
        segmentation_type=seg.SegmentationType,
        segment_descriptions=[hd.seg.SegmentDescription.from_dataset(i) for i in seg.SegmentSequence],
        series_instance_uid=seg.SeriesInstanceUID,
        series_number=seg.SeriesNumber,
        sop_instance_uid=seg.SOPInstanceUID,
        instance_number=seg.InstanceNumber,
        manufacturer=seg.Manufacturer,
        manufacturer_model_name=seg.ManufacturerModelName,
        software_versions=seg.SoftwareVersions,
        device_serial_number=seg.DeviceSerialNumber,
        content_label=seg.ContentLabel,
        content_description=seg.ContentDescription,
        content_creator_name=seg.ContentCreatorName,
        series_description=seg.SeriesDescription,
        transfer_syntax_uid=seg.file_meta.TransferSyntaxUID,
    )


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_what_highdicom_would_have_written(
    series: ImageSeries, form: Form, parts: bool, tmp_path: Path
) -> None:
    """It is shown a single pixel a slice: nothing that it writes may depend on more."""
    label_map = all_structures(series)
    (ours,) = written(series, label_map, form=form, parts=parts)
    plain = plain_by_highdicom(ours, series, label_map, parts)
    if form == "seg-labelmap":
        assert plain.SegmentSequence[0].SegmentLabel == "Background"
        plain.SegmentSequence = list(plain.SegmentSequence)[1:]
    ours, plain = stored(ours, tmp_path / "ours.dcm"), stored(plain, tmp_path / "plain.dcm")
    np.testing.assert_array_equal(ours.pixel_array, plain.pixel_array)
    named_otherwise = {"DimensionOrganizationSequence", "DimensionIndexSequence", "PixelData"}
    of_the_source = {"ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "InstanceCreationDate",
                     "InstanceCreationTime", "SpecificCharacterSet", "CodingSchemeIdentificationSequence",
                     "ContributingEquipmentSequence"}  # fmt: skip
    identity = {element.keyword for element in plain if element.tag.group == 0x10} | {
        "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "PatientAge",
    }  # fmt: skip
    for keyword in sorted({e.keyword for e in [*ours, *plain]} - named_otherwise - of_the_source - identity):
        assert ours.get(keyword) == plain.get(keyword), keyword
    pointers = [
        [(i.DimensionIndexPointer, i.FunctionalGroupPointer) for i in seg.DimensionIndexSequence]
        for seg in (ours, plain)
    ]
    assert pointers[0] == pointers[1]
    meta = [
        {e.keyword: e.value for e in seg.file_meta if e.tag.element < 0x12 and e.tag.element}
        for seg in (ours, plain)
    ]
    assert meta[0] == meta[1]


@pytest.mark.parametrize("form", FORMS)
def test_a_label_map_of_one_structure_is_written_too(series: ImageSeries, form: Form, tmp_path: Path) -> None:
    """Its segment number then stands among what all frames share."""
    label_map = labels_of(series.grid)
    label_map.labels[label_map.labels != 26] = 0
    (seg,) = written(series, label_map, form=form)
    read = stored(seg, tmp_path / "seg.dcm")
    assert int(read.NumberOfFrames) == 6
    np.testing.assert_array_equal(read.pixel_array.sum(axis=(1, 2)), [7 * 7] * 6)
    check_geometry(read, label_map)
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", series.grid).labels, label_map.labels)


def test_a_labelmap_is_one_compressed_frame_a_slice(series: ImageSeries, tmp_path: Path) -> None:
    """Its background is a pixel value, no segment: with one, OHIF 3.13 shifts the colours."""
    (seg,) = written(series, labels_of(series.grid), form="seg-labelmap")
    read = stored(seg, tmp_path / "seg.dcm")
    assert read.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert (read.SegmentationType, read.SegmentsOverlap, read.PixelPaddingValue) == ("LABELMAP", "NO", 0)
    assert read.file_meta.TransferSyntaxUID == RLELossless
    assert [item.SegmentNumber for item in read.SegmentSequence] == [1, 2, 3, 4, 5]
    assert (read.BitsAllocated, read.BitsStored, read.HighBit, read.PixelRepresentation) == (8, 8, 7, 0)
    assert int(read.NumberOfFrames) == 17, (
        "slices 2 to 18; of these 6, 7 and 11 are empty and none is left out"
    )
    assert set(np.unique(read.pixel_array)) == set(range(6))
    assert not any("SegmentIdentificationSequence" in g for g in read.PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
@pytest.mark.parametrize("form", FORMS)
def test_highdicom_reads_back_every_voxel(
    series: ImageSeries, form: Form, parts: bool, tmp_path: Path
) -> None:
    label_map = all_structures(series)
    (seg,) = written(series, label_map, form=form, parts=parts)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    read = hd.seg.segread(tmp_path / "seg.dcm")
    volume = read.get_volume(combine_segments=True)
    structures = {s.name: s for s in present_structures(label_map, parts=parts)}
    named = {item.SegmentNumber: structures[item.TrackingID] for item in read.SegmentSequence}
    seen = np.argwhere(volume.array)
    places = (volume.affine @ np.column_stack([seen, np.ones(len(seen))]).T)[:3].T
    index = np.array([label_map.grid.to_index(p) for p in places])
    np.testing.assert_allclose(index, np.rint(index), atol=0.01)
    there = label_map.labels[tuple(np.rint(index).astype(int).T)]
    assert len(seen) == np.count_nonzero(label_map.labels)
    for value, number in zip(there, volume.array[tuple(seen.T)], strict=True):
        assert value in named[int(number)].values


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read_back_as_the_same_label_map(
    series: ImageSeries, form: Form, tmp_path: Path
) -> None:
    label_map = all_structures(series)
    segs = written(series, label_map, form=form, parts=True, most_frames=13)
    assert len(segs) > 3
    paths = [tmp_path / f"{i}.dcm" for i in range(len(segs))]
    for seg, path in zip(segs, paths, strict=True):
        seg.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_seg(paths, series.grid).labels, label_map.labels)


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_shared_out_where_a_viewer_takes_no_more(
    series: ImageSeries, form: Form, tmp_path: Path
) -> None:
    """Weasis 4.6 disables every Segmentation of more than 400 frames."""
    label_map = all_structures(series)
    whole = write_seg(series, Segmentation(label_map, MODEL), software_version="9.9", form=form)
    segs = written(series, label_map, form=form, most_frames=13)
    assert len(segs) > 3
    assert all(int(seg.NumberOfFrames) <= 13 for seg in segs)
    assert len({seg.SOPInstanceUID for seg in (*segs, whole)}) == len(segs) + 1
    assert len({seg.SeriesInstanceUID for seg in segs}) == 1
    assert segs[0].SeriesInstanceUID != whole.SeriesInstanceUID
    assert [int(seg.InstanceNumber) for seg in segs] == list(range(1, len(segs) + 1))
    assert whole.ContentDescription == "Vertebrae, sacrum, hip bones, femoral heads"
    first, *_, last = segs[1].SegmentSequence
    assert segs[1].ContentDescription == f"{first.SegmentLabel} to {last.SegmentLabel} (2 of {len(segs)})"
    everywhere = segment_references([whole])
    names = [item.TrackingID for seg in segs for item in seg.SegmentSequence]
    assert names == list(everywhere), "no structure is in two of them"
    for seg in segs:
        assert [item.SegmentNumber for item in seg.SegmentSequence] == list(
            range(1, len(seg.SegmentSequence) + 1)
        )
        for item in seg.SegmentSequence:
            assert item.TrackingUID == everywhere[item.TrackingID].tracking_uid
        check_source(seg, series)
    check_geometry(segs, label_map)
    check_geometry([stored(seg, tmp_path / "seg.dcm") for seg in segs], label_map)
    with pytest.raises(SegGeometryError, match=r"SEG 2\.25\.\d+ with \d+ more holds"):
        check_geometry(segs[1:], label_map)
    assert segment_references(segs)["sacrum"] == SegmentReference(
        str(segs[-1].SOPClassUID),
        next(str(s.SOPInstanceUID) for s in segs if any(i.TrackingID == "sacrum" for i in s.SegmentSequence)),
        next(int(i.SegmentNumber) for s in segs for i in s.SegmentSequence if i.TrackingID == "sacrum"),
        everywhere["sacrum"].tracking_uid,
    )


@pytest.mark.parametrize("form", FORMS)
def test_only_a_structure_that_is_over_the_cap_by_itself_is_cut(series: ImageSeries, form: Form) -> None:
    """A hip bone in slices of 0.3 mm has 700 of them."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:18, 3:7, 3:9], labels[4:8, 10:14, 3:9] = 29, 31
    label_map = LabelMap(series.grid, labels)
    segs = written(series, label_map, form=form, most_frames=6)
    held = [[str(item.TrackingID) for item in seg.SegmentSequence] for seg in segs]
    assert held == [["hip_left"], ["hip_left"], ["hip_left"], ["femoral_head_left"]]
    assert [int(seg.NumberOfFrames) for seg in segs] == [6, 6, 5, 4]
    assert len({seg.SegmentSequence[0].TrackingUID for seg in segs[:3]}) == 1
    assert segment_references(segs)["hip_left"].sop_instance_uid == segs[0].SOPInstanceUID
    check_geometry(segs, label_map)


def test_a_cap_that_changes_nothing_gives_the_same_instance(series: ImageSeries) -> None:
    label_map = labels_of(series.grid)
    (capped,), (free,) = written(series, label_map, most_frames=400), written(series, label_map)
    assert capped == free


def test_a_cap_below_one_and_another_form_are_refused(series: ImageSeries) -> None:
    with pytest.raises(ValueError, match="at most 0 frames holds nothing"):
        written(series, labels_of(series.grid), most_frames=0)
    with pytest.raises(ValueError, match=r"'sr-3d' is no form of a Segmentation; seg-binary or seg-labelmap"):
        written(series, labels_of(series.grid), form="sr-3d")


def test_a_structure_is_tracked_by_one_uid_in_every_form(series: ImageSeries) -> None:
    """A report refers to what it measured, whichever form of it an archive has taken."""
    label_map = all_structures(series)
    kinds = [{"form": f, "parts": p} for f in FORMS for p in (False, True)]
    found = [segment_references(written(series, label_map, **how)) for how in kinds]
    for name in found[0].keys() | found[1].keys():
        uids = {references[name].tracking_uid for references in found if name in references}
        assert len(uids) == 1, name
    assert len({r.sop_instance_uid for references in found for r in references.values()}) == len(kinds)


def test_a_binary_seg_can_be_saved_in_another_encoding(series: ImageSeries, tmp_path: Path) -> None:
    """Its groups are held encoded: whoever wants them otherwise must not get them as they are."""
    (seg,) = written(series, labels_of(series.grid))
    explicit = stored(seg, tmp_path / "explicit.dcm")
    seg.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit = stored(seg, tmp_path / "implicit.dcm")
    assert implicit.original_encoding == (True, True)
    assert [(e.tag, e.value) for e in explicit] == [(e.tag, e.value) for e in implicit]
    seg.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert len(seg.PerFrameFunctionalGroupsSequence) == int(seg.NumberOfFrames)
    assert stored(seg, tmp_path / "again.dcm") == explicit
    assert (tmp_path / "again.dcm").read_bytes() == (tmp_path / "explicit.dcm").read_bytes()


@pytest.mark.parametrize("how", [{}, {"parts": True}, {"most_frames": 30}], ids=["whole", "parts", "shares"])
@pytest.mark.parametrize("form", FORMS)
def test_dciodvfy_finds_nothing(series: ImageSeries, form: Form, how: dict[str, Any], tmp_path: Path) -> None:
    for seg in written(series, all_structures(series), form=form, **how):
        seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
        dciodvfy = Path(sys.executable).with_name("dciodvfy")
        said = subprocess.run(
            [dciodvfy, "-new", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False
        )
        findings = [
            line for line in (said.stdout + said.stderr).splitlines() if line[:5] in ("Error", "Warni")
        ]
        # It knows no private coding scheme, which PS3.3 8.2 allows: designators that begin with 99.
        private = tuple(
            f"Unrecognized defined term = <{own}>" for own in (PRIVATE_SCHEME, PRIVATE_SCHEME_UID)
        )
        assert [finding for finding in findings if not finding.endswith(private)] == []
