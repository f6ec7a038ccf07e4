"""The key object puts the key images first in a viewer's list."""

from __future__ import annotations

import highdicom as hd
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.key_images import write_key_images
from spine_node.dicom.key_object import write_key_object
from spine_node.dicom.series import ImageSeries, read_series
from tests.dicom.small_pictures import PICTURES, read, unsegmented
from tests.dicom.small_series import grid_of, write_series


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


def images(series: ImageSeries, *, multiframe: bool) -> tuple[Dataset, ...]:
    return write_key_images(
        series, PICTURES, unsegmented(series), software_version="9.9", multiframe=multiframe
    )


@pytest.mark.parametrize("multiframe", [False, True])
def test_it_selects_the_key_images_in_order(series: ImageSeries, multiframe: bool) -> None:
    """Read by highdicom, which finds each selected image among the evidence."""
    chosen = images(series, multiframe=multiframe)
    made = write_key_object(series, chosen, unsegmented(series), software_version="9.9")
    document = hd.ko.KeyObjectSelectionDocument.from_dataset(read(made))
    selected = document.content.get_references()
    assert [item.referenced_sop_instance_uid for item in selected] == [i.SOPInstanceUID for i in chosen]
    assert {item.value_type.value for item in selected} == {"IMAGE"}
    for image in chosen:
        assert document.resolve_reference(image.SOPInstanceUID) == (
            series.study_uid,
            image.SeriesInstanceUID,
            image.SOPInstanceUID,
        )
    assert made.ConceptNameCodeSequence[0].CodeValue == "113000"
    texts = [i.TextValue for i in made.ContentSequence if i.ValueType == "TEXT"]
    assert any(all(p.title in text for p in PICTURES) and "not verified" in text for text in texts)


def test_other_images_make_another_document(series: ImageSeries) -> None:
    chosen = images(series, multiframe=False)
    one, two = (
        write_key_object(series, some, unsegmented(series), software_version="9.9")
        for some in (chosen, chosen[:1])
    )
    assert one.SOPInstanceUID != two.SOPInstanceUID


def test_nothing_to_select_is_refused(series: ImageSeries) -> None:
    with pytest.raises(ValueError, match="there are none"):
        write_key_object(series, (), unsegmented(series), software_version="9.9")


def test_images_of_another_study_are_refused(series: ImageSeries) -> None:
    stranger = Dataset()
    stranger.StudyInstanceUID = "2.25.999"
    with pytest.raises(ValueError, match=r"study \['2\.25\.999'\] do not belong to 2\.25\.101"):
        write_key_object(series, [stranger], unsegmented(series), software_version="9.9")
