"""A Segmentation comes back as the label map it was written from, whoever has rewritten it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from spine_node.anatomy.levels import CHANNELS
from spine_node.dicom.seg import write_seg
from spine_node.dicom.seg_reading import read_seg, seg_reading
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.standins import standins
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import SHAPE, SPACE, grid_of, labels_of, write_multiframe, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)
OBLIQUE = ((0.6, 0.8, 0), (0.48, -0.36, 0.8))


@pytest.fixture
def series(tmp_path: Path) -> ImageSeries:
    write_series(tmp_path / "ct", grid_of(*OBLIQUE))
    return read_series(tmp_path / "ct")


def written(series: ImageSeries, label_map: LabelMap, path: Path, *, parts: bool = True) -> Path:
    seg = write_seg(series, Segmentation(label_map, MODEL), software_version="9", parts=parts, by_net=False)
    seg.save_as(path, enforce_file_format=True)
    return path


def rewritten(path: Path, change: Callable[[Dataset], None]) -> Path:
    """The same file as another program saves it."""
    seg = pydicom.dcmread(path)
    change(seg)
    seg.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("multiframe", [False, True])
def test_what_was_written_with_parts_comes_back_voxel_for_voxel(multiframe: bool, tmp_path: Path) -> None:
    """Every structure there is, on an oblique series stored head first or as one file."""
    write = write_multiframe if multiframe else write_series
    write(tmp_path / "ct", grid_of(*OBLIQUE), order=range(SHAPE[0])[::-1])
    series = read_series(tmp_path / "ct")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for place, value in enumerate(v for v in CHANNELS if v):
        labels[place % 20, place // 20 * 4 : place // 20 * 4 + 3, 3 : 5 + place % 7] = value
    path = written(series, LabelMap(series.grid, labels), tmp_path / "seg.dcm")
    read = seg_reading(path, series.grid, frame_of_reference_uid=SPACE)
    assert np.array_equal(read.label_map.labels, labels)
    assert read.notes == ()


def test_whole_vertebrae_need_a_word_from_the_caller(series: ImageSeries, tmp_path: Path) -> None:
    """Arches learned as bodies would spoil a training, so they are never taken for bodies in silence."""
    label_map = labels_of(series.grid)
    path = written(series, label_map, tmp_path / "seg.dcm", parts=False)
    with pytest.raises(LabelMapRefused, match="one segment in L1, L2; two were expected"):
        read_seg(path, series.grid)
    whole = np.where(label_map.labels == 120, 20, label_map.labels)
    read = seg_reading(path, series.grid, whole="body")
    assert np.array_equal(read.label_map.labels, whole)
    assert read.notes == ("body and posterior elements are one segment in L1, L2.",)


def _shuffle_frames(seg: Dataset) -> None:
    frames = seg.pixel_array
    order = np.random.default_rng(1).permutation(len(frames))
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[i] for i in order]
    seg.PixelData = pydicom.pixels.pack_bits(frames[order], pad=True)


def _renumber(seg: Dataset) -> None:
    for item in seg.SegmentSequence:
        item.SegmentNumber = 40 - item.SegmentNumber
    seg.SegmentSequence = list(seg.SegmentSequence)[::-1]
    for group in seg.PerFrameFunctionalGroupsSequence:
        of = group.SegmentIdentificationSequence[0]
        of.ReferencedSegmentNumber = 40 - of.ReferencedSegmentNumber


def _only_labels(seg: Dataset) -> None:
    """As from OHIF: every segment is a "Tissue" with a label."""
    for item in seg.SegmentSequence:
        del item.TrackingID, item.TrackingUID
        kind = Dataset()
        kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "85756007", "SCT", "Tissue"
        item.SegmentedPropertyTypeCodeSequence = [kind]


def _only_codes(seg: Dataset) -> None:
    for item in seg.SegmentSequence:
        del item.TrackingID, item.TrackingUID
        item.SegmentLabel = f"Segment_{item.SegmentNumber}"


def _crop(seg: Dataset) -> None:
    """Leave out three rows and one column on which nothing is marked."""
    frames = seg.pixel_array[:, 1:-2, 1:]
    assert frames.sum() == seg.pixel_array.sum()
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for group in seg.PerFrameFunctionalGroupsSequence:
        plane = group.PlanePositionSequence[0]
        corner = np.array(plane.ImagePositionPatient, float) + cosines[3:] * rows + cosines[:3] * columns
        plane.ImagePositionPatient = [float(f"{v:.6f}") for v in corner]
    seg.Rows, seg.Columns = frames.shape[1:]
    seg.PixelData = pydicom.pixels.pack_bits(frames, pad=True)


def _turn_over(seg: Dataset) -> None:
    """Rows from the last to the first, as programs do that think in another handedness."""
    frames = seg.pixel_array[:, ::-1]
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    reach = float(shared.PixelMeasuresSequence[0].PixelSpacing[0]) * (int(seg.Rows) - 1)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*cosines[:3], *(-cosines[3:])]
    for group in seg.PerFrameFunctionalGroupsSequence:
        plane = group.PlanePositionSequence[0]
        corner = np.array(plane.ImagePositionPatient, float) + cosines[3:] * reach
        plane.ImagePositionPatient = [float(f"{v:.6f}") for v in corner]
    seg.PixelData = pydicom.pixels.pack_bits(frames, pad=True)


def _orientation_per_frame(seg: Dataset) -> None:
    shared = seg.SharedFunctionalGroupsSequence[0]
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        for group in seg.PerFrameFunctionalGroupsSequence:
            group[keyword] = shared[keyword]
        del shared[keyword]


@pytest.mark.parametrize(
    "change",
    [_shuffle_frames, _renumber, _only_labels, _only_codes, _crop, _turn_over, _orientation_per_frame],
)
def test_what_viewers_change_in_a_file_changes_nothing(
    change: Callable[[Dataset], None], series: ImageSeries, tmp_path: Path
) -> None:
    label_map = labels_of(series.grid)
    path = rewritten(written(series, label_map, tmp_path / "seg.dcm"), change)
    assert np.array_equal(read_seg(path, series.grid).labels, label_map.labels)


def test_frames_cut_across_another_axis_are_put_in_place(tmp_path: Path) -> None:
    """A SEG drawn on sagittal reformats of the same voxels."""
    axial, sagittal = tmp_path / "axial", tmp_path / "sagittal"
    grid = grid_of((1, 0, 0), (0, 1, 0), spacing=(2.0, 1.0, 0.7))
    write_series(axial, grid)
    series, label_map = read_series(axial), labels_of(grid)
    affine = grid.affine[:, [2, 0, 1, 3]]  # (column, slice, row)
    across = Grid((29, 20, 23), affine)
    write_series(sagittal, across)
    other = read_series(sagittal)
    turned = np.transpose(label_map.labels, (2, 0, 1))
    if not np.allclose(other.grid.affine, affine):  # slices sorted the other way
        turned = turned[::-1]
    path = written(other, LabelMap(other.grid, np.ascontiguousarray(turned)), tmp_path / "seg.dcm")
    assert np.array_equal(read_seg(path, series.grid).labels, label_map.labels)


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_other_encodings_are_read(kind: str, series: ImageSeries, tmp_path: Path) -> None:
    """Probabilities are cut at one half; a label map's pixels are segment numbers."""
    expected = np.zeros(SHAPE, np.uint8)
    expected[3:9, 4:9, 5:11], expected[10:12, 4:9, 5:11] = 20, 26
    numbers = np.where(expected == 26, 2, expected > 0).astype(np.uint8)
    pixels: np.ndarray = numbers
    if kind == "FRACTIONAL":
        pixels = np.stack([np.where(numbers == n, 0.52, 0.48) for n in (1, 2)], axis=-1)
    seg = hd.seg.Segmentation(
        source_images=standins(series),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                n, label, codes.SCT.AnatomicalStructure, codes.SCT.Bone, "MANUAL", tracking_uid=None
            )
            for n, label in ((1, "L1 body"), (2, "Sacrum"))
        ],
        series_instance_uid="2.25.7",
        series_number=7,
        sop_instance_uid="2.25.8",
        instance_number=1,
        manufacturer="other",
        manufacturer_model_name="other",
        software_versions="1",
        device_serial_number="1",
    )
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert np.array_equal(read_seg(tmp_path / "seg.dcm", series.grid).labels, expected)


