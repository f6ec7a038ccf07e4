"""Which of its results the node hands out: one form of each, whatever the index knew before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
import pytest

from spine_node.config import Destination
from spine_node.network.held import Selection
from spine_node.served import enter, rebuild
from tests.network.kept_results import Serving, kept_object


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., Serving]:
    def make(*destinations: Destination) -> Serving:
        tmp_path.mkdir(exist_ok=True)
        return Serving(tmp_path, destinations)

    return make


def found(made: Serving, **selection: Sequence[str]) -> list[str]:
    """Products that are found."""
    return sorted({holding.product for holding in made.served.held(Selection(**selection))})


def pacs(name: str, profile: str, *results: str) -> Destination:
    return Destination(name, name.upper(), "127.0.0.1", 104, profile=profile, results=results)


def test_without_destinations_the_default_profile_chooses(serving: Callable[..., Serving]) -> None:
    made = serving()
    made.keep()
    assert found(made) == ["key-images", "key-object", "report-pdf", "seg-binary", "sr-3d"]


def test_the_first_destination_that_gets_a_result_chooses_its_form(serving: Callable[..., Serving]) -> None:
    """The first gets label maps and reports, no more; the rest is served as the second gets it."""
    made = serving(pacs("first", "ohif", "seg", "sr"), pacs("second", "generic"))
    made.keep(profile="ohif")
    assert found(made) == [
        "key-images", "report-pdf", "seg-labelmap", "sr-3d-on-seg-labelmap"
    ]  # fmt: skip


def test_a_form_that_no_profile_lists_any_more_is_served_where_there_is_no_other(
    serving: Callable[..., Serving],
) -> None:
    made = serving(pacs("only", "generic"))
    made.keep("seg-labelmap", profile="ohif")
    assert found(made) == ["seg-labelmap"]


def test_what_is_referred_to_comes_before_what_refers_to_it(serving: Callable[..., Serving]) -> None:
    """A viewer that is sent a key object knows its images."""
    made = serving()
    made.keep()
    order = [result.forms[0].name for result in made.served.results(Selection())]
    assert order == ["seg-binary", "sr-3d", "key-images", "key-object", "report-pdf"]


def test_the_index_is_made_of_the_folders(serving: Callable[..., Serving]) -> None:
    """What it lacks is read, what is gone is forgotten, what it has is left alone."""
    made = serving()
    for into in (True, False, False):
        made.keep(into=into)
    results = made.settings.storage.results
    assert rebuild(made.holdings, results) == 2
    assert made.holdings.jobs() == {"job1", "job2", "job3"}
    shutil.rmtree(results / "job1")
    assert rebuild(made.holdings, results) == 0
    assert made.holdings.jobs() == {"job2", "job3"}
    assert rebuild(made.holdings, results, anew=True) == 2


def test_entering_results_again_changes_nothing(serving: Callable[..., Serving]) -> None:
    made = serving()
    made.keep()
    before = made.holdings.select()
    enter(made.holdings, made.settings.storage.results, "job1")
    assert sorted(made.holdings.select(), key=str) == sorted(before, key=str)
    assert len(before) == 8


def test_a_damaged_folder_keeps_no_other_from_being_served(serving: Callable[..., Serving]) -> None:
    made = serving()
    for _ in range(3):
        made.keep(into=False)
    results = made.settings.storage.results
    (results / "job1" / "dicom" / "sr-3d-1.dcm").write_bytes(b"nothing")
    (results / "job2" / "dicom" / "sr-3d-1.dcm").unlink()
    assert rebuild(made.holdings, results) == 1
    assert made.holdings.jobs() == {"job3"}


def test_an_incomplete_folder_is_not_served(serving: Callable[..., Serving]) -> None:
    made = serving()
    made.keep(into=False)
    (made.settings.storage.results / "job1" / "done.json").unlink()
    assert rebuild(made.holdings, made.settings.storage.results) == 0
    with pytest.raises(FileNotFoundError):
        enter(made.holdings, made.settings.storage.results, "job1")


def test_a_notice_is_not_served(serving: Callable[..., Serving]) -> None:
    """It says that a series was not analysed; when that is no longer so nothing would take it back."""
    made = serving()
    made.keep("key-object")
    folder = made.settings.storage.results / "job1"
    kept_object(folder / "dicom" / "notice.dcm", "key-images", "2.25.6", "2.25.61")
    done = folder / "done.json"
    done.write_text(done.read_text().replace('"key-object"', '"notice"').replace("key-object-1", "notice"))
    enter(made.holdings, made.settings.storage.results, "job1")
    assert made.holdings.jobs() == set()


def test_names_keep_their_bytes(serving: Callable[..., Serving]) -> None:
    made = serving()
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    made.keep("sr-3d", SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name)
    made.keep("sr-3d", PatientName=b"M\xfcller")
    (path,) = made.settings.storage.results.glob("job1/dicom/*.dcm")
    for header in made.served.headers(["2.25.1.1.2.1"]).values():
        written = pydicom.dcmread(path)
        assert header.get_item("PatientName").value == written.get_item("PatientName").value
        assert header.PatientName == name
    (header,) = made.served.headers(["2.25.2.2.2.1"]).values()
    assert header.get_item("PatientName").value.rstrip() == b"M\xfcller"


def test_long_lists_are_asked_for_in_parts(serving: Callable[..., Serving]) -> None:
    """Longer than a database takes variables, of two kinds at once."""
    made = serving()
    for _ in range(3):
        made.keep("sr-3d")
    many = [f"1.2.{n}" for n in range(40_000)]
    both = made.holdings.select(study_uids=[*many, "2.25.1", "2.25.2"], patient_ids=[*many, "T1"])
    assert sorted(holding.study_uid for holding in both) == ["2.25.1", "2.25.2"]
    assert made.holdings.select(study_uids=many, sop_instance_uids=["2.25.1.1.2.1"]) == []
    assert made.holdings.headers(many) == {}
