"""A SEG lies where its label map lies, for every way in which a source can be stored."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import CHANNELS
from spine_node.dicom.checks import SegGeometryError, check_geometry
from spine_node.dicom.codes import STRUCTURES
from spine_node.dicom.forms import Form
from spine_node.dicom.seg import present_structures, write_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import SHAPE, SPACE, grid_of, labels_of, write_multiframe, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)
FORMS: tuple[Form, ...] = ("seg-binary", "seg-labelmap")
ORIENTATIONS = [
    (rows, columns)
    for rows, columns in itertools.product(
        [tuple(sign * np.eye(3, dtype=int)[axis]) for axis in range(3) for sign in (1, -1)], repeat=2
    )
    if not np.dot(rows, columns)
]
"""Row and column directions along the patient's axes: 24; with both orders of slices, 48."""


def series_on(grid: Grid, folder: Path, *, multiframe: bool = False, reverse: bool = False) -> ImageSeries:
    order = list(range(grid.shape[0]))[:: -1 if reverse else 1]
    write = write_multiframe if multiframe else write_series
    write(folder, grid, order=order)
    return read_series(folder)


def seg_of(series: ImageSeries, label_map: LabelMap, **changes: Any) -> Dataset:
    return write_seg(series, Segmentation(label_map, MODEL), **({"software_version": "9.9"} | changes))


def centroids(label_map: LabelMap, *, parts: bool = False) -> dict[str, np.ndarray]:
    """Where the label map's own affine puts each structure."""
    return {
        s.name: label_map.grid.to_mm(np.argwhere(np.isin(label_map.labels, s.values)).mean(axis=0))
        for s in present_structures(label_map, parts=parts)
    }


def centroids_by_another_reader(seg: Dataset, folder: Path) -> dict[str, np.ndarray]:
    """The same from the file, by highdicom's reader and its affine."""
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    read = hd.seg.segread(folder / "seg.dcm")
    found = {}
    for item in read.SegmentSequence:
        volume = read.get_volume(segment_numbers=[item.SegmentNumber], combine_segments=True)
        index = np.argwhere(volume.array == item.SegmentNumber).mean(axis=0)
        found[str(item.TrackingID)] = (volume.affine @ (*index, 1))[:3]
    return found


@pytest.mark.parametrize("reverse", [False, True], ids=["head last", "head first"])
@pytest.mark.parametrize(("rows", "columns"), ORIENTATIONS)
def test_segments_lie_where_the_labels_lie_in_all_48_orientations(
    rows: tuple[int, ...], columns: tuple[int, ...], reverse: bool, tmp_path: Path
) -> None:
    """TotalSegmentator shipped mirrored SEGs until it compared centroids computed in two ways."""
    grid = grid_of(rows, columns)
    # Multi-frame sources for every other orientation, so that both are seen in all axes.
    series = series_on(grid, tmp_path, multiframe=sum(rows) > 0, reverse=reverse)
    label_map = labels_of(series.grid)
    segs = [seg_of(series, label_map, form=form, parts=reverse) for form in FORMS]
    for seg in segs:
        check_geometry(seg, label_map)
    # The other reader takes longer: each form in every second orientation, along all axes.
    seg = segs[int(sum(columns) > 0)]
    expected = centroids(label_map, parts=reverse)
    for name, centre in centroids_by_another_reader(seg, tmp_path).items():
        np.testing.assert_allclose(centre, expected.pop(name), atol=0.01)
    assert not expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("multiframe", [False, True])
def test_an_oblique_source_is_followed(multiframe: bool, form: Form, tmp_path: Path) -> None:
    turn = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    series = series_on(grid_of(turn[:, 0], turn[:, 1]), tmp_path, multiframe=multiframe, reverse=True)
    label_map = labels_of(series.grid)
    for parts in (False, True):
        seg = seg_of(series, label_map, form=form, parts=parts)
        check_geometry(seg, label_map)
        expected = centroids(label_map, parts=parts)
        for name, centre in centroids_by_another_reader(seg, tmp_path).items():
            np.testing.assert_allclose(centre, expected.pop(name), atol=0.01)
        assert not expected


