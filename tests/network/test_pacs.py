"""The small PACS, and C-FIND against it: what was sent is found, by the matching rules of the standard."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from spine_node.errors import PeerUnavailable
from spine_node.network.pacs import FolderPacs
from spine_node.network.peer import Peer
from spine_node.network.query import FoundInstance, find, find_instances
from spine_node.network.scu import echo, send
from tests.conftest import free_port, make_ct, wait_until
from tests.network.conftest import encoded


@dataclass
class Filled:
    """A PACS with two studies: one of two series (CT, SR), one of one."""

    peer: Peer
    pacs: FolderPacs
    folder: Path
    first: list[Path]
    report: Path
    second: list[Path]

    def uid(self, path: Path, keyword: str = "StudyInstanceUID") -> str:
        return str(pydicom.dcmread(path, stop_before_pixels=True)[keyword].value)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    pacs = FolderPacs("PACS", "127.0.0.1", 0, tmp_path / "pacs")
    peer = Peer("pacs", "PACS", "127.0.0.1", pacs.start())
    first, second = make_ct(tmp_path / "1", slices=3), make_ct(tmp_path / "2", slices=1)
    (report,) = make_ct(tmp_path / "3", slices=1, sop_class="1.2.840.10008.5.1.4.1.1.88.34")
    ds = pydicom.dcmread(report)
    ds.StudyInstanceUID, ds.Modality = pydicom.dcmread(first[0]).StudyInstanceUID, "SR"
    ds.save_as(report)
    other = pydicom.dcmread(second[0])
    other.PatientID, other.PatientName, other.StudyDate = "TEST-2", "Other^Ann", "20250630"
    other.save_as(second[0])
    assert all(outcome.stored for outcome in send(peer, [*first, report, *second], "NODE"))
    yield Filled(peer, pacs, tmp_path / "pacs", first, report, second)
    pacs.stop()


def test_what_was_sent_is_on_disk_byte_for_byte(filled: Filled) -> None:
    sent = sorted(encoded(p) for p in [*filled.first, filled.report, *filled.second])
    assert sorted(encoded(path) for path in filled.pacs.paths()) == sent


def test_the_instances_of_a_study_are_found_with_their_modality(filled: Filled) -> None:
    found = find_instances(filled.peer, filled.uid(filled.first[0]), "NODE")
    expected = [
        FoundInstance(filled.uid(p, "SeriesInstanceUID"), filled.uid(p, "SOPInstanceUID"), modality)
        for p, modality in [*((p, "CT") for p in filled.first), (filled.report, "SR")]
    ]
    assert found == sorted(expected)
    assert find_instances(filled.peer, "1.2.3.4.5", "NODE") == []


@pytest.mark.parametrize(
    ("keys", "patients"),
    [
        ({}, ["TEST-1", "TEST-2"]),
        ({"PatientID": "TEST-2"}, ["TEST-2"]),
        ({"PatientID": "TEST-*"}, ["TEST-1", "TEST-2"]),
        ({"PatientID": "?EST-1"}, ["TEST-1"]),
        ({"PatientID": "TEST"}, []),
        ({"PatientName": "other^*"}, ["TEST-2"]),
        ({"StudyDate": "20260102"}, ["TEST-1"]),
        ({"StudyDate": "20250101-20251231"}, ["TEST-2"]),
        ({"StudyDate": "-20251231"}, ["TEST-2"]),
        ({"StudyDate": "20260101-"}, ["TEST-1"]),
        ({"PatientID": "TEST-1", "StudyDate": "20250630"}, []),
    ],
)
def test_matching_is_the_standards(filled: Filled, keys: dict[str, str], patients: list[str]) -> None:
    answers = find(filled.peer, "NODE", "STUDY", {"PatientID": "", "StudyInstanceUID": "", **keys})
    assert sorted(answer.PatientID for answer in answers) == patients


def test_a_list_of_uids_matches_each(filled: Filled) -> None:
    uids = [filled.uid(filled.first[0]), filled.uid(filled.second[0]), "1.2.3"]
    answers = find(filled.peer, "NODE", "STUDY", {"StudyInstanceUID": "\\".join(uids)})
    assert sorted(answer.StudyInstanceUID for answer in answers) == sorted(uids[:2])


def test_a_study_is_one_answer_with_its_counts(filled: Filled) -> None:
    keys = {
        "StudyInstanceUID": filled.uid(filled.first[0]),
        "ModalitiesInStudy": "",
        "NumberOfStudyRelatedSeries": "",
        "NumberOfStudyRelatedInstances": "",
        "InstitutionName": "",
    }
    (answer,) = find(filled.peer, "NODE", "STUDY", keys)
    assert list(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 4)
    assert answer.InstitutionName == "", "asked for, and not there"


def test_a_restarted_pacs_knows_what_it_had(filled: Filled) -> None:
    filled.pacs.stop()
    again = FolderPacs("PACS", "127.0.0.1", 0, filled.folder)
    peer = Peer("pacs", "PACS", "127.0.0.1", again.start())
    try:
        assert len(find_instances(peer, filled.uid(filled.first[0]), "NODE")) == 4
    finally:
        again.stop()


def test_a_peer_that_does_not_answer_queries_is_said(receiver: object) -> None:
    with pytest.raises(PeerUnavailable, match="accepts none of the SOP classes offered"):
        find_instances(receiver.peer, "1.2.3", "NODE")  # type: ignore[attr-defined]


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "spine_node.network.pacs", "PACS", str(port), str(tmp_path / "pacs")]
    peer = Peer("pacs", "PACS", "127.0.0.1", port, 60.0)

    def up() -> bool:
        try:
            echo(peer, "NODE")
        except PeerUnavailable:
            return False
        return True

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until(up)
        assert send(peer, make_ct(tmp_path / "sent", slices=1), "NODE")[0].stored
        process.terminate()
        assert process.wait(120) == 0
    assert len(list((tmp_path / "pacs").glob("*.dcm"))) == 1
