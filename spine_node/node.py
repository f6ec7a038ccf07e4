"""The composition root: builds the node from its settings, starts it, stops it.

serve   binds the port; intake and deliveries, in one process without torch; keeps receivers and worker alive
work    the worker process: model loaded once and kept warm, one job at a time

The receivers accept what comes in on the port (`spine_node.receivers`); this process serves nobody itself.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from spine_node import __version__
from spine_node.analyses import Analyses
from spine_node.audit.messages import application_activity
from spine_node.audit.trail import AuditTrail
from spine_node.children import ChildProcess, Children
from spine_node.commitment_reports import CommitmentReports
from spine_node.config import Settings
from spine_node.custody import Custody
from spine_node.errors import Unavailable
from spine_node.expiry import CertificateWatch
from spine_node.housekeeping import Housekeeping
from spine_node.inbox import Inbox
from spine_node.intake import Intake, job_id
from spine_node.ledger import NOT_ANALYSED, Ledger, database_url
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.ledger.holdings import Holdings
from spine_node.logs import logger
from spine_node.network.peer import ClientTls
from spine_node.network.server import bound
from spine_node.network.syslog import Repository
from spine_node.network.tls import server_context
from spine_node.outbox import Deliveries
from spine_node.proof import Proof
from spine_node.reach import report_address
from spine_node.receivers import receiver_count
from spine_node.segmentation.plug import identity_of, settings_digest
from spine_node.sender import Sender
from spine_node.served import rebuild
from spine_node.stopping import stop_signals
from spine_node.workflows import ANALYSE, DELIVER, Engine

LOOK_EVERY_S = 0.2
"""How often the intake looks at the inbox; adds at most this to the time to a result. So does the worker, for
what it may prepare."""

PORT_WITHIN_S = 3.0
"""How long a start waits for the port: receivers of a killed node let go of it within a moment."""

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
    LedgerRefused
        If a newer release has worked with this storage folder.
    Unavailable
        If another node uses the storage folder, or the port is taken.
    """
    stopping = stop_signals()
    identity = identity_of(settings.model.choice)
    model = f"{identity.sha256} {settings_digest(settings.model.choice)}"
    # First the folder, then the port: whoever has both is the one node that touches the inbox and the queues.
    alone = _the_only_node(settings.storage.lock)
    listeners = _listeners(settings)
    # The ledger before the inbox: its schema version stands for the layout of the folders too.
    url = settings.storage.database_url or database_url(settings.storage.database)
    ledger = Ledger(url)
    inbox = Inbox(settings.storage.inbox, settings.storage.reserve_bytes)
    audit = AuditTrail(settings.audit_folder, settings.audit_source, settings.audit.max_file_bytes)
    deliveries = Deliveries(settings, ledger, audit=audit)
    proof = Proof(settings, ledger, deliveries)
    sender = Sender(settings, ledger, deliveries, proof)
    engine = Engine(url, f"{socket.gethostname()}:node", sender.work(), (DELIVER,))

    def name_job(series_uid: str, sop_instance_uids: Sequence[str], content: str) -> str:
        pins = settings.levels.pins.get(series_uid, ())
        return job_id(sop_instance_uids, content, model, __version__, pins)

    intake = Intake(inbox, ledger, settings, name_job, engine.enqueue_analysis)
    children = Children(_children(settings, config_path, listeners))
    repository = Repository(
        settings.audit_folder,
        settings.audit.repository,
        settings.tls.towards(ClientTls()),
        settings.audit.keep_days,
    )
    reports = _commitment_reports(settings, ledger, inbox)
    engine.start()
    children.start()
    audit.write(application_activity(audit.source, started=True))
    repository.start()
    reports.start()
    # In time, not first: after an upgrade there may be thousands of results to read.
    index = Holdings(ledger.database), settings.storage.results
    threading.Thread(target=rebuild, args=index, name="index", daemon=True).start()
    log.info(
        "node_ready",
        ae_title=settings.scp.ae_title,
        host=settings.scp.host,
        port=settings.scp.port,
        tls_port=settings.scp.tls_port,
        receivers=receiver_count(settings),
        model=identity.name,
    )
    notices = Notices(settings, ledger, engine.enqueue_notice)
    housekeeping = Housekeeping(inbox, ledger, settings, engine.purge, audit)
    rounds = Rounds(intake, housekeeping, engine, deliveries, inbox, notices, sender, proof)
    certificate = CertificateWatch(settings.tls)
    try:
        while not stopping.wait(LOOK_EVERY_S):
            rounds.look()
            certificate.look()
    finally:
        sender.stop()
        reports.stop()
        children.replace_no_more()
        for listener in listeners.values():
            listener.close()  # who calls now is refused, while associations that are open may end
        children.stop(settings.scp.stop_grace_s + 15.0)
        engine.stop(wait_s=10)
        ledger.close()
        audit.write(application_activity(audit.source, started=False))
        audit.close()
        repository.stop()
        alone.close()
        log.info("node_stopped")


