"""Everything that can leave the node, into archives of others and out again: each byte comes back.

Compared is the encoded data set; File Meta Information is each archive's own.
"""

from __future__ import annotations

import io
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.filereader import read_file_meta_info, read_preamble
from pynetdicom import AE, evt
from pynetdicom import build_role as role
from pynetdicom.presentation import build_context

from spine_node.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from spine_node.network.pacs import FolderPacs
from spine_node.network.peer import Peer
from spine_node.network.query import find, find_instances
from spine_node.network.scu import send
from tests.conftest import DICOMWEB_PLUGIN, Orthanc, free_port, wait_until
from tests.network.conftest import encoded
from tests.network.test_with_dcmtk import _answers
from tests.validation.everything import Study

READER = "READER"
LABELMAP, STL = "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.104.3"

Bytes = dict[str, bytes]
"""Encoded data sets by SOP Instance UID."""


def sent(study: Study) -> list[Path]:
    """Every object, and the images that they are of."""
    return [*study.everything, *study.images]


def of_files(paths: Iterable[Path]) -> Bytes:
    return {str(read_file_meta_info(path).MediaStorageSOPInstanceUID): encoded(path) for path in paths}


def known_to_dcmtk(paths: Iterable[Path]) -> list[Path]:
    """All but LABELMAP, which came after dcmtk 3.6.7."""
    return [path for path in paths if class_of(path) != LABELMAP]


def class_of(path: Path) -> str:
    return str(read_file_meta_info(path).MediaStorageSOPClassUID)


def of_part10(file: bytes) -> tuple[str, bytes]:
    """UID and data set of a file in memory."""
    stream = io.BytesIO(file)
    read_preamble(stream, force=False)
    meta = pydicom.filereader._read_file_meta_info(stream)
    return str(meta.MediaStorageSOPInstanceUID), file[stream.tell() :]