def test_several_files_make_one_label_map(series: ImageSeries, tmp_path: Path) -> None:
    """Some programs store a file for each structure; other DICOM in the folder is passed over."""
    label_map = labels_of(series.grid)
    for value in (20, 120, 26):
        only = np.where(label_map.labels == value, value, 0).astype(np.uint8)
        written(series, LabelMap(series.grid, only), tmp_path / f"{value}.dcm")
    expected = np.where(np.isin(label_map.labels, (20, 120, 26)), label_map.labels, 0)
    assert np.array_equal(read_seg(tmp_path, series.grid).labels, expected)


def test_a_renamed_vertebra_is_what_its_label_says(series: ImageSeries, tmp_path: Path) -> None:
    """Viewers leave codes and tracking IDs behind when a person renames a segment; it is said."""

    def rename(seg: Dataset) -> None:
        for item in seg.SegmentSequence:
            item.SegmentLabel = item.SegmentLabel.replace("L1", "T12")

    label_map = labels_of(series.grid)
    read = seg_reading(rewritten(written(series, label_map, tmp_path / "s.dcm"), rename), series.grid)
    expected = label_map.labels.copy()
    expected[expected == 20], expected[expected == 120] = 19, 119
    assert np.array_equal(read.label_map.labels, expected)
    assert read.notes[0] == (
        's.dcm: segment 1 "T12 body" is taken for T12_body; its tracking ID says L1_body, '
        "its code says L1_body."
    )


