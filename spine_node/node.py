"""The composition root: builds the node from its settings, starts it, stops it.

serve   SCP, intake and deliveries, in one process without torch; keeps one worker process alive
work    the worker process: model loaded once and kept warm, one job at a time
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from spine_node import __version__
from spine_node.analyses import Analyses
from spine_node.config import Settings
from spine_node.errors import Unavailable
from spine_node.inbox import Inbox
from spine_node.intake import Intake, job_id
from spine_node.ledger import NOT_ANALYSED, Ledger, database_url
from spine_node.logs import logger
from spine_node.network.scp import StorageSCP
from spine_node.outbox import Deliveries
from spine_node.segmentation.plug import identity_of
from spine_node.worker_process import WorkerProcess
from spine_node.workflows import ANALYSE, DELIVER, Engine

LOOK_EVERY_S = 0.25
"""How often the intake looks at the inbox; adds at most this to the time to a result."""

LOST_EVERY_S = 5.0
"""How often the engine is asked for jobs that it has stopped to run, and the ledger for refusals."""

TOLD_WITHIN_S = 86400.0
"""Older refusals are not told: whoever turns notices on does not want those of last month."""

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
    notices = Notices(settings, ledger, engine.enqueue_notice)
    rounds = Rounds(intake, Housekeeping(inbox, settings), engine, deliveries, inbox, workers, notices)
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


@dataclass(slots=True)
class Notices:
    """Has the destinations that want it told of series that were not analysed.

    Looks into the ledger, so that a refusal is told whoever wrote it, and after any end of a process.
    """

    settings: Settings
    ledger: Ledger
    enqueue: Callable[[str], None]
    _seen: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Enqueue a notice of every job that ended without an analysis since the last look."""
        if not any(peer.notices for peer in self.settings.destinations):
            return
        for job in self.ledger.jobs(states=NOT_ANALYSED):
            if job.job not in self._seen and time.time() - job.changed_at < TOLD_WITHIN_S:
                self.enqueue(job.job)
                self._seen.add(job.job)


@dataclass(slots=True)
class Rounds:
    """What the main process does again and again, four times a second, whatever goes wrong."""

    intake: Intake
    housekeeping: Housekeeping
    engine: Engine
    deliveries: Deliveries
    inbox: Inbox
    workers: WorkerProcess
    notices: Notices
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
                self.notices.look()
            self.intake.look()
            self.housekeeping.look()
        except Exception as error:
            # A full disk, a locked database or a bug must not end the receiver: what was acknowledged
            # stays, and we look again.
            log.error("round_failed", reason=f"{type(error).__name__}: {error}", exc_info=True)
            self._resumed = False
            time.sleep(1.0)


def _stop_signals() -> threading.Event:
    stopping = threading.Event()

    def _stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    return stopping
