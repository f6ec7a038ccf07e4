"""A power cut at any moment: what was acknowledged is there and whole, and nothing half passes for whole.

Programs that use the real inbox, results folder and ledger run under strace; every state that a cut may
leave (`powercut`) is put down as a folder and opened by the same code again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_node.inbox import Inbox
from spine_node.ledger import Ledger, database_url
from spine_node.results import read_done
from tests.chaos.powercut import Disk, Op, put_down, record

pytestmark = pytest.mark.strace

STATES = ("receiving", "claimed", "done", "refused", "ignored", "failed")

STORE = """
import os, sys
from pathlib import Path
import spine_node.inbox
from spine_node.inbox import Inbox

def mark(*words):
    os.write(2, ("MARK " + " ".join(words) + "\\n").encode())

def store(inbox, sop_uid, letter, series="1.2"):
    inbox.store(series, sop_uid, "CT", [letter.encode() * 100, letter.encode() * 100])
    mark("stored", series, sop_uid, letter)

def die_at(call):
    # ends the process as kill -9 would, before this fsync
    real, calls = os.fsync, []
    def dying(*arguments):
        calls.append(1)
        if len(calls) == call:
            os._exit(9)
        return real(*arguments)
    os.fsync = dying

root = Path(sys.argv[1])
inbox = Inbox(root / "spool" / "inbox")
"""

A_LIFE = """
store(inbox, "1.2.1", "a"); store(inbox, "1.2.2", "b"); store(inbox, "1.2.1", "a")
store(inbox, "1.2.2", "c")                                   # corrected while it arrives
store(inbox, "1.3.1", "x", "1.3")
inbox.claim("1.2"); store(inbox, "1.2.3", "d"); store(inbox, "1.2.1", "e")   # late, and corrected late
inbox.finish("1.2"); inbox.claim("1.2"); inbox.refuse("1.2", "why"); store(inbox, "1.2.2", "c")
inbox.claim("1.3"); inbox.ignore("1.3", "not ours"); inbox.reopen("1.3"); store(inbox, "1.3.2", "y", "1.3")
inbox.claim("1.3"); inbox.fail("1.3", "a bug"); inbox.reopen("1.2"); store(inbox, "1.2.4", "f")
"""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened here is a copy of no value: the disk need not be waited for."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def disk_of(tmp_path: Path) -> Callable[..., Disk]:
    """What programs do to one folder, one after the other."""

    def run(*programs: str) -> Disk:
        folder = tmp_path / "recorded"
        folder.mkdir()
        disk = Disk()
        for number, program in enumerate(programs):
            command = [sys.executable, "-c", program, str(folder)]
            disk.add(record(command, folder, tmp_path / f"strace{number}"))
        return disk

    return run


def each_state(disk: Disk, tmp_path: Path, check: Callable[[Path, list[str]], None]) -> int:
    """Check every different state after every operation; gives how many there were."""
    seen = set()
    for cut in range(len(disk) + 1):
        for name, tree in disk.states_of(cut):
            state = (tree.digest(), *disk.marks(cut))
            if state in seen:
                continue
            seen.add(state)
            folder = put_down(tree, tmp_path / "found")
            try:
                check(folder, disk.marks(cut))
            except AssertionError as broken:
                raise AssertionError(
                    f"cut after operation {cut} of {len(disk)}, {name}: {broken}"
                ) from broken
            shutil.rmtree(folder)
    return len(seen)


def stored_is_there(folder: Path, marks: list[str]) -> None:
    """Every acknowledged instance is in the inbox with its last bytes, and no file is a part of one."""
    wanted: dict[tuple[str, str], str] = {}
    for mark in marks:
        word, *rest = mark.split()
        if word == "stored":
            wanted[rest[0], rest[1]] = rest[2]
    root = folder / "spool" / "inbox"
    if wanted or root.exists():
        Inbox(root)
    for (series, sop_uid), letter in wanted.items():
        found = [p for state in STATES if (p := root / state / series / f"{sop_uid}.dcm").exists()]
        assert found, f"{sop_uid} was acknowledged and is gone"
        # the first state in order is the newest content: `Inbox.claim` takes it over the others
        newest = found[0].read_bytes()
        older = {m.split()[3] for m in marks if m.split()[1:3] == [series, sop_uid]}
        assert newest[:1].decode() == letter or newest[:1].decode() not in older, f"{sop_uid} is an old one"
    for state in STATES:
        for path in root.glob(f"{state}/*/*.dcm"):
            content = path.read_bytes()
            assert len(content) == 200, f"{path.relative_to(root)} has {len(content)} bytes of 200"
            assert len(set(content)) == 1


def test_acknowledged_instances_survive_a_cut_at_any_moment_of_their_life(
    disk_of: Callable[..., Disk], tmp_path: Path
) -> None:
    assert each_state(disk_of(STORE + A_LIFE), tmp_path, stored_is_there) > 200


@pytest.mark.parametrize("call", [9, 10, 12, 14])
def test_a_sender_that_tries_again_after_a_kill_gets_no_success_before_a_cut_is_survived(
    disk_of: Callable[..., Disk], tmp_path: Path, call: int
) -> None:
    """The first process dies before one of its fsyncs; the second one finds its work there."""
    killed = STORE.replace("inbox = Inbox", f"die_at({call})\ninbox = Inbox")
    again = 'store(inbox, "1.2.1", "a"); store(inbox, "1.2.2", "b")\n'
    each_state(disk_of(killed + again, STORE + again), tmp_path, stored_is_there)


RESULTS = """
import os, sys
from pathlib import Path
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from spine_node.results import write_notice
ds = Dataset()
ds.file_meta = FileMetaDataset()
ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCaptureImageStorage
ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
ds.StudyInstanceUID = "1.2"
out = Path(sys.argv[1]) / "spool" / "results" / "job"
out.parent.mkdir(parents=True)
write_notice(ds, out)
os.write(2, b"MARK written\\n")
"""


def test_a_results_folder_is_whole_or_not_there_after_a_cut(
    disk_of: Callable[..., Disk], tmp_path: Path
) -> None:
    whole: list[bytes] = []

    def whole_or_absent(folder: Path, marks: list[str]) -> None:
        out = folder / "spool" / "results" / "job"
        done = read_done(out)
        assert done is not None or not marks, "it was written and is gone"
        if done is None:
            assert not out.exists() or not any(out.iterdir()), "it holds something, and nobody may replace it"
            return
        (row,) = done["objects"]["notice"]
        content = (out / row["file"]).read_bytes()
        whole.append(content)
        assert b"1.2.3" in content
        assert len(content) == len(whole[0])

    disk = disk_of(RESULTS)
    each_state(disk, tmp_path, whole_or_absent)
    assert whole


LEDGER = """
import os, sys
from pathlib import Path
from spine_node.ledger import Ledger, database_url
ledger = Ledger(database_url(Path(sys.argv[1]) / "spool" / "node.sqlite"))
os.write(2, b"MARK open\\n")
for n in range(2):
    ledger.open_job(f"job{n}", "1.2", "1.2.3", 4, Path("/claimed"))
    os.write(2, f"MARK received job{n}\\n".encode())
    ledger.set_state(f"job{n}", "analysed")
    os.write(2, f"MARK analysed job{n}\\n".encode())
