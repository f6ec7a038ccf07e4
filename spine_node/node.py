"""The composition root: builds the node from its settings, starts it, stops it.

serve   SCP, intake and deliveries, in one process without torch; keeps one worker process alive
work    the worker process: model loaded once and kept warm, one job at a time
check   validates the settings against the world, before going live
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from spine_node import __version__
from spine_node.config import RESULTS, Settings
from spine_node.errors import PeerUnavailable, Unavailable
from spine_node.inbox import Inbox
from spine_node.intake import Intake, job_id, paths_of
from spine_node.ledger import Job, Ledger, database_url
from spine_node.logs import logger
from spine_node.network.scp import StorageSCP
from spine_node.network.scu import echo, send
from spine_node.results import read_done
from spine_node.segmentation.plug import identity_of
from spine_node.workflows import ANALYSE, DELIVER, Engine, Work

LOOK_EVERY_S = 0.25
"""How often the intake looks at the inbox; adds at most this to the time to a result."""

LOST_EVERY_S = 5.0
"""How often the engine is asked for jobs that it has stopped to run."""

log = logger("node")


def serve(settings: Settings, config_path: Path | None) -> None:
    """Run the node until SIGTERM or SIGINT; every acknowledged instance survives any end.

    Raises
    ------
    ConfigRefused, BundleRefused
        If the settings or the model cannot be used.
    Unavailable
        If the port is taken.
    """
    stopping = _stop_signals()
    identity = identity_of(settings.model.choice)
    inbox = Inbox(settings.storage.inbox, settings.storage.reserve_bytes)
    url = settings.storage.database_url or database_url(settings.storage.database)
    ledger = Ledger(url)
    deliveries = Deliveries(settings, ledger)
    engine = Engine(
        url, f"{socket.gethostname()}:node", deliveries.work(), (DELIVER,), settings.engine.give_up_s
    )

    def name_job(series_uid: str, sop_instance_uids: Sequence[str]) -> str:
        pins = settings.levels.pins.get(series_uid, ())
        return job_id(sop_instance_uids, identity.sha256, __version__, pins)

    intake = Intake(inbox, ledger, settings, name_job, engine.enqueue_analysis)
    scp = StorageSCP(
        settings.scp.ae_title,
        settings.scp.host,
        settings.scp.port,
        inbox,
        allowed_calling_aes=settings.scp.allowed_calling_aes,
        require_called_ae=settings.scp.check_called_ae,
        max_associations=settings.scp.max_associations,
        idle_timeout_s=settings.scp.idle_timeout_s,
    )
    # The port first: whoever has it is the one node of this machine, and touches the inbox and the queues.
    try:
        port = scp.start()
    except Unavailable as taken:
        ledger.close()
        raise Unavailable(
            f"{taken}. Does another node run? [scp] port in the config names another."
        ) from taken
    engine.start()
    log.info(
        "node_ready", ae_title=settings.scp.ae_title, host=settings.scp.host, port=port, model=identity.name
    )
    workers = WorkerProcess(config_path)
    rounds = Rounds(intake, Housekeeping(inbox, settings), engine, deliveries, inbox, workers)
    try:
        while not stopping.wait(LOOK_EVERY_S):
            rounds.look()
    finally:
        scp.stop()
        workers.stop()
        engine.stop(wait_s=10)
        ledger.close()
        log.info("node_stopped")


def work(settings: Settings, parent: int | None = None) -> None:
    """Serve the analysis queue until SIGTERM, or until the process that started this one is gone.

    Parameters
    ----------
    parent : int, optional
        Process id of the node: said, not asked for, as it may be gone before this one could ask.
    """
    stopping = _stop_signals()
    parent = parent or os.getppid()
    url = settings.storage.database_url or database_url(settings.storage.database)
    ledger = Ledger(url)
    analyses = Analyses(settings, ledger, Inbox(settings.storage.inbox))
    engine = Engine(
        url, f"{socket.gethostname()}:worker0", analyses.work(), (ANALYSE,), settings.engine.give_up_s
    )
    engine.start()
    log.info("worker_ready", device=settings.model.device)
    while not stopping.wait(0.5) and os.getppid() == parent:
        pass
    # A job in progress is not waited for: the next worker does it again, from the start, once.
    log.info("worker_stopped")
    ledger.close()
    os._exit(0)


def check(settings: Settings) -> bool:
    """Print what this config means and call every destination by C-ECHO; True when all is well."""
    identity = identity_of(settings.model.choice)
    callers = ", ".join(settings.scp.callers) or "any sender"
    print(f"model         {identity.name} {identity.version}, SHA-256 {identity.sha256[:16]}")
    print(
        f"listens as    {settings.scp.ae_title} on {settings.scp.host}:{settings.scp.port}, accepts {callers}"
    )
    print(f"storage       {settings.storage.folder}")
    well = True
    for peer in settings.destinations:
        try:
            echo(peer, settings.scp.ae_title)
            answer = "answers C-ECHO"
        except PeerUnavailable as unavailable:
            answer, well = f"DOES NOT ANSWER: {unavailable}", False
        print(f"destination   {peer.name}: {peer.ae_title} at {peer.host}:{peer.port} {answer}")
    if not settings.destinations:
        print("destination   none: results stay in the results folder")
    return well


class Deliveries:
    """The work of the main process: sending results, and closing jobs in the ledger."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._peers = {peer.name: peer for peer in settings.destinations}

    def work(self) -> Work:
        """What the deliver queue does; this process never serves the analysis queue."""
        return Work(
            analyse=_not_here, refuse=_not_here, fail=_not_here, deliver=self.deliver, give_up=self.give_up
        )

    def deliver(self, job: str, peer_name: str) -> None:
        """Send what this peer has not taken yet; one attempt.

        Raises
        ------
        PeerUnavailable
            If anything is left to send and may succeed later.
        """
        peer = self._peers.get(peer_name)
        if peer is None:
            self.give_up(job, peer_name, f"destination {peer_name} is no longer in the config")
            return
        folder = self._settings.storage.results / job / "dicom"
        answered = {d.sop_instance_uid for d in self._ledger.deliveries(job) if d.peer == peer_name}
        objects = [p for uid, p in _objects(folder, peer.results).items() if uid not in answered]
        for outcome in send(peer, objects, self._settings.scp.ae_title):
            self._ledger.record_delivery(
                job, peer_name, outcome.sop_instance_uid, outcome.name, outcome.status, outcome.detail
            )
            log.info(
                "delivered",
                job=job,
                peer=peer_name,
                sop_instance_uid=outcome.sop_instance_uid,
                outcome=outcome.name,
            )
        self._conclude(job)

    def give_up(self, job: str, peer_name: str, reason: str) -> None:
        """The peer stayed away too long: what it did not take is undelivered."""
        log.error("undelivered", job=job, peer=peer_name, reason=reason)
        folder = self._settings.storage.results / job
        if read_done(folder) is None:
            self._ledger.set_state(job, "undelivered", f"{folder} holds no complete results any more")
            return
        answered = {d.sop_instance_uid for d in self._ledger.deliveries(job) if d.peer == peer_name}
        peer = self._peers.get(peer_name)
        wanted = peer.results if peer is not None else RESULTS
        for uid in _objects(folder / "dicom", wanted):
            if uid not in answered:
                self._ledger.record_delivery(job, peer_name, uid, "undelivered", None, reason)
        self._conclude(job)

    def end_lost(self, job: str, reason: str, inbox: Inbox) -> None:
        """A job that the engine has stopped to run ends, visibly, and its series is kept."""
        row = self._ledger.job(job)
        if row is None or row.state not in ("received", "analysing", "analysed"):
            return
        state = "undelivered" if row.state == "analysed" else "failed"
        self._ledger.set_state(job, state, reason)
        if state == "failed" and _holds(inbox, row):
            self._ledger.set_state(job, state, reason, inbox.fail(row.series_uid, reason))
        log.error("job_lost", job=job, series_uid=row.series_uid, state=state, reason=reason)

    def _conclude(self, job: str) -> None:
        done = read_done(self._settings.storage.results / job)
        if done is None:
            return
        objects = done["objects"]
        wanted = {(p.name, objects[r]["sop_instance_uid"]) for p in self._peers.values() for r in p.results}
        answers = {(d.peer, d.sop_instance_uid): d.outcome for d in self._ledger.deliveries(job)}
        if not wanted <= answers.keys():
            return
        failed = sorted({f"{p}: {o}" for (p, _), o in answers.items() if o not in ("stored", "warning")})
        self._ledger.set_state(job, "undelivered" if failed else "delivered", "; ".join(failed))


