"""Key images show the pictures as they were drawn, in any viewer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.key_images import write_key_images
from spine_node.dicom.secondary_capture import secondary_capture
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.imaging.picture import Picture
from tests.dicom.small_pictures import PICTURES, picture, read, unsegmented
from tests.dicom.small_series import grid_of, write_series


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


def written(series: ImageSeries, pictures: tuple[Picture, ...] = PICTURES, **form: bool) -> list[Dataset]:
    made = write_key_images(series, pictures, unsegmented(series), software_version="9.9", **form)
    return [read(ds) for ds in made]


def test_pixels_come_back_as_they_were_drawn(series: ImageSeries) -> None:
    images = written(series)
    assert len(images) == len(PICTURES)
    for number, (image, drawn) in enumerate(zip(images, PICTURES, strict=True), start=1):
        np.testing.assert_array_equal(image.pixel_array, drawn.rgb)
        assert (image.InstanceNumber, image.ImageComments) == (number, drawn.title)
        assert len(image.PixelData) % 2 == 0
        assert image.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"


def test_frames_of_one_instance_hold_each_picture_in_its_margin(series: ImageSeries) -> None:
    (image,) = written(series, multiframe=True)
    frames = image.pixel_array
    assert frames.shape == (3, 31, 33, 3)
    np.testing.assert_array_equal(frames[0][:, 6:27], PICTURES[0].rgb)
    np.testing.assert_array_equal(frames[1][5:25, :], PICTURES[1].rgb)
    np.testing.assert_array_equal(frames[2][0:30, :], PICTURES[2].rgb)
    margin = np.ones((31, 33), dtype=bool)
    margin[5:25, :] = False
    assert (frames[1][margin] == PICTURES[1].rgb[0, 0]).all()
    assert list(image.FrameLabelVector) == ["coronal", "axial-L2", "a-name-of-more-t"]
    assert list(image.PageNumberVector) == [1, 2, 3]
    for drawn in PICTURES:
        assert drawn.title in image.ImageComments


def test_one_picture_may_be_a_multiframe_of_one(series: ImageSeries) -> None:
    (image,) = written(series, PICTURES[:1], multiframe=True)
    np.testing.assert_array_equal(image.pixel_array.reshape(PICTURES[0].rgb.shape), PICTURES[0].rgb)
    assert image.FrameLabelVector == "coronal"


def test_they_are_told_from_the_images_of_a_scanner(series: ImageSeries) -> None:
    for image in (*written(series), *written(series, multiframe=True)):
        assert (image.Modality, image.ConversionType) == ("OT", "WSD")
        assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
        assert (image.BurnedInAnnotation, image.RecognizableVisualFeatures) == ("NO", "NO")
        assert image.SeriesDescription.endswith("(computed)")
        assert "toy-net 1.2" in image.DerivationDescription
        assert "not verified" in image.DerivationDescription
        assert "FrameOfReferenceUID" not in image


def test_the_two_forms_are_told_apart_in_a_list_of_series(series: ImageSeries) -> None:
    single, whole = written(series)[0], written(series, multiframe=True)[0]
    for keyword in ("SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "SOPInstanceUID"):
        assert single[keyword].value != whole[keyword].value


def test_other_pixels_are_another_instance(series: ImageSeries) -> None:
    """A PACS that has an instance keeps its first content: another content needs another name."""
    brighter = [replace(p, rgb=p.rgb // 2 + 100) for p in PICTURES]
    for multiframe in (False, True):
        one, other = (written(series, pictures, multiframe=multiframe) for pictures in (PICTURES, brighter))
        assert not {i.SOPInstanceUID for i in one} & {i.SOPInstanceUID for i in other}


def test_a_source_with_loss_leaves_its_mark(tmp_path: Path) -> None:
    """PS3.3 C.7.6.1.1.5: what is derived from an image that lost something says so for ever."""

    def lossy(ds: Dataset, k: int) -> None:
        if k == 3:
            ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 12.5
            ds.LossyImageCompressionMethod = "ISO_15444_1"

    write_series(tmp_path, grid_of(), change=lossy)
    for image in written(read_series(tmp_path), PICTURES[:1]):
        assert (image.LossyImageCompression, image.LossyImageCompressionRatio) == ("01", 12.5)


def test_a_clean_source_leaves_none(series: ImageSeries) -> None:
    (image,) = written(series, PICTURES[:1])
    assert image.LossyImageCompression == "00"
    assert "LossyImageCompressionRatio" not in image


@pytest.mark.parametrize("multiframe", [False, True])
def test_without_pictures_there_is_no_series(series: ImageSeries, multiframe: bool) -> None:
    assert written(series, (), multiframe=multiframe) == []


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ((picture("a", 4, 5), picture("a", 5, 4)), r"different names, \['a'\] occur twice"),
        ((picture("a", 4, 5, "Winkel α"),), "'a' must be 1 to 64 ASCII signs"),
        ((picture("a", 4, 5, "x" * 65),), "'a' must be 1 to 64 ASCII signs"),
        ((Picture("a", "A", np.zeros((4, 5), dtype=np.uint8)),), r"got uint8 \(4, 5\)"),
        ((Picture("a", "A", np.zeros((4, 5, 3), dtype=np.uint16)),), r"got uint16 \(4, 5, 3\)"),
        ((Picture("a", "A", np.zeros((4, 5, 4), dtype=np.uint8)),), r"got uint8 \(4, 5, 4\)"),
    ],
)
def test_what_is_no_picture_is_refused(
    series: ImageSeries, pictures: tuple[Picture, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        written(series, pictures)


def test_a_stack_beyond_32_bits_of_length_is_refused() -> None:
    """A PACS could not read its length; no byte of it is made."""
    huge = np.broadcast_to(np.zeros(3, dtype=np.uint8), (800, 1500, 1400, 3))
    with pytest.raises(ValueError, match="too large for one DICOM object"):
        secondary_capture(huge, "2.25.1", "2.25.2", "9.9", multiframe=True)