def _children(
    settings: Settings, config_path: Path | None, listeners: Mapping[str, socket.socket]
) -> list[ChildProcess]:
    said = ["--parent", str(os.getpid())]
    if config_path is not None:
        said += ["--config", str(config_path)]
    inherited = tuple(listener.fileno() for listener in listeners.values())
    receiver = ["receiver", *said]
    for option, listener in listeners.items():
        receiver += [option, str(listener.fileno())]
    return [
        *(ChildProcess("receiver", receiver, inherited) for _ in range(receiver_count(settings))),
        ChildProcess("worker", ["worker", *said]),
    ]


def _commitment_reports(settings: Settings, ledger: Ledger, inbox: Inbox) -> CommitmentReports:
    requests = CommitmentRequests(ledger.database)
    custody = Custody(requests, inbox, Holdings(ledger.database), settings.storage.results)
    return CommitmentReports(requests, custody, settings.scp.ae_title, partial(report_address, settings))


def _the_only_node(lock: Path) -> BinaryIO:
    """Hold the storage folder's lock as long as the file is open; the kernel frees it at any end.

    Raises
    ------
    Unavailable
        If another node holds it: two would judge, analyse and send the same series.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        other = file.read(20).decode("ascii", "replace").strip()
        file.close()
        raise Unavailable(
            f"another node (process {other}) uses the storage folder {lock.parent}: stop it, or name another "
            "folder by [storage] folder. Nothing was started."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    file.flush()
    return file


def _listeners(settings: Settings) -> dict[str, socket.socket]:
    """The listening sockets, by the option that tells a receiver of each; all that this node ever opens."""
    scp = settings.scp
    if scp.tls_port:
        server_context(settings.tls.server())  # refuse now what no receiver could use
    wanted = {"--listen-fd": scp.port, "--tls-listen-fd": scp.tls_port}
    return {option: _listen(scp.host, port) for option, port in wanted.items() if port}


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; receivers of a node that was killed a moment ago may still hold the port."""
    deadline = time.monotonic() + PORT_WITHIN_S
    while True:
        try:
            return bound(host, port)
        except Unavailable as taken:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{taken}. Does another node run? [scp] port and tls_port in the config name others."
                ) from taken
            time.sleep(0.05)


def work(settings: Settings, parent: int | None = None) -> None:
    """Serve the analysis queue until SIGTERM, or until the process that started this one is gone.

    Parameters
    ----------
    parent : int, optional
        Process id of the node: said, not asked for, as it may be gone before this one could ask.
    """
    stopping = stop_signals()
    parent = parent or os.getppid()
    # The worker of a node that was killed may live for a moment: two would write into one results folder.
    alone = (settings.storage.folder / "worker.lock").open("ab")
    fcntl.flock(alone, fcntl.LOCK_EX)
    url = settings.storage.database_url or database_url(settings.storage.database)
    ledger = Ledger(url)
    analyses = Analyses(settings, ledger, Inbox(settings.storage.inbox))
    engine = Engine(url, f"{socket.gethostname()}:worker0", analyses.work(), (ANALYSE,))
    engine.start()
    log.info("worker_ready", device=settings.model.device)
    while not stopping.wait(LOOK_EVERY_S) and os.getppid() == parent:
        analyses.preparing.look()
    # A job in progress is not waited for: the next worker does it again, from the start, once.
    log.info("worker_stopped")
    ledger.close()
    os._exit(0)


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
        ended = self.ledger.jobs(states=NOT_ANALYSED, changed_after=time.time() - TOLD_WITHIN_S)
        for job in ended:
            if job.job not in self._seen and not job.superseded_by:
                self.enqueue(job.job)
        self._seen = {job.job for job in ended}


@dataclass(slots=True)
class Rounds:
    """What the main process does again and again, five times a second, whatever goes wrong."""

    intake: Intake
    housekeeping: Housekeeping
    engine: Engine
    deliveries: Deliveries
    inbox: Inbox
    notices: Notices
    sender: Sender
    proof: Proof
    _resumed: bool = False
    _next_lost: float = 0.0

    def look(self) -> None:
        """One round. After one that failed, and at first, what it may have left half done is resumed."""
        try:
            if not self._resumed:
                self.intake.resume()
                self._resumed = True
            for peer, part in self.sender.due():
                self.engine.enqueue_drain(peer, part)
            if time.monotonic() >= self._next_lost:
                self._next_lost = time.monotonic() + LOST_EVERY_S
                for job, reason in self.engine.lost_jobs().items():
                    self.deliveries.end_lost(job, reason, self.inbox)
                self.notices.look()
                self.proof.follow_up()
                self.engine.forget_drains()
            self.intake.look()
            self.housekeeping.look()
        except Exception as error:
            # A full disk, a locked database or a bug must not end the receiver: what was acknowledged
            # stays, and we look again.
            log.error("round_failed", reason=f"{type(error).__name__}: {error}", exc_info=True)
            self._resumed = False
            time.sleep(1.0)