@pytest.mark.parametrize(
    ("form", "corrupt", "words"),
    [
        (
            "seg-binary",
            lambda seg: _flip(seg, 3),
            r"L1 in SEG 2\.25\.\d+ lies at .* mm apart, 0\.35 mm allowed",
        ),
        ("seg-binary", lambda seg: _shift(seg, 0.5), r"0\.50 mm apart"),
        ("seg-binary", lambda seg: _swap_spacing(seg), "mm apart"),
        ("seg-binary", lambda seg: _swap_segments(seg), "mm apart"),
        ("seg-binary", lambda seg: _erase_bit(seg), "femoral_head_right has 71 voxels .* 72 on the grid"),
        ("seg-binary", lambda seg: _rename(seg), r"holds \[.*'L3'.*\], the label map \[.*'L1'"),
        ("seg-labelmap", lambda seg: _flip(seg, 3), r"L1 in SEG 2\.25\.\d+ lies at .* mm apart"),
        ("seg-labelmap", lambda seg: _shift(seg, 0.5), r"0\.50 mm apart"),
        ("seg-labelmap", lambda seg: _swap_segments(seg), "mm apart"),
        ("seg-labelmap", lambda seg: _forget(seg), "marks segment 5, which it does not describe"),
    ],
)
def test_a_seg_that_lies_elsewhere_is_caught(form: Form, corrupt: object, words: str, tmp_path: Path) -> None:
    series = series_on(grid_of(), tmp_path)
    label_map = labels_of(series.grid)
    seg = seg_of(series, label_map, form=form)
    corrupt(seg)  # type: ignore[operator]
    with pytest.raises(SegGeometryError, match=words):
        check_geometry(seg, label_map)


def _flip(seg: Dataset, first: int) -> None:
    """Negate the column direction, the bug of 2026."""
    cosines = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    for i in range(first, 6):
        cosines[i] = -cosines[i]


def _shift(seg: Dataset, mm: float) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[2] += mm


def _swap_spacing(seg: Dataset) -> None:
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = measures.PixelSpacing[::-1]


def _swap_segments(seg: Dataset) -> None:
    first, second = seg.SegmentSequence[:2]
    first.TrackingID, second.TrackingID = second.TrackingID, first.TrackingID


def _erase_bit(seg: Dataset) -> None:
    last = np.frombuffer(seg.PixelData, dtype=np.uint8).copy()
    byte = int(np.flatnonzero(last)[-1])
    last[byte] &= last[byte] - 1
    seg.PixelData = last.tobytes()


def _forget(seg: Dataset) -> None:
    del seg.SegmentSequence[-1]


def _rename(seg: Dataset) -> None:
    seg.SegmentSequence[0].TrackingID = "L3"


