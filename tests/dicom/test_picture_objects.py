"""Whatever carries a picture or a page is a valid object of its source's patient and study."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spine_node.dicom.identity import IMPLEMENTATION_CLASS_UID
from spine_node.dicom.presentation import write_presentations
from spine_node.dicom.report_pdf import heading_of
from spine_node.dicom.series import ImageSeries, read_series
from tests.dicom.small_pictures import every_object, rotated, stored, unsegmented
from tests.dicom.small_series import grid_of, write_multiframe, write_series
from tests.dicom.test_identity import NAMES, with_name
from tests.validation.validators import above_noise, dcentvfy, dciodvfy


def series_in(
    folder: Path, *, multiframe: bool = False, change: Callable[[Dataset, int], None] | None = None
) -> ImageSeries:
    write = write_multiframe if multiframe else write_series
    write(folder, grid_of(), change=change)
    return read_series(folder)


@pytest.mark.parametrize("multiframe", [False, True], ids=["single frames", "multi-frame"])
def test_validators_find_nothing(multiframe: bool, tmp_path: Path) -> None:
    """Neither errors nor warnings, alone and beside their source."""

    def whole(ds: Dataset, k: int) -> None:
        ds.StudyDescription, ds.BodyPartExamined = "Standing spine", "SPINE"

    series = series_in(tmp_path / "ct", multiframe=multiframe, change=whole)
    paths = []
    for name, ds in every_object(series).items():
        paths.append(tmp_path / f"{name}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    assert {p.name: dciodvfy(p) for p in paths} == {p.name: [] for p in paths}
    assert above_noise("dcentvfy", dcentvfy([*paths, *series.paths])) == []


def test_a_notice_about_an_unknown_body_part_says_that_its_side_is_unknown(tmp_path: Path) -> None:
    """PS3.3 C.7.3.1: Laterality is 2C. dciodvfy warns that only the unknown may be empty: this is."""

    def unknown(ds: Dataset, k: int) -> None:
        del ds.BodyPartExamined

    notice = every_object(series_in(tmp_path / "ct", change=unknown))["notice"]
    notice.save_as(tmp_path / "notice.dcm", enforce_file_format=True)
    (said,) = dciodvfy(tmp_path / "notice.dcm")
    assert said.startswith("Warning - </Laterality(0020,0060)> - is only permitted to be empty when actually")


@pytest.mark.parametrize("charset", list(NAMES))
@pytest.mark.parametrize("multiframe", [False, True], ids=["single frames", "multi-frame"])
def test_a_name_in_any_character_set_arrives_as_it_was(
    charset: str, multiframe: bool, tmp_path: Path
) -> None:
    write = write_multiframe if multiframe else write_series
    written = write(tmp_path / "ct", grid_of())
    planted = {with_name(path, charset) for path in ([written] if isinstance(written, Path) else written)}
    series = read_series(tmp_path / "ct")
    (name,) = planted
    shown = str(series.headers[0].PatientName)
    for kind, ds in every_object(series).items():
        raw = stored(ds)
        assert name in raw, kind
        again = pydicom.dcmread(io.BytesIO(raw))
        assert (str(again.PatientName), again.SpecificCharacterSet) == (
            shown,
            series.headers[0].SpecificCharacterSet,
        ), kind


def test_odd_and_empty_identity_fields_are_carried_and_not_talked_about(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Libraries warn about what they find odd, and would show it."""

    def odd(ds: Dataset, k: int) -> None:
        ds.PatientName, ds.PatientID = "SECRETNAME" * 9, "SECRETID" * 9
        ds.PatientSex, ds.PatientBirthDate, ds.StudyDate = "SECRETSEX", "", ""
        ds.AccessionNumber = ds.StudyID = ""
        del ds.SeriesNumber

    series = series_in(tmp_path, change=odd)
    recwarn.clear()
    objects = every_object(series)
    for kind, ds in objects.items():
        assert str(ds.PatientName) == "SECRETNAME" * 9, kind
        assert ds.PatientSex == "SECRETSEX", kind
        assert (ds.PatientBirthDate, ds.StudyID, ds.AccessionNumber) == ("", "", ""), kind
        assert 9000 < ds.SeriesNumber < 9020, kind
    heading_of(series.headers[0])
    assert "SECRET" not in caplog.text + " ".join(str(w.message) for w in recwarn)


@pytest.mark.parametrize("multiframe", [False, True], ids=["single frames", "multi-frame"])
def test_the_same_input_gives_the_same_bytes(multiframe: bool, tmp_path: Path) -> None:
    series = series_in(tmp_path, multiframe=multiframe)
    again = read_series(tmp_path)
    one, two = ({n: stored(ds) for n, ds in every_object(s).items()} for s in (series, again))
    assert one == two


def test_every_object_and_series_has_its_own_uid(tmp_path: Path) -> None:
    """Another version or levels fixed by a person make other objects; one number never names two."""
    series = series_in(tmp_path)
    plain, newer, fixed = (
        every_object(series),
        every_object(series, "10.0"),
        every_object(series, variant="L1=20"),
    )
    instances = [str(ds.SOPInstanceUID) for made in (plain, newer) for ds in made.values()]
    instances += [str(ds.SOPInstanceUID) for name, ds in fixed.items() if name != "notice"]
    assert len(set(instances)) == len(instances) == 3 * len(plain) - 1
    series_of = {name: str(ds.SeriesInstanceUID) for name, ds in plain.items()}
    pictures = {series_of[name] for name in series_of if name.startswith("key_image_")}
    assert len(pictures) == 1
    assert len({*series_of.values(), series.series_uid}) == 7
    assert all(ds.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID for ds in plain.values())
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in plain.values())
    assert "levels fixed by a person" in fixed["report"].SeriesDescription


def test_text_of_ours_is_ascii(tmp_path: Path) -> None:
    """It goes into a source's character set, whichever that is."""
    for kind, ds in every_object(series_in(tmp_path)).items():
        for element in ds.iterall():
            if element.VR in ("LO", "SH", "ST", "LT", "UT", "CS") and element.tag.group != 0x0010:
                assert str(element.value).isascii(), (kind, element.keyword)


@pytest.mark.parametrize("multiframe", [False, True], ids=["single frames", "multi-frame"])
def test_pictures_and_documents_refer_to_all_their_sources(multiframe: bool, tmp_path: Path) -> None:
    series = series_in(tmp_path, multiframe=multiframe)
    made = every_object(series)
    expected = [(h.SOPClassUID, h.SOPInstanceUID) for h in series.headers]
    for items in (
        made["key_image_1"].SourceImageSequence,
        made["key_images"].SourceImageSequence,
        made["report"].SourceInstanceSequence,
    ):
        assert [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in items] == expected


def test_an_oblique_source_has_no_plane_to_draw_on(tmp_path: Path) -> None:
    turn = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    write_series(tmp_path, grid_of(turn[:, 0], turn[:, 1]))
    series = read_series(tmp_path)
    assert np.abs(turn[2, 2]) < 0.9
    assert write_presentations(series, rotated(series), unsegmented(series), software_version="9") == ()