class Analyses:
    """The work of the worker process: series in, results folder out."""

    def __init__(self, settings: Settings, ledger: Ledger, inbox: Inbox) -> None:
        from spine_node.segmentation.plug import load_segmenter

        self._settings, self._ledger, self._inbox = settings, ledger, inbox
        self._segmenter = load_segmenter(settings.model.choice, settings.model.device)

    def work(self) -> Work:
        """What the analysis queue does; this process never serves deliveries."""
        return Work(
            analyse=self.analyse, refuse=self.refuse, fail=self.fail, deliver=_not_here, give_up=_not_here
        )

    def analyse(self, job: str) -> list[str]:
        """Analyse a job unless its results are complete already; give the peers to deliver to."""
        row = self._ledger.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        if row.state in ("refused", "failed"):  # killed between that word and the engine's own note of it
            self._end(job, row.state, row.reason)
            return []
        out = self._settings.storage.results / job
        if read_done(out) is None:
            self._run(job, Path(row.folder), out)
        # The ledger first: once the claim has ended, the intake asks it about a re-sent series.
        self._ledger.set_state(job, "analysed")
        if _holds(self._inbox, row):
            self._ledger.set_state(job, "analysed", folder=self._inbox.finish(row.series_uid))
        peers = [peer.name for peer in self._settings.destinations]
        if not peers:
            self._ledger.set_state(job, "delivered", "no destination is configured")
        return peers

    def refuse(self, job: str, reason: str) -> None:
        """Move the series aside with the reason."""
        self._end(job, "refused", reason)

    def fail(self, job: str, trace: str) -> None:
        """Keep the series and the traceback."""
        self._end(job, "failed", trace)

    def _run(self, job: str, folder: Path, out: Path) -> None:
        from spine_node import pipeline
        from spine_node.dicom.series import read_series
        from spine_node.results import write_results
        from spine_node.segmentation.pins import pin_of

        started = time.monotonic()
        self._ledger.set_state(job, "analysing")
        out.parent.mkdir(parents=True, exist_ok=True)
        series = read_series(paths_of(folder))
        results = pipeline.analyse(
            series,
            self._segmenter,
            __version__,
            partial(self._ledger.set_progress, job),
            [pin_of(text) for text in self._settings.levels.pins.get(series.series_uid, ())],
        )
        self._ledger.set_progress(job, 1.0, "writing results")
        write_results(results, out)
        log.info("analysed", job=job, seconds=round(time.monotonic() - started, 1))

    def _end(self, job: str, state: str, reason: str) -> None:
        row = self._ledger.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        self._ledger.set_state(job, state, reason)
        if _holds(self._inbox, row):
            settle = self._inbox.refuse if state == "refused" else self._inbox.fail
            self._ledger.set_state(job, state, reason, settle(row.series_uid, reason))
        log.warning(f"series_{state}", job=job, series_uid=row.series_uid, reason=reason.splitlines()[-1])


