"""Reports out of a PACS: Orthanc by C-GET, C-MOVE and DICOMweb, dcmtk's archive, and what goes wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_node.errors import NotTakenNow, PeerUnavailable, ReportRefused
from spine_node.network.archive import Archive, Document, Query
from spine_node.network.pacs import FolderPacs
from spine_node.network.peer import Peer
from spine_node.network.retrieve import DimseArchive, Receiver
from spine_node.network.scu import Alternative, Offer, echo, send, send_offers
from spine_node.reports.find import find_in_archive
from tests.conftest import DICOMWEB_PLUGIN, Orthanc, free_port, make_ct, wait_until
from tests.reports.conftest import Done
from tests.reports.kept import encoded, keep, others, ours

READER = "READER"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
WAYS = ("C-GET", "C-MOVE", "DICOMweb")
STUDY, OTHER_STUDY = "2.25.101", "2.25.44"
MINE = {"AccessionNumber": "B1"}
KEPT = {
    "2.25.1": ours(sop="2.25.1", **MINE),
    "2.25.2": ours(sop="2.25.2", predecessor="2.25.1", **MINE),
    "2.25.3": others("2.25.3", **MINE),
    "2.25.5": others("2.25.5", BASIC_TEXT, **MINE),
    "2.25.4": ours(
        sop="2.25.4",
        StudyInstanceUID=OTHER_STUDY,
        StudyDate="20260203",
        PatientID="T2",
        AccessionNumber="B2",
    ),
}
"""Two reports of ours in one study, the second superseding the first, two by others, and another study."""


def fill(pacs: Peer, folder: Path) -> None:
    """Everything above, and a study without reports."""
    files = [keep(document, folder / f"{uid}.dcm") for uid, document in KEPT.items()]
    outcomes = send(pacs, [*files, *make_ct(folder / "ct", slices=2)], READER)
    assert all(outcome.stored for outcome in outcomes), outcomes


@pytest.fixture
def filled(orthanc: Orthanc, tmp_path: Path) -> Callable[[str], Archive]:
    """Orthanc with everything above; gives it as an archive that is asked in a certain way."""
    pacs = Peer("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, 60.0, 120.0)
    port = free_port()
    reader = {"AET": READER, "Host": "127.0.0.1", "Port": port, "AllowGet": True, "AllowMove": True}
    orthanc.rest("/modalities/reader", reader, "PUT")
    fill(pacs, tmp_path)

    def asked(way: str) -> Archive:
        if way == "DICOMweb":
            if not DICOMWEB_PLUGIN.exists():
                absent = "not installed: orthanc-dicomweb"
                pytest.fail(absent) if os.environ.get("CI") == "true" else pytest.skip(absent)
            from spine_node.network.dicomweb import WebArchive

            return WebArchive(f"{orthanc.url}/dicom-web/", 60.0, 120.0)
        return DimseArchive(pacs, READER, Receiver("127.0.0.1", port) if way == "C-MOVE" else None)

    return asked


def read_back_whole(archive: Archive) -> None:
    """Laws of every archive: what is found, what is passed over, that the bytes are those stored."""
    assert archive.studies(Query(accession="B1")) == [STUDY]
    assert archive.studies(Query(patient_id="T2")) == [OTHER_STUDY]
    assert archive.studies(Query(first_date="20260102", last_date="20260203")) == sorted(
        {STUDY, OTHER_STUDY} | set(archive.studies(Query(patient_id="TEST-1")))
    )
    assert archive.studies(Query(study_uid="2.25.4040")) == []
    with pytest.raises(ReportRefused, match="more than 1 studies match"):
        archive.studies(Query(first_date="20260101"), most=1)
    held = archive.documents(STUDY)
    assert [document.sop_instance_uid for document in held] == ["2.25.1", "2.25.2", "2.25.3", "2.25.5"]
    for document, fetched in zip(held, archive.fetch(held), strict=True):
        assert encoded(fetched) == encoded(KEPT[document.sop_instance_uid])
    assert archive.fetch([]) == []
    found = find_in_archive(archive, Query(accession="B1"), 10)
    assert [report.sop_instance_uid for report in found.reports] == ["2.25.2"]
    assert dict(found.passed_over) == {
        "structured reports that are not ours": 2,
        "superseded reports (--all shows them)": 1,
    }
    both = find_in_archive(archive, Query(study_uid=STUDY), 10, every=True)
    assert sorted(report.sop_instance_uid for report in both.reports) == ["2.25.1", "2.25.2"]
    without = find_in_archive(archive, Query(patient_id="TEST-1"), 10)
    assert (without.studies, without.reports, dict(without.passed_over)) == (1, [], {})


@pytest.mark.orthanc
@pytest.mark.parametrize("way", WAYS)
def test_orthanc_gives_back_the_bytes_it_got(filled: Callable[[str], Archive], way: str) -> None:
    read_back_whole(filled(way))


@pytest.mark.orthanc
def test_the_command_asks_orthanc(
    filled: Callable[[str], Archive], orthanc: Orthanc, report_command: Callable[..., Done], tmp_path: Path
) -> None:
    address = f"dicom://{orthanc.ae_title}@127.0.0.1:{orthanc.port}"
    done = report_command(address, "--accession", "B1", "--aet", READER)
    assert done.status == 0, done.err
    assert "Report 2.25.2" in done.out
    assert "Supersedes 2.25.1" in done.out
    config = tmp_path / "site.toml"
    config.write_text(
        f'[scp]\nae_title = "{READER}"\n[[destinations]]\nname = "main"\nae_title = "{orthanc.ae_title}"\n'
        f'host = "127.0.0.1"\nport = {orthanc.port}\n'
    )
    by_name = report_command("--peer", "main", "--config", config, "--patient", "T2", "--csv")
    assert by_name.status == 0, by_name.err
    assert "2.25.44,2.25.4,20260203,T2,B2,parameter,PI," in by_name.out
    unknown = report_command(address, "--study", "2.25.4040", "--aet", READER)
    assert (unknown.status, unknown.out) == (3, "")
    assert "studies that match: 0" in unknown.err
    empty = report_command(address, "--patient", "TEST-1", "--aet", READER)
    assert empty.status == 3
    assert "studies that match: 1" in empty.err


@pytest.mark.orthanc
def test_a_pacs_that_cannot_call_back_is_told_apart(
    filled: Callable[[str], Archive], orthanc: Orthanc
) -> None:
    """It does not know our AE title; or it does, and sends to another port."""
    document = [Document(STUDY, "2.25.2.1", "2.25.2")]
    filled("C-GET")
    pacs = Peer("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, 60.0, 120.0)
    with pytest.raises(PeerUnavailable, match="our AE title STRANGER, and may that retrieve"):
        DimseArchive(pacs, "STRANGER", Receiver("127.0.0.1", free_port())).fetch(document)
    wrong_port = free_port()
    with pytest.raises(PeerUnavailable, match=f"READER as this machine, port {wrong_port}"):
        DimseArchive(pacs, READER, Receiver("127.0.0.1", wrong_port)).fetch(document)
    with pytest.raises(PeerUnavailable, match=r"C-GET of report 2\.25\.4040"):
        DimseArchive(pacs, READER).fetch([Document(STUDY, "2.25.2.1", "2.25.4040")])


@pytest.mark.dcmtk
def test_dcmtk_gives_back_the_bytes_it_got(tmp_path: Path) -> None:
    """dcmqrscp, whose queries know the plain hierarchy only; both ways of retrieving."""
    port, mine = free_port(), free_port()
    (tmp_path / "db").mkdir()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nreader = ({READER}, 127.0.0.1, {mine})\nHostTable END\n"
        f"VendorTable BEGIN\nVendorTable END\nAETable BEGIN\n"
        f"QR {tmp_path / 'db'} RW (200, 1024mb) ANY\nAETable END\n"
    )
    peer = Peer("dcmtk", "QR", "127.0.0.1", port, 60.0, 120.0)
    with subprocess.Popen(["dcmqrscp", "-c", str(config)]) as process:
        try:
            wait_until(lambda: _answers(peer))
            fill(peer, tmp_path)
            read_back_whole(DimseArchive(peer, READER))
            read_back_whole(DimseArchive(peer, READER, Receiver("127.0.0.1", mine)))
        finally:
            process.terminate()


def _answers(peer: Peer) -> bool:
    try:
        echo(peer, READER)
    except PeerUnavailable:
        return False
    return True


def test_a_pacs_that_is_away_is_said_and_is_1(report_command: Callable[..., Done]) -> None:
    done = report_command(f"dicom://PACS@127.0.0.1:{free_port()}", "--study", STUDY)
    assert (done.status, done.out) == (1, "")
    assert "PeerUnavailable: no association with pacs" in done.err


def test_a_pacs_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        archive = DimseArchive(Peer("pacs", "PACS", "127.0.0.1", port, 0.5, 0.5), READER)
        with pytest.raises(PeerUnavailable, match="no connection, or no answer in time"):
            archive.studies(Query(study_uid=STUDY))


def test_a_pacs_without_c_get_is_said_with_what_to_do(tmp_path: Path) -> None:
    pacs = FolderPacs("PACS", "127.0.0.1", 0, tmp_path)
    peer = Peer("pacs", "PACS", "127.0.0.1", pacs.start(), 60.0, 60.0)
    try:
        fill(peer, tmp_path / "sent")
        archive = DimseArchive(peer, READER)
        held = archive.documents(STUDY)
        assert [document.sop_instance_uid for document in held] == ["2.25.1", "2.25.2", "2.25.3", "2.25.5"]
        with pytest.raises(PeerUnavailable, match="takes no C-GET: try --move PORT"):
            archive.fetch(held)
        with pytest.raises(PeerUnavailable, match="accepts none of the SOP classes"):
            DimseArchive(peer, READER, Receiver("127.0.0.1", free_port())).fetch(held)
    finally:
        pacs.stop()


def test_the_port_of_c_move_takes_what_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    """A port that is open on every interface must not take whatever anybody sends."""
    from spine_node.network.retrieve import _Arrived, _receiving

    arrived = _Arrived({"2.25.1"})
    port = free_port()
    files = [keep(KEPT[uid], tmp_path / uid) for uid in ("2.25.1", "2.25.4")]
    offers = [Offer((Alternative(path.name, (path,)),)) for path in files]
    with _receiving(READER, Receiver("127.0.0.1", port), arrived):
        sent = send_offers(Peer("us", READER, "127.0.0.1", port), offers, "ANYBODY")
        outcomes = [next(sent), next(sent)]
        with pytest.raises(NotTakenNow, match="not authorised"):
            next(sent)
        with pytest.raises(PeerUnavailable, match="alled AE"):
            echo(Peer("us", "ELSE", "127.0.0.1", port), "ANYBODY")
    assert [outcome.name for outcome in outcomes] == ["stored", "postponed"]
    assert list(arrived.taken) == ["2.25.1"]


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys, spine_node.cli, spine_node.reports.commands;"
        "print(*sorted({'requests', 'pydicom', 'pynetdicom', 'highdicom', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