"""


def test_what_the_ledger_was_told_survives_a_cut(disk_of: Callable[..., Disk], tmp_path: Path) -> None:
    def told(folder: Path, marks: list[str]) -> None:
        if not marks:
            return
        ledger = Ledger(database_url(folder / "spool" / "node.sqlite"))
        try:
            states = {job.job: job.state for job in ledger.jobs()}
        finally:
            ledger.close()
        said = {mark.split()[1]: mark.split()[0] for mark in marks if mark != "open"}
        for job, state in said.items():
            assert states.get(job) in (state, "analysed"), f"{job} was {state} and is {states.get(job)}"

    assert each_state(disk_of(LEDGER), tmp_path, told) > 50


def test_the_model_of_a_cut_knows_what_is_lost(tmp_path: Path) -> None:
    """The model itself: a file that was renamed without its data, and one without its folder's fsync."""
    disk = Disk()
    disk.add([Op("create", "part"), Op("write", "part", data=b"whole"), Op("rename", "part", "file")])
    found = {name: put_down(tree, tmp_path / name) for name, tree in disk.states_of(3)}
    assert not any(found["only what was synced"].iterdir())
    assert (found["names without data"] / "file").read_bytes() == b""
    assert (found["everything"] / "file").read_bytes() == b"whole"
    disk.add([Op("sync", "file"), Op("sync", ".")])
    assert (put_down(dict(disk.states_of(3))["only what was synced"], tmp_path / "s") / "file").exists()