def test_unknown_segments_are_listed_or_passed_over(series: ImageSeries, tmp_path: Path) -> None:
    def rename(seg: Dataset) -> None:
        for item in seg.SegmentSequence:
            if item.TrackingID in ("sacrum", "L2_body"):
                _only_labels_of(item, {"sacrum": "Aorta", "L2_body": "Segment_2"}[item.TrackingID])

    label_map = labels_of(series.grid)
    path = rewritten(written(series, label_map, tmp_path / "seg.dcm"), rename)
    with pytest.raises(LabelMapRefused, match=r'3 "Segment_2" \(SCT 85756007 Tissue\), 4 "Aorta"'):
        read_seg(path, series.grid)
    read = seg_reading(path, series.grid, unknown="ignore")
    assert set(np.unique(read.label_map.labels)) == {0, 20, 120, 31, 32}
    assert 'passed over the segments 3 "Segment_2"' in read.notes[0]


def _only_labels_of(item: Dataset, label: str) -> None:
    holder = Dataset()
    holder.SegmentSequence = [item]
    _only_labels(holder)
    item.SegmentLabel = label


def _shift(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[2] += 0.5


def _coarser(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.4, 1.4]


def _far_away(seg: Dataset) -> None:
    along = 30 * 0.7 * np.array(OBLIQUE[0])
    for group in seg.PerFrameFunctionalGroupsSequence:
        plane = group.PlanePositionSequence[0]
        plane.ImagePositionPatient = list(np.array(plane.ImagePositionPatient, float) + along)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda seg: setattr(seg, "FrameOfReferenceUID", "2.25.9"), "2.25.9, the image in 2.25.103"),
        (_shift, r"not on the grid of the image: .* 0\.\d\d voxels beside .* 2\.000 x 1\.000 x 0\.700 mm"),
        (_coarser, "a frame of 1.400 x 1.400 mm pixels"),
        (_far_away, r"marks voxels outside the image: .* the image has \[20, 23, 29\]"),
        (lambda seg: seg.PerFrameFunctionalGroupsSequence.pop(), r"frame \d+ of \d+ cannot be read"),
        (lambda seg: seg.SegmentSequence.clear(), "damaged Segmentation: SegmentSequence missing or empty"),
        (lambda seg: setattr(seg, "PixelData", b"\0" * len(seg.PixelData)), "no voxel of the grid"),
        (lambda seg: setattr(seg, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "is CT Image Storage"),
    ],
)  # fmt: skip
def test_what_was_not_drawn_on_this_image_is_refused(
    change: Callable[[Dataset], None], words: str, series: ImageSeries, tmp_path: Path
) -> None:
    path = rewritten(written(series, labels_of(series.grid), tmp_path / "seg.dcm"), change)
    with pytest.raises(LabelMapRefused, match=words):
        read_seg(path, series.grid, frame_of_reference_uid=SPACE)


def test_where_segments_overlap_the_later_wins_and_it_is_said(series: ImageSeries, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[5, 5:10, 5:10] = 20
    first = written(series, LabelMap(series.grid, labels), tmp_path / "1.dcm")
    labels = np.zeros(SHAPE, np.uint8)
    labels[5, 8:12, 5:10] = 21
    second = written(series, LabelMap(series.grid, labels), tmp_path / "2.dcm")
    for order, owner in (((first, second), 21), ((second, first), 20)):
        read = seg_reading(order, series.grid)
        assert read.label_map.labels[5, 9, 9] == owner
        assert read.notes == (
            "10 voxels lay in two segments; posterior elements have them, else the later segment.",
        )
