"""A running node gives its results to who asks, and tells modalities what it keeps, killed or not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from spine_node.ledger.holdings import Holdings
from tests.conftest import free_port, make_ct, wait_until
from tests.end_to_end.conftest import RunningNode
from tests.network.test_commitment_scp import Modality, references
from tests.reports.kept import keep, ours


def everybody_may(port: int) -> str:
    """Callers of a node: READER gets results moved to a port; CBCT is told there what is kept."""
    rights = '["store", "query", "retrieve", "commit"]'
    return (
        "".join(
            f'[[callers]]\nae_title = "{title}"\nmay = {may}\nhost = "127.0.0.1"\nport = {port}\n'
            for title, may in (("READER", rights), ("CBCT", '["store", "commit"]'))
        )
        + f'[[callers]]\nae_title = "TESTMODALITY"\nmay = {rights}\n'
    )


def keep_results(data: Path) -> str:
    """A results folder as an analysis leaves it, which no index knows; gives the report's UID."""
    report = ours(sop="2.25.7", StudyInstanceUID="2.25.70", AccessionNumber="B7")
    folder = data / "results" / "job7"
    keep(report, folder / "dicom" / "sr-3d.dcm")
    row = {"file": "dicom/sr-3d.dcm", "sop_instance_uid": "2.25.7", "sop_class_uid": str(report.SOPClassUID)}
    (folder / "done.json").write_text(json.dumps({"study_uid": "2.25.70", "objects": {"sr-3d": [row]}}))
    return "2.25.7"


def test_after_a_kill_what_was_asked_is_told_and_what_was_made_is_served(
    node_in: Callable[..., RunningNode], tmp_path: Path
) -> None:
    """A commitment request that was taken is answered by the next process; results that no index knows,
    such as those of an older release, are read from the node itself, by who has the right."""
    port = free_port()
    node = node_in(more=everybody_may(port), quiet_s=600.0)
    sent = make_ct(tmp_path / "sent")
    assert all(outcome.stored for outcome in node.send(tmp_path / "sent"))
    cbct = Modality()
    assert cbct.ask(node.peer, references(sent)) == 0x0000
    node.stop(signal.SIGKILL)
    assert cbct.heard == []
    uid = keep_results(node.folder / "data")

    cbct.listen(port)
    try:
        node.start()
        wait_until(lambda: cbct.heard)
        assert cbct.last() == (1, [uid for _, uid in references(sent)], {})
    finally:
        cbct.server.end(grace_s=0.0)

    wait_until(lambda: Holdings(node.ledger.database).jobs())
    for way in ((), ("--move", str(port))):
        done = report(node, "READER", *way)
        assert done.returncode == 0, done.stderr
        assert f"Report {uid}" in done.stdout
    refused = report(node, "CBCT")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "accepts none of the SOP classes offered" in refused.stderr


def report(node: RunningNode, ae_title: str, *way: str) -> subprocess.CompletedProcess[str]:
    """`spine-node report`, as a person asks the node."""
    address = f"dicom://{node.peer.ae_title}@127.0.0.1:{node.peer.port}"
    asked = ["report", address, "--accession", "B7", "--aet", ae_title, *way]
    return subprocess.run(
        [sys.executable, "-m", "spine_node", *asked], capture_output=True, text=True, timeout=600, check=False
    )