def by_c_get(pacs: Peer, study: Study) -> Bytes:
    """All instances of the study over the association that asks for them."""
    arrived: Bytes = {}

    def keep(event: evt.Event) -> int:
        arrived[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    kinds = {
        (str(m.MediaStorageSOPClassUID), str(m.TransferSyntaxUID))
        for m in map(read_file_meta_info, sent(study))
    }
    contexts = [build_context(STUDY_ROOT_GET, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    contexts += [build_context(*kind) for kind in sorted(kinds)]
    roles = [role(kind, scp_role=True) for kind in sorted({kind for kind, _ in kinds})]
    association = AE(READER).associate(
        pacs.host, pacs.port, contexts, ae_title=pacs.ae_title, ext_neg=roles,
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )  # fmt: skip
    assert association.is_established
    answers = list(association.send_c_get(whole_study(study), STUDY_ROOT_GET))
    association.release()
    last = answers[-1][0]
    assert last.NumberOfCompletedSuboperations == len(arrived), last
    return arrived


def by_c_move(pacs: Peer, study: Study, receiver: FolderPacs) -> Bytes:
    """All instances of the study, to a receiver that takes every class."""
    contexts = [build_context(STUDY_ROOT_MOVE, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    association = AE(READER).associate(pacs.host, pacs.port, contexts, ae_title=pacs.ae_title)
    assert association.is_established
    answers = list(association.send_c_move(whole_study(study), READER, STUDY_ROOT_MOVE))
    association.release()
    last = answers[-1][0]
    assert last.NumberOfCompletedSuboperations == len(receiver.paths()), last
    return of_files(receiver.paths())


def by_dicomweb(url: str, study: Study) -> Bytes:
    """All instances of the study by WADO-RS, as they are stored (PS3.18 10.4)."""
    uid = study.findings.series.study_uid
    request = urllib.request.Request(
        f"{url}/dicom-web/studies/{uid}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=240) as answer:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        boundary = BytesParser().parsebytes(head).get_boundary()
        parts = answer.read().split(f"--{boundary}".encode())
    assert boundary
    # A part is its head, an empty line, the file and a line end.
    return dict(of_part10(part.split(b"\r\n\r\n", 1)[1][:-2]) for part in parts[1:-1])


def whole_study(study: Study) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study.findings.series.study_uid
    return identifier


@pytest.fixture
def study(study_of: Callable[[str], Study]) -> Study:
    """The shorter one."""
    return study_of("multi-frame")


@contextmanager
def receiving(folder: Path, port: int) -> Iterator[FolderPacs]:
    pacs = FolderPacs(READER, "127.0.0.1", port, folder)
    pacs.start()
    try:
        yield pacs
    finally:
        pacs.stop()


@pytest.mark.orthanc
def test_orthanc_finds_everything_and_gives_it_back_in_every_way(
    orthanc: Orthanc, study: Study, tmp_path: Path
) -> None:
    pacs = Peer("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, 60.0)
    port = free_port()
    reader = {"AET": READER, "Host": "127.0.0.1", "Port": port, "AllowGet": True, "AllowMove": True}
    orthanc.rest("/modalities/reader", reader, "PUT")
    outcomes = send(pacs, sent(study), "NODE")
    assert {outcome.name for outcome in outcomes} == {"stored"}

    uid, stored = study.findings.series.study_uid, of_files(sent(study))
    assert {f.sop_instance_uid for f in find_instances(pacs, uid, READER)} == set(stored)
    keys = {"StudyInstanceUID": uid, "SeriesInstanceUID": "", "Modality": "SR"}
    reports = {str(answer.SeriesInstanceUID) for answer in find(pacs, READER, "SERIES", keys)}
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in study.everything]
    assert reports == {str(h.SeriesInstanceUID) for h in headers if h.Modality == "SR"}

    with receiving(tmp_path, port) as receiver:
        same(by_c_move(pacs, study, receiver), stored, "C-MOVE")
    # Orthanc 1.10 refuses to hand out a class that its dcmtk does not know, by C-GET only.
    same(by_c_get(pacs, study), of_files(known_to_dcmtk(sent(study))), "C-GET")
    if DICOMWEB_PLUGIN.exists():
        same(by_dicomweb(orthanc.url, study), stored, "DICOMweb")
    elif os.environ.get("CI") == "true":
        pytest.fail("not installed: orthanc-dicomweb")


def same(found: Bytes, wanted: Bytes, way: str) -> None:
    """Not by ==, whose message would hold megabytes."""
    assert set(found) == set(wanted), way
    different = [uid for uid, data in wanted.items() if found[uid] != data]
    assert not different, f"{way} changed {different}"


def storescp(folder: Path, port: int, *options: str) -> list[str]:
    return [
        "storescp",
        "--fork",
        "-aet",
        "DCMTK",
        "--bit-preserving",
        *options,
        "-od",
        str(folder),
        str(port),
    ]


@contextmanager
def running(command: list[str], peer: Peer) -> Iterator[None]:
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: _answers(peer))
            yield
        finally:
            process.terminate()


@pytest.mark.dcmtk
def test_storescp_that_takes_any_class_gets_each_byte(study: Study, tmp_path: Path) -> None:
    peer = Peer("dcmtk", "DCMTK", "127.0.0.1", free_port(), 60.0)
    with running(storescp(tmp_path, peer.port, "--promiscuous", "+xa"), peer):
        outcomes = send(peer, sent(study), "NODE")
        assert {outcome.name for outcome in outcomes} == {"stored"}
        wait_until(lambda: len(list(tmp_path.iterdir())) == len(outcomes))
    same(of_files(tmp_path.iterdir()), of_files(sent(study)), "storescp")


@pytest.mark.dcmtk
def test_storescp_that_does_not_know_labelmap_gets_all_the_rest(study: Study, tmp_path: Path) -> None:
    peer = Peer("dcmtk", "DCMTK", "127.0.0.1", free_port(), 60.0)
    with running(storescp(tmp_path, peer.port, "+xa"), peer):
        outcomes = send(peer, sent(study), "NODE")
    assert {outcome.name for outcome in outcomes} == {"stored", "not accepted"}
    same(of_files(tmp_path.iterdir()), of_files(known_to_dcmtk(sent(study))), "storescp")


@pytest.mark.dcmtk
def test_dcmqrscp_keeps_what_it_knows_and_gives_it_back(study: Study, tmp_path: Path) -> None:
    peer, back = Peer("archive", "DCMQR", "127.0.0.1", free_port(), 60.0), free_port()
    database = tmp_path / "database"
    database.mkdir()
    (tmp_path / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {peer.port}\nMaxPDUSize = 65536\nMaxAssociations = 8\n"
        f"HostTable BEGIN\nreader = ({READER}, 127.0.0.1, {back})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nDCMQR {database} RW (200, 4096mb) ANY\nAETable END\n"
    )
    with running(["dcmqrscp", "-c", str(tmp_path / "dcmqrscp.cfg")], peer):
        outcomes = send(peer, sent(study), "NODE")
        assert {outcome.name for outcome in outcomes} == {"stored", "not accepted"}
        kept = of_files(known_to_dcmtk(sent(study)))
        with receiving(tmp_path / "received", back) as receiver:
            moved = by_c_move(peer, study, receiver)
            # It takes STL, and offers only 120 classes when it sends, not that one.
            movable = [p for p in known_to_dcmtk(sent(study)) if class_of(p) != STL]
            assert set(moved) == set(of_files(movable))
            # Sent in the syntax that the receiver likes best, Implicit VR: not the same bytes, but values.
            for path in movable:
                original = pydicom.dcmread(path)
                received = pydicom.dcmread(tmp_path / "received" / f"{original.SOPInstanceUID}.dcm")
                assert {e.tag: e.value for e in received} == {e.tag: e.value for e in original}
        same(by_c_get(peer, study), kept, "C-GET")
