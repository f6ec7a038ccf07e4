"""From release 0.2 to this one with work in flight, and not back.

`node-0.2.sql` is what that release's own ledger and engine left when they were killed: a job in each state,
one analysis that ran, one that waited, a delivery that waited for its next attempt, a notice that waited.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from spine_node.config import Destination
from spine_node.ledger.database import VERSION_TABLE
from spine_node.network.pacs import FolderPacs
from tests.conftest import free_port, make_ct
from tests.end_to_end.conftest import RunningNode

ROOT = "1.2.826.0.1.3680043.8.498."
JOBS = {str(n) * 32: f"{ROOT}{n}" for n in range(1, 9)}
"""Each job with the root of its UIDs: .1 is its study, .2 its series, .9.1 its SEG and .9.2 its SR."""

WAITED, RAN, SENT_IN_PART, _, UNDELIVERED, REFUSED, *_ = JOBS
AFTER = {
    WAITED: "delivered", RAN: "delivered", SENT_IN_PART: "delivered", "4" * 32: "delivered",
    UNDELIVERED: "undelivered", REFUSED: "refused", "7" * 32: "ignored", "8" * 32: "failed",
}  # fmt: skip


def spool_of_release_0_2(data: Path) -> Path:
    """The storage folder of that release, as a kill left it; gives the database."""
    data.mkdir(parents=True)
    dump = (Path(__file__).parent / "node-0.2.sql").read_text()
    dump = dump.replace("OLDHOST", socket.gethostname()).replace("/SPOOL", str(data))
    database = data / "node.sqlite"
    with sqlite3.connect(database) as connection:
        connection.executescript(dump)
        rows = connection.execute("SELECT job, series_uid, folder FROM ledger_jobs").fetchall()
    for job, series_uid, folder in rows:
        for path in make_ct(Path(folder), slices=3):
            path.rename(path.with_name(f"{series_uid}.{path.stem.lstrip('0')}.dcm"))
        if job in (
            WAITED,
            RAN,
            SENT_IN_PART,
            UNDELIVERED,
        ):  # as a kill leaves it
            results(data / "results" / job, JOBS[job])
    return database


def results(folder: Path, root: str) -> None:
    """A results folder in the words of release 0.2."""
    (folder / "dicom").mkdir(parents=True)
    objects = {}
    for number, (kind, sop_class) in enumerate(
        (("seg", SegmentationStorage), ("sr", Comprehensive3DSRStorage)), start=1
    ):
        (path,) = make_ct(folder / "made", slices=1, sop_class=sop_class)
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{root}.9.{number}"
        ds.save_as(folder / "dicom" / f"{kind}.dcm", enforce_file_format=True)
        path.unlink()
        objects[kind] = {"sop_instance_uid": ds.SOPInstanceUID, "sop_class_uid": str(sop_class)}
    (folder / "made").rmdir()
    (folder / "done.json").write_text(json.dumps({"study_uid": f"{root}.1", "objects": objects}))


@pytest.fixture
def node(tmp_path: Path) -> RunningNode:
    """Not started."""
    return RunningNode(tmp_path, [])


def test_work_in_flight_ends_delivered_once_and_under_the_uids_it_had(
    node: RunningNode, tmp_path: Path
) -> None:
    database = spool_of_release_0_2(tmp_path / "data")
    pacs = FolderPacs("PACS", "127.0.0.1", 0, tmp_path / "pacs")
    node.destinations.append(Destination("pacs", "PACS", "127.0.0.1", pacs.start(), results=("seg", "sr")))
    try:
        node.start()
        node.wait_until(lambda: states(node) == AFTER, "all has ended", 300)
        # An operator, beside the running node: what that release did not deliver, and a series it refused.
        assert "sent again to pacs" in spine_node("retry", f"{JOBS[UNDELIVERED]}.1", node)
        assert "judged again" in spine_node("retry", f"{JOBS[REFUSED]}.2", node)
        node.wait_until(lambda: states(node)[UNDELIVERED] == "delivered", "it was sent again", 300)
        node.wait_until(lambda: judged(node) == "ignored", "it was judged by today's rules", 300)
    finally:
        node.stop()
        pacs.stop()
    got = Counter(
        str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        for path in (tmp_path / "pacs").rglob("*.dcm")
    )
    # The SEG of the third was stored before the upgrade.
    whole = {f"{JOBS[job]}.9.{n}" for job in (WAITED, RAN) for n in (1, 2)}
    assert got == dict.fromkeys([*whole, f"{JOBS[SENT_IN_PART]}.9.2", f"{JOBS[UNDELIVERED]}.9.2"], 1)
    attempts = {(d.sop_instance_uid, d.attempts) for job in AFTER for d in node.ledger.deliveries(job)}
    assert {(uid, 1) for uid in got} - {(f"{JOBS[UNDELIVERED]}.9.2", 1)} <= attempts
    waiting = "SELECT workflow_uuid FROM workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
    with sqlite3.connect(database) as connection:
        assert connection.execute(waiting).fetchall() == []


def judged(node: RunningNode) -> str:
    """What the present release says of the series that the last one refused."""
    earlier = node.ledger.job(REFUSED)
    assert earlier is not None
    now = node.ledger.job(earlier.superseded_by)
    return "" if now is None else now.state


def states(node: RunningNode) -> dict[str, str]:
    return {job.job: job.state for job in node.ledger.jobs()}


def spine_node(command: str, name: str, node: RunningNode) -> str:
    """A command that succeeds, and what it prints."""
    words = [sys.executable, "-m", "spine_node", command, name, "--config", str(node.folder / "node.toml")]
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=True).stdout


@pytest.mark.parametrize("command", ["serve", "studies"])
def test_a_newer_release_s_storage_is_refused_with_words_and_left_as_it_is(
    tmp_path: Path, command: str
) -> None:
    database = spool_of_release_0_2(tmp_path / "data")
    with sqlite3.connect(database) as connection:
        connection.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR)")
        connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('0977')")
    config = tmp_path / "node.toml"
    config.write_text(f'[storage]\nfolder = "{tmp_path / "data"}"\n[scp]\nport = {free_port()}\n')
    before = everything(tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-m", "spine_node", command, "--config", str(config)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "schema version 0977" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert everything(tmp_path / "data") == before


def everything(data: Path) -> tuple[list[str], list[str]]:
    """Rows and files."""
    rows = list(sqlite3.connect(data / "node.sqlite").iterdump())
    files = sorted(str(path) for path in data.rglob("*.dcm"))
    return rows, files


PURGE = """
import sys
from spine_node.workflows import Engine, Work, not_here
work = Work(*[not_here] * 6)
engine = Engine(sys.argv[1], "host:nobody", work, ("nobody",))
engine.start()
print(engine.purge(0.0))
engine.stop(0)
"""


def test_of_the_engine_s_rows_those_of_what_ended_go_and_those_in_flight_stay(tmp_path: Path) -> None:
    """The engine itself never deletes any."""
    database = spool_of_release_0_2(tmp_path / "data")
    words = [sys.executable, "-c", PURGE, f"sqlite:///{database}"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=600, check=True).stdout
    assert said.split() == ["4"]
    with sqlite3.connect(database) as connection:
        left = {name for (name,) in connection.execute("SELECT workflow_uuid FROM workflow_status")}
    in_flight = (f"analyse:{WAITED}", f"analyse:{RAN}", f"deliver:{SENT_IN_PART}:pacs:1", f"notice:{REFUSED}")
    assert left == set(in_flight)