def test_every_structure_has_one_coded_coloured_segment(tmp_path: Path) -> None:
    """Body and posterior elements of a vertebra are one segment; both T13 and L6 have a code."""
    series = series_on(grid_of(), tmp_path)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for place, value in enumerate(v for v in CHANNELS if v):
        labels[place % 20, place // 20 * 3 : place // 20 * 3 + 3, 3:9] = value
    seg = seg_of(series, LabelMap(series.grid, labels))
    assert [item.TrackingID for item in seg.SegmentSequence] == list(STRUCTURES)
    assert [item.SegmentNumber for item in seg.SegmentSequence] == list(range(1, len(STRUCTURES) + 1))
    by_name = {item.TrackingID: item for item in seg.SegmentSequence}
    kind = {name: item.SegmentedPropertyTypeCodeSequence[0] for name, item in by_name.items()}
    assert (kind["L5"].CodeValue, kind["L5"].CodingSchemeDesignator) == ("49668003", "SCT")
    assert (kind["T13"].CodeValue, kind["T13"].CodingSchemeDesignator) == ("T13", "99SPINE3D")
    assert kind["T13"].EquivalentCodeSequence[0].CodeValue == "51282000"
    sides = {
        name: item.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning
        for name, item in kind.items()
        if "SegmentedPropertyTypeModifierCodeSequence" in item
    }
    assert sides == {n: n.split("_")[-1].capitalize() for n in STRUCTURES if n.endswith(("left", "right"))}
    for item in by_name.values():
        assert len(item.RecommendedDisplayCIELabValue) == 3
        assert item.SegmentAlgorithmName == "toy-net"
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmVersion == "1.2"
        assert "ab" * 32 in algorithm.AlgorithmParameters
    assert len({item.TrackingUID for item in by_name.values()}) == len(STRUCTURES)
    assert seg.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99SPINE3D"


def test_nothing_empty_is_stored(tmp_path: Path) -> None:
    """One empty segment hangs OHIF; empty frames make a file ten times its size."""
    series = series_on(grid_of(), tmp_path)
    seg = seg_of(series, labels_of(series.grid))
    assert [item.TrackingID for item in seg.SegmentSequence] == [
        "L1",
        "L2",
        "sacrum",
        "femoral_head_left",
        "femoral_head_right",
    ]
    assert int(seg.NumberOfFrames) == 4 + 3 + 6 + 2 + 6
    assert seg.SegmentsOverlap == "NO"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("multiframe", [False, True])
def test_each_frame_refers_to_the_image_it_was_drawn_on(multiframe: bool, form: Form, tmp_path: Path) -> None:
    """Viewers need the source image of every frame, not only the series."""
    series = series_on(grid_of(), tmp_path, multiframe=multiframe, reverse=True)
    seg = seg_of(series, labels_of(series.grid), form=form)
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        height = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        index = round((height - 205) / 2)
        frame = series.frames[index]
        assert source.ReferencedSOPInstanceUID == series.headers[frame.header].SOPInstanceUID
        if multiframe:
            assert source.ReferencedFrameNumber == frame.number + 1
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series.series_uid
    assert seg.FrameOfReferenceUID == SPACE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("multiframe", [False, True])
def test_the_same_input_gives_the_same_bytes(multiframe: bool, form: Form, tmp_path: Path) -> None:
    """A re-run re-sends what the archive already has, not a second result."""
    series = series_on(grid_of(), tmp_path / "ct", multiframe=multiframe)
    for name in ("one", "two"):
        seg = seg_of(series, labels_of(series.grid), form=form)
        seg.save_as(tmp_path / name, enforce_file_format=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_software_version_gives_another_instance(tmp_path: Path) -> None:
    series = series_on(grid_of(), tmp_path)
    one, two = (seg_of(series, labels_of(series.grid), software_version=v) for v in ("1", "2"))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID


def test_a_written_seg_can_be_read_by_pydicom_alone(tmp_path: Path) -> None:
    series = series_on(grid_of(), tmp_path)
    seg_of(series, labels_of(series.grid)).save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.pixel_array.sum() == np.count_nonzero(labels_of(series.grid).labels)
    check_geometry(seg, labels_of(series.grid))


def test_no_bit_is_set_beyond_the_last_frame(tmp_path: Path) -> None:
    series = series_on(grid_of(), tmp_path)
    seg = seg_of(series, labels_of(series.grid))
    assert int(seg.NumberOfFrames) * 23 * 29 % 16, "the frames must end inside the last word"
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8))
    assert bits.sum() == np.count_nonzero(labels_of(series.grid).labels)


def test_a_label_map_that_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    series = series_on(grid_of(), tmp_path)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    with pytest.raises(LabelMapRefused, match="empty"):
        seg_of(series, LabelMap(series.grid, labels))
    labels[0, 0, 0] = 99
    with pytest.raises(LabelMapRefused, match=r"values \[99\], which name no structure"):
        seg_of(series, LabelMap(series.grid, labels))
    with pytest.raises(ValueError, match="not on the grid"):
        seg_of(series, labels_of(grid_of(origin=(0, 0, 0))))
