"""A running node and a real PACS: what was delivered is committed, by a report to the node's own port."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spine_node.config import Destination
from tests.campaigns.hospital import Clock, Hospital
from tests.conftest import Orthanc
from tests.end_to_end.conftest import RunningNode

pytestmark = pytest.mark.orthanc


def test_results_that_waited_when_the_node_started_are_delivered_and_committed(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    pacs = Destination("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port)
    node = RunningNode(tmp_path, [pacs], more="commitment = true\ncommitment_wait_s = 0.0\n")
    modality = {"AET": node.peer.ae_title, "Host": "127.0.0.1", "Port": node.peer.port}
    orthanc.rest("/modalities/node", {**modality, "AllowStorageCommitment": True}, "PUT")
    before = Hospital(tmp_path / "data", [pacs], Clock(time.time()))
    uids = before.analyse("job")
    before.close()

    def committed() -> bool:
        said = {d.sop_instance_uid: d.commitment for d in node.ledger.deliveries("job")}
        return said == dict.fromkeys(uids, "committed")

    try:
        node.start()
        node.wait_until(committed, "both instances are committed", 300)
        job = node.ledger.job("job")
        assert job is not None
        assert job.state == "delivered"
    finally:
        node.stop()
