"""The node and Orthanc, a PACS that hospitals run: sending to it, finding in it, receiving from it."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest

from spine_node.network.peer import Peer
from spine_node.network.query import find_instances
from spine_node.network.scu import echo, send
from tests.conftest import Orthanc, make_ct
from tests.network.conftest import Receiver, encoded

pytestmark = pytest.mark.orthanc


@pytest.fixture
def pacs(orthanc: Orthanc) -> Peer:
    return Peer("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, 60.0)


def study_uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def test_what_is_sent_is_found_and_is_what_was_sent(orthanc: Orthanc, pacs: Peer, tmp_path: Path) -> None:
    """Images and a report; what Orthanc then holds is read back through its REST interface."""
    echo(pacs, "NODE")
    paths = make_ct(tmp_path / "ct", slices=3)
    (report,) = make_ct(tmp_path / "sr", slices=1, sop_class="1.2.840.10008.5.1.4.1.1.88.34")
    ds = pydicom.dcmread(report)
    ds.StudyInstanceUID, ds.Modality = study_uid(paths[0]), "SR"
    ds.save_as(report)
    outcomes = send(pacs, [*paths, report], "NODE")
    assert [outcome.name for outcome in outcomes] == ["stored"] * 4
    found = find_instances(pacs, study_uid(paths[0]), "NODE")
    assert sorted((f.modality, f.sop_instance_uid) for f in found) == sorted(
        zip(["CT", "CT", "CT", "SR"], [o.sop_instance_uid for o in outcomes], strict=True)
    )
    held = {
        dataset.SOPInstanceUID: dataset
        for instance in orthanc.rest("/instances")
        for dataset in [pydicom.dcmread(io.BytesIO(orthanc.rest(f"/instances/{instance}/file")))]
    }
    for path in [*paths, report]:
        sent = pydicom.dcmread(path)
        assert held[sent.SOPInstanceUID] == sent


def test_sending_again_changes_nothing(orthanc: Orthanc, pacs: Peer, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "ct", slices=2)
    for _ in range(2):
        assert all(outcome.stored for outcome in send(pacs, paths, "NODE"))
    assert len(orthanc.rest("/instances")) == 2


def test_a_study_routed_by_orthanc_arrives_whole(
    orthanc: Orthanc, pacs: Peer, receiver: Receiver, tmp_path: Path
) -> None:
    paths = make_ct(tmp_path / "ct", slices=20)
    send(pacs, paths, "CT1")
    modality = {"AET": "NODE", "Host": "127.0.0.1", "Port": receiver.peer.port}
    orthanc.rest("/modalities/node", modality, "PUT")
    assert orthanc.rest("/modalities/node/echo", {}) == {}
    done = orthanc.rest(
        "/modalities/node/store", {"Resources": orthanc.rest("/studies"), "Synchronous": True}
    )
    assert (done["InstancesCount"], done["FailedInstancesCount"]) == (20, 0)
    (series,) = receiver.inbox.open_series()
    assert series.calling_ae == "TESTPACS"
    assert {path.stem for path in series.paths} == {pydicom.dcmread(p).SOPInstanceUID for p in paths}
    by_uid = {pydicom.dcmread(p).SOPInstanceUID: p for p in paths}
    for path in series.paths:
        assert pydicom.dcmread(path) == pydicom.dcmread(by_uid[path.stem])
        assert len(encoded(path)) >= 512
