"""C-FIND against the node, as any SCU asks: what is found, at which level, and what is refused in words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from io import BytesIO
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import build_context
from structlog.testing import capture_logs

from spine_node.network import query_scp
from spine_node.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PATIENT_ROOT,
    PATIENT_ROOT_FIND,
    STUDY_ROOT,
    STUDY_ROOT_FIND,
)
from spine_node.network.peer import Peer
from tests.network.conftest import cancel_is_heard
from tests.network.kept_results import KOREAN, Serving

Made = tuple[Serving, Peer]


def identifier_of(level: str, **keys: Any) -> Dataset:
    identifier = Dataset()
    if level:
        identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def ask(
    peer: Peer, level: str, root: str = STUDY_ROOT, *, relational: bool = False, **keys: Any
) -> tuple[Dataset, list[Dataset], list[int]]:
    """The last status, what matched, and the statuses of the matches."""
    model = f"{root}.1"
    extended = []
    if relational:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = model, b"\x01\x01\x01"
        extended = [item]
    association = AE("ASKER").associate(
        peer.host, peer.port, [build_context(model, [EXPLICIT_LITTLE])], peer.ae_title, ext_neg=extended
    )
    assert association.is_established
    if relational:
        agreed = association.acceptor.sop_class_extended[model]
        assert agreed == b"\x01\x00\x00", "relational, and nothing else"
    found, statuses, last = [], [], Dataset()
    for status, match in association.send_c_find(identifier_of(level, **keys), model):
        if match is None:
            last = status
        else:
            found.append(match)
            statuses.append(int(status.Status))
    association.release()
    return last, found, statuses


def find(peer: Peer, level: str, root: str = STUDY_ROOT, **keys: Any) -> list[Dataset]:
    last, found, _ = ask(peer, level, root, **keys)
    assert last.Status == 0x0000, last
    return found


@pytest.fixture
def two(serving: Callable[..., Made]) -> Made:
    """Two studies of one patient, one of another; pictures and PDF among the results."""
    made, peer = serving()
    made.keep()
    made.keep(StudyDate="20260203", AccessionNumber="A2")
    made.keep(PatientID="T9", PatientName=KOREAN, SpecificCharacterSet="ISO_IR 192", AccessionNumber="B9")
    return made, peer


def test_a_patient_is_found_by_name_with_what_is_held_of_him(two: Made) -> None:
    _, peer = two
    counts = {"NumberOfPatientRelatedStudies": None, "NumberOfPatientRelatedInstances": None}
    (patient,) = find(peer, "PATIENT", PATIENT_ROOT, PatientName="test^*", PatientID="", **counts)
    assert (patient.PatientID, patient.PatientName, patient.QueryRetrieveLevel) == (
        "T1",
        "Test^Serving",
        "PATIENT",
    )
    assert patient.NumberOfPatientRelatedStudies == 2
    assert patient.NumberOfPatientRelatedInstances == 12
    assert (patient.RetrieveAETitle, patient.InstanceAvailability) == ("NODE", "ONLINE")


def test_a_study_tells_what_lies_in_it_once_for_each_result(two: Made) -> None:
    """SEG, SR, two key images, key object and PDF: one form of each, though the report was made in three."""
    _, peer = two
    (study,) = find(
        peer, "STUDY", AccessionNumber="A2", StudyInstanceUID="", PatientName="", ModalitiesInStudy="",
        SOPClassesInStudy="", NumberOfStudyRelatedSeries=None, NumberOfStudyRelatedInstances=None,
        StudyTime="", ReferringPhysicianName="",
    )  # fmt: skip
    assert (study.StudyInstanceUID, study.PatientName) == ("2.25.2", "Test^Serving")
    assert sorted(study.ModalitiesInStudy) == ["DOC", "KO", "OT", "SEG", "SR"]
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (5, 6)
    assert "1.2.840.10008.5.1.4.1.1.88.34" in study.SOPClassesInStudy
    assert "1.2.840.10008.5.1.4.1.1.88.22" not in study.SOPClassesInStudy
    assert (study.StudyTime, study.ReferringPhysicianName) == ("101530", "Ref^Doctor")


@pytest.mark.parametrize("root", [STUDY_ROOT, PATIENT_ROOT])
def test_series_and_instances_are_found_from_above(two: Made, root: str) -> None:
    _, peer = two
    above = {"StudyInstanceUID": "2.25.1"} | ({"PatientID": "T1"} if root == PATIENT_ROOT else {})
    (series,) = find(
        peer,
        "SERIES",
        root,
        **above,
        Modality="SR",
        SeriesInstanceUID="",
        NumberOfSeriesRelatedInstances=None,
    )
    assert (series.NumberOfSeriesRelatedInstances, series.StudyInstanceUID) == (1, "2.25.1")
    images = find(peer, "SERIES", root, **above, Modality="OT", SeriesInstanceUID="")
    inside = above | {"SeriesInstanceUID": images[0].SeriesInstanceUID}
    both = find(peer, "IMAGE", root, **inside, SOPInstanceUID="", InstanceNumber="", SOPClassUID="")
    assert sorted(image.InstanceNumber for image in both) == [1, 2]
    (second,) = find(peer, "IMAGE", root, **inside, InstanceNumber="2", SOPInstanceUID="")
    assert second.SOPInstanceUID in {image.SOPInstanceUID for image in both}
    (named,) = find(peer, "IMAGE", root, **inside, SOPInstanceUID=second.SOPInstanceUID)
    assert named.SOPInstanceUID == second.SOPInstanceUID


def test_dates_lists_and_patterns_narrow_a_query(two: Made) -> None:
    _, peer = two

    def studies(**keys: Any) -> list[str]:
        return sorted(s.StudyInstanceUID for s in find(peer, "STUDY", **{"StudyInstanceUID": ""} | keys))

    assert studies(StudyDate="20260102-20260202") == ["2.25.1", "2.25.3"]
    assert studies(StudyDate="20260203-") == ["2.25.2"]
    assert studies(StudyDate="-20260101") == []
    assert studies(StudyTime="1015", AccessionNumber="A?") == ["2.25.1", "2.25.2"]
    assert studies(StudyInstanceUID=["2.25.3", "2.25.1", "2.25.77"]) == ["2.25.1", "2.25.3"]
    assert studies(ModalitiesInStudy="SR", PatientID="T9") == ["2.25.3"]
    assert studies(ModalitiesInStudy="MR") == []
    assert studies(PatientID="T?") == ["2.25.1", "2.25.2", "2.25.3"]
    assert studies(PatientID="T") == []


def test_a_name_is_found_and_given_back_in_its_own_characters(two: Made) -> None:
    """Asked in another character set than it is held in, by any of its component groups."""
    _, peer = two
    for asked, charset in (("洪^吉洞", "ISO_IR 192"), ("hong*", "ISO_IR 6"), ("=洪*", "GB18030")):
        (study,) = find(peer, "STUDY", SpecificCharacterSet=charset, PatientName=asked, StudyInstanceUID="")
        assert (study.SpecificCharacterSet, str(study.PatientName)) == ("ISO_IR 192", KOREAN)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_bytes_that_are_no_text_are_found_and_given_back_as_they_are(
    serving: Callable[..., Made], syntax: str
) -> None:
    """Latin-1 without a declared character set, as old devices write it."""
    made, peer = serving()
    made.keep("sr-3d", PatientName=b"M\xfcller^J\xf6rg")
    made.keep("sr-3d", PatientName=b"M\xe4ller^J\xf6rg")
    asked = identifier_of("STUDY", StudyInstanceUID="")
    asked.PatientName = b"M\xfcller*"
    raw: list[bytes] = []
    association = AE("ASKER").associate(
        peer.host, peer.port, [build_context(STUDY_ROOT_FIND, [syntax])], peer.ae_title,
        evt_handlers=[(evt.EVT_DIMSE_RECV, lambda event: raw.append(event.message.data_set.getvalue()))],
    )  # fmt: skip
    found = [match for _, match in association.send_c_find(asked, STUDY_ROOT_FIND) if match]
    association.release()
    assert [match.StudyInstanceUID for match in found] == ["2.25.1"]
    assert b"M\xfcller^J\xf6rg" in raw[0]


@pytest.mark.parametrize(
    ("level", "root", "keys", "words"),
    [
        ("", STUDY_ROOT, {"StudyInstanceUID": ""}, "Query/Retrieve Level"),
        ("PATIENT", STUDY_ROOT, {"PatientID": ""}, "Query/Retrieve Level"),
        ("FRAME", PATIENT_ROOT, {"PatientID": ""}, "Query/Retrieve Level"),
        ("SERIES", STUDY_ROOT, {"SeriesInstanceUID": ""}, "has no StudyInstanceUID"),
        ("STUDY", PATIENT_ROOT, {"StudyInstanceUID": ""}, "has no PatientID"),
        ("IMAGE", STUDY_ROOT, {"StudyInstanceUID": ["2.25.1", "2.25.2"], "SeriesInstanceUID": "2.25.1.1"},
         "several values of StudyInstanceUID"),
        ("STUDY", STUDY_ROOT, {"StudyInstanceUID": [f"1.{n}" for n in range(20_001)]}, "too many to match"),
        ("STUDY", STUDY_ROOT, {"AccessionNumber": ["A"] * 101}, "has 101 values"),
        ("STUDY", STUDY_ROOT, {"StudyDescription": "*a" * 600}, "longer than 1024 characters"),
        ("STUDY", PATIENT_ROOT, {"PatientID": "T*", "StudyInstanceUID": ""}, "names one entity"),
        ("STUDY", STUDY_ROOT, {"StudyDate": "-"}, "StudyDate: a range"),
    ],
)  # fmt: skip
def test_an_identifier_that_is_wrong_is_refused_in_words(
    two: Made, level: str, root: str, keys: dict[str, Any], words: str
) -> None:
    _, peer = two
    last, found, _ = ask(peer, level, root, **keys)
    assert (last.Status, found) == (0xA900, [])
    assert words in last.ErrorComment


def test_relational_queries_are_agreed_upon_and_answered(two: Made) -> None:
    """Without them the same question is refused."""
    _, peer = two
    asked = {"Modality": "SR", "SeriesInstanceUID": "", "PatientID": "T1"}
    assert ask(peer, "SERIES", **asked)[0].Status == 0xA900
    last, found, _ = ask(peer, "SERIES", relational=True, **asked)
    assert last.Status == 0
    assert sorted(series.StudyInstanceUID for series in found) == ["2.25.1", "2.25.2"]
    last, found, _ = ask(peer, "IMAGE", PATIENT_ROOT, relational=True, SOPClassUID="", SOPInstanceUID="")
    assert (last.Status, len(found)) == (0, 18)


def test_optional_keys_that_are_not_supported_are_said_to_be(two: Made) -> None:
    _, peer = two
    _, found, statuses = ask(
        peer, "STUDY", PatientID="T9", StudyInstanceUID="", PatientReligiousPreference=""
    )
    assert statuses == [0xFF01]
    assert "PatientReligiousPreference" not in found[0]
    assert ask(peer, "STUDY", PatientID="T9", StudyInstanceUID="")[2] == [0xFF00]


def test_too_many_matches_end_with_a_status_by_name(serving: Callable[..., Made]) -> None:
    made, peer = serving(most_matches=2)
    for _ in range(3):
        made.keep("sr-3d")
    last, found, _ = ask(peer, "STUDY", StudyInstanceUID="")
    assert (last.Status, len(found)) == (0xA700, 2)
    assert last.ErrorComment == "more than 2 match: narrow the query"


def test_a_query_can_be_cancelled(serving: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    """On the first answer; the node then hears of it before it looks for the second."""
    made, peer = serving()
    for _ in range(4):
        made.keep("sr-3d")
    heard = cancel_is_heard(monkeypatch)
    monkeypatch.setattr(query_scp, "_AT_ONCE", 1)
    look, looked = made.served.headers, []

    def look_slowly(uids: Collection[str]) -> dict[str, Dataset]:
        if looked:
            assert heard.wait(120)
        else:
            heard.clear()  # of the earlier one, which came before this query
        looked.append(uids)
        return look(uids)

    monkeypatch.setattr(made.served, "headers", look_slowly)
    association = AE("ASKER").associate(
        peer.host, peer.port, [build_context(PATIENT_ROOT_FIND, [EXPLICIT_LITTLE])], peer.ae_title
    )
    association.send_c_cancel(7, query_model=PATIENT_ROOT_FIND)  # of an earlier query: cancels nothing
    statuses = []
    asked = identifier_of("STUDY", PatientID="T1", StudyInstanceUID="")
    for status, _ in association.send_c_find(asked, PATIENT_ROOT_FIND, msg_id=7):
        if not statuses:
            association.send_c_cancel(7, query_model=PATIENT_ROOT_FIND)
        statuses.append(int(status.Status))
    assert statuses == [0xFF00, 0xFE00]
    association.release()


def test_bytes_that_are_no_identifier_do_not_end_the_association(two: Made) -> None:
    _, peer = two
    association = AE("ASKER").associate(
        peer.host, peer.port, [build_context(STUDY_ROOT_FIND, [EXPLICIT_LITTLE])], peer.ae_title
    )
    request = C_FIND()
    request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 2, STUDY_ROOT_FIND
    request.Identifier = BytesIO(b"\x08\x00\x52\x00CS\xff\xff" + b"x" * 10)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, 1)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert answer.Status in (0xA900, 0xC000)
    statuses = [
        s.Status
        for s, _ in association.send_c_find(identifier_of("STUDY", StudyInstanceUID=""), STUDY_ROOT_FIND)
    ]
    assert statuses == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    association.release()


def test_what_goes_wrong_here_is_said_to_be_ours_and_tells_nothing_of_patients(two: Made) -> None:
    made, peer = two
    with made.ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ledger_holdings RENAME TO elsewhere")
    with capture_logs() as logs:
        last, found, _ = ask(peer, "STUDY", PatientID="SECRET-ID")
    assert (last.Status, found) == (0xC000, [])
    assert last.ErrorComment == "an error of the node, see its log"
    assert "query_failed" in [entry["event"] for entry in logs]
    with pytest.raises(sa.exc.OperationalError) as problem:
        made.holdings.select(patient_ids=["SECRET-ID"])
    assert "SECRET-ID" not in str(problem.value)