class Housekeeping:
    """Deletes received series whose time is over, once an hour."""

    def __init__(self, inbox: Inbox, settings: Settings) -> None:
        self._inbox, self._keep = inbox, settings.storage
        self._next = 0.0

    def look(self) -> None:
        """Delete what has been settled longer than the config keeps it; does nothing most of the time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 3600.0
        for states, days in (
            (("done", "ignored"), self._keep.keep_done_days),
            (("refused", "failed"), self._keep.keep_refused_days),
        ):
            for series_uid in self._inbox.expire(states, days * 86400.0):
                log.info("series_expired", series_uid=series_uid, kept_days=days)


class WorkerProcess:
    """Keeps one worker process alive, with a growing pause when it keeps dying."""

    def __init__(self, config_path: Path | None) -> None:
        self._command = [sys.executable, "-m", "spine_node", "worker", "--parent", str(os.getpid())]
        if config_path is not None:
            self._command += ["--config", str(config_path)]
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._died = 0.0
        self._pause_s = 0.5

    def keep_alive(self) -> None:
        """Start the worker if it does not run."""
        now = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            log.error("worker_died", status=status, pid=self._process.pid)
            self._pause_s = 0.5 if now - self._started > 60 else min(self._pause_s * 2, 30.0)
            self._process, self._died = None, now
        if now - self._died >= self._pause_s:
            self._process, self._started = subprocess.Popen(self._command), now

    def stop(self) -> None:
        """End the worker; the job it holds is done again by the next one."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(slots=True)
class Rounds:
    """What the main process does again and again, four times a second, whatever goes wrong."""

    intake: Intake
    housekeeping: Housekeeping
    engine: Engine
    deliveries: Deliveries
    inbox: Inbox
    workers: WorkerProcess
    _resumed: bool = False
    _next_lost: float = 0.0

    def look(self) -> None:
        """One round. After one that failed, and at first, what it may have left half done is resumed."""
        try:
            if not self._resumed:
                self.intake.resume()
                self._resumed = True
            self.workers.keep_alive()
            if time.monotonic() >= self._next_lost:
                self._next_lost = time.monotonic() + LOST_EVERY_S
                for job, reason in self.engine.lost_jobs().items():
                    self.deliveries.end_lost(job, reason, self.inbox)
            self.intake.look()
            self.housekeeping.look()
        except Exception as error:
            # A full disk, a locked database or a bug must not end the receiver: what was acknowledged
            # stays, and we look again.
            log.error("round_failed", reason=f"{type(error).__name__}: {error}", exc_info=True)
            self._resumed = False
            time.sleep(1.0)


def _holds(inbox: Inbox, job: Job) -> bool:
    """Whether the claim on the series is this job's: a later job's claim holds more instances."""
    if job.series_uid not in inbox.claimed():
        return False
    return len(paths_of(inbox.claim(job.series_uid))) <= job.instances


def _objects(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    done = read_done(folder.parent)
    if done is None:
        raise FileNotFoundError(f"{folder.parent} holds no complete results")
    return {done["objects"][name]["sop_instance_uid"]: folder / f"{name}.dcm" for name in wanted}


def _not_here(*_: Sequence[str]) -> list[str]:
    raise AssertionError("this process does not serve that queue")


def _stop_signals() -> threading.Event:
    stopping = threading.Event()

    def _stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    return stopping
