"""A disk that is really full: nothing acknowledged is lost, nothing ends as a bug, and it recovers by itself.

Inbox, results, ledger and the engine's own tables are on one small filesystem, as on a small machine.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spine_node.config import Settings
from spine_node.dicom.ct import write_ct_series
from spine_node.inbox import Inbox
from spine_node.ledger import Job, Ledger, database_url
from spine_node.phantom.generate import generate
from spine_node.results import read_done
from tests.conftest import wait_until
from tests.small_node import node_at

SIZE_MB = 64
ROOM_FOR_ROWS = 150_000

WORKER = """
import json, os, sys, time
from pathlib import Path
import numpy as np
import spine_node.workflows as workflows
from spine_node import analyses, objects
from spine_node.analyses import Analyses
from spine_node.config import Settings
from spine_node.imaging.volume import LabelMap
from spine_node.inbox import Inbox
from spine_node.ledger import Ledger
from spine_node.segmentation import plug
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation

labels = np.load(sys.argv[1])
workflows.FIRST_SPACE_WAIT_S = 0.5
analyses.RESULTS_PER_RECEIVED = 0.0  # not to be stopped before the disk is full

class Oracle:
    identity = ModelIdentity("oracle", "1", "c" * 64)

    def segment(self, volume, progress=None):
        return Segmentation(LabelMap(volume.grid, labels), self.identity)

plug.load_segmenter = lambda *_: Oracle()
objects.draw_pictures = lambda *_: []
settings = Settings.model_validate(json.loads(os.environ["SETTINGS"]))
url = f"sqlite:///{settings.storage.database}"
work = Analyses(settings, Ledger(url), Inbox(settings.storage.inbox))
engine = workflows.Engine(url, "host:worker0", work.work(), (workflows.ANALYSE,))
engine.start()
print("started", flush=True)
while not Path(sys.argv[3]).exists():
    time.sleep(0.05)
engine.enqueue_analysis(sys.argv[2])
while os.getppid() == int(os.environ["PARENT"]):
    time.sleep(0.2)
os._exit(0)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty filesystem of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk is filled here, in CI neither: it takes root with the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leaving: int = 0) -> Path:
    """Somebody else uses the disk up."""
    ballast = disk / f"somebody-elses-{time.monotonic_ns()}"
    with ballast.open("wb", buffering=0) as file:
        try:
            while (room := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - leaving) > 0:
                file.write(b"x" * min(room, 1 << 20))
        except OSError as full:
            assert full.errno == errno.ENOSPC  # noqa: PT017 - that is the point
    return ballast


def test_a_full_inbox_takes_nothing_keeps_what_it_has_and_takes_again(disk: Path) -> None:
    inbox = Inbox(disk / "inbox", reserve_bytes=8 << 20)
    inbox.store("1.2.3", "1.2.3.1", "CT1", [b"x" * (4 << 20)])
    ballast = fill(disk)
    for _ in range(3):
        with pytest.raises(OSError, match="are reserved") as full:
            inbox.store("1.2.3", "1.2.3.2", "CT1", [b"y"])
        assert full.value.errno == errno.ENOSPC
    assert [path.name for path in inbox.open_series()[0].paths] == ["1.2.3.1.dcm"]
    assert list((disk / "inbox" / "incoming").rglob("*.part")) == []
    ballast.unlink()
    inbox.store("1.2.3", "1.2.3.2", "CT1", [b"y"])
    assert len(inbox.open_series()[0].paths) == 2


def test_a_full_disk_is_made_room_on_although_it_has_room_for_nothing(disk: Path) -> None:
    """Deleting must not need what is not there: a new folder, a log, a row."""
    inbox = Inbox(disk / "inbox")
    inbox.store("1.2.3", "1.2.3.1", "CT1", [b"x" * (4 << 20)])
    inbox.claim("1.2.3")
    inbox.finish("1.2.3")
    fill(disk)
    (rest,) = inbox.rests()
    assert inbox.remove(rest)
    assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize >= 4 << 20


def test_results_make_room_although_the_ledger_has_none_to_write_in(disk: Path) -> None:
    node = node_at(disk, low_water_gb=0.008)
    node.delivered(1, size=8_000_000)
    node.inbox.forget("1.2.1.1")
    fill(disk)
    node.look()
    assert node.results == set()
    node.ledger.set_state("job1", "delivered", "there is room for words again")


def test_an_analysis_that_finds_the_disk_full_waits_and_ends_when_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    """First there is no room for a row, then none for results; the job is neither lost nor failed."""
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 1, "results": ["seg", "sr"]}
    told = {"storage": {"folder": str(disk)}, "destinations": [pacs]}
    settings = Settings.model_validate(told)
    phantom = generate(5, spacing_mm=4.0, clean=True, field_of_view="lumbopelvic")
    slices = write_ct_series(phantom.volume, tmp_path / "phantom")
    np.save(tmp_path / "labels.npy", phantom.label_map.labels)
    inbox = Inbox(settings.storage.inbox)
    for n, path in enumerate(slices):
        inbox.store("1.2.3", f"1.2.3.{n}", "CT1", [path.read_bytes()])
    ledger = Ledger(database_url(settings.storage.database))
    ledger.open_job("job", "1.2.3", "1.2", len(inbox.open_series()[0].paths), inbox.claim("1.2.3"))
    inbox.assign("1.2.3", "job")
    go, log_file = tmp_path / "go", tmp_path / "worker.log"
    log = log_file.open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path / "labels.npy"), "job", str(go)],
        env={**os.environ, "PARENT": str(os.getpid()), "SETTINGS": json.dumps(told)},
        cwd=Path(__file__).parents[1],
        stdout=log,
        stderr=log,
    )
    try:
        wait_until(lambda: b"started" in log_file.read_bytes())
        ballast = fill(disk)
        go.touch()
        wait_until(lambda: b"disk is full" in log_file.read_bytes())
        ballast.unlink()
        ballast = fill(disk, leaving=ROOM_FOR_ROWS)
        wait_until(lambda: b"analysis_postponed" in log_file.read_bytes())
        waiting = ledger.job("job")
        assert waiting is not None
        assert waiting.stage == "waits for the disk: No space left on device"
        assert list(settings.storage.results.iterdir()) == []
        ballast.unlink()

        def ended() -> Job | None:
            job = ledger.job("job")
            return job if job and job.state in ("analysed", "failed", "refused") else None

        job = wait_until(ended)
    finally:
        worker.kill()
        worker.wait()
        log.close()
    assert (job.state, job.reason) == ("analysed", ""), log_file.read_text()[-3000:]
    assert read_done(settings.storage.results / "job") is not None
    assert [p.name for p in settings.storage.results.iterdir()] == ["job"]
    assert set(inbox.folders("1.2.3")) == {"done"}
