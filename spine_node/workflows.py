"""The durable workflows: analyse a job, send what waits for a peer. The only home of DBOS.

    claim ──► analyse (one at a time, in the worker process) ──► a row in the outbox for each peer
    refusal ──► notify (in the worker process, if a peer wants to be told) ──► a row in the outbox
    a row that is due ──► drain (in the main process, one for each line of a peer)

An analysis's id is derived from its job, so that enqueuing the same job twice is the same workflow, and a
job whose process was killed runs again from its last finished step, under the same id. Steps return small
facts and paths, never arrays. Workflow functions carry a version in their name: change their steps only
under a new name, or jobs in flight at an upgrade are stranded.

Why a delivery is no workflow of its own, as it was in release 0.2 (deliver.v1): with one for each job, peer
and attempt, two thousand results that wait two weeks for a PACS are two thousand timers and a million
rows; they come back in any order; and each finds out for itself that the PACS is still away. What waits
is now rows of the ledger (`ledger.outbox`), and a drain is a workflow that goes along them. The engine
has one drain of a line at a time, in whichever process serves the queue (its deduplication id is the
line), and resumes it after a kill; one that is lost all the same costs nothing, as the rows are looked at
five times a second. What release 0.2 left in flight ends in the outbox.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, SetEnqueueOptions, SetWorkflowID, _sys_db

from spine_node.disk import worlds_fault
from spine_node.errors import Refused, Unavailable
from spine_node.logs import logger

ANALYSE, DELIVER, DRAIN = "analyse", "deliver", "drain"
"""Names of the queues. Who serves DELIVER, which release 0.2 has filled, serves DRAIN."""

POLL_EVERY_S, LEFT_EVERY_S = 0.2, 2.0
"""How often queues are looked at: a result waits for two such looks. What release 0.2 left can wait."""

FIRST_SPACE_WAIT_S, LONGEST_SPACE_WAIT_S = 5.0, 300.0
"""Wait before an analysis is tried again that found the disk full, doubled each time up to the longest."""

MAX_KILLS = 5
"""A job that kills its worker this often ends as failed, instead of taking the node down again."""

_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_AT_ONCE = 500

_APPLICATION_VERSION = "1"
"""Pinned: by default the engine hashes the code, and an upgrade would strand jobs in flight."""

log = logger("workflows")


@dataclass(frozen=True, slots=True)
class Work:
    """What the workflows do; `node` supplies it. Each function is idempotent.

    Attributes
    ----------
    analyse : callable
        Takes a job, writes its results folder and returns the names of the peers to deliver to.
        Raises Refused when the data cannot be used, Unavailable when the disk is full: tried again
        until it is not.
    refuse : callable
        Takes a job and the reason: moves its data aside and writes the ledger.
    fail : callable
        Takes a job and a traceback: a bug, kept for the operator.
    put_out : callable
        Takes a job and a peer's name: puts it into the outbox.
    drain : callable
        Takes a peer's name and the number of a part of its line, sends what can be sent now.
    notify : callable
        Takes a job that was not analysed, writes the picture that says so and returns the names of the
        peers to deliver it to.
    """

    analyse: Callable[[str], list[str]]
    refuse: Callable[[str, str], None]
    fail: Callable[[str, str], None]
    put_out: Callable[[str, str], None]
    drain: Callable[[str, int], None]
    notify: Callable[[str], list[str]]


def not_here(*_: Any) -> list[str]:
    """In the place of work whose queue a process does not serve."""
    raise AssertionError("this process does not serve that queue")


class Engine:
    """The durable engine of one process.

    Parameters
    ----------
    database_url : str
        SQLite (one machine) or PostgreSQL (several).
    executor_id : str
        Fixed name of this process's role, such as "host:worker0": a restarted process with the same
        id resumes what the dead one held. Unique among live processes.
    queues : tuple of str
        Which queues this process serves.
    """

    def __init__(self, database_url: str, executor_id: str, work: Work, queues: tuple[str, ...]) -> None:
        config: DBOSConfig = {
            "name": "spine-node",
            "system_database_url": database_url,
            "application_version": _APPLICATION_VERSION,
            "executor_id": executor_id,
            "enable_otlp": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 5.0,  # of messages, which we send none
        }
        DBOS(config=config)
        self._executor_id = executor_id
        self._analyse, self._notify, self._drain = _register(work)
        DBOS.listen_queues([*queues, *([DRAIN] if DELIVER in queues else [])])

    def start(self) -> None:
        """Begin to serve the queues; jobs that a killed process of this id held come first."""
        logging.getLogger("dbos").propagate = False
        DBOS.launch()
        self._adopt()
        DBOS.register_queue(ANALYSE, worker_concurrency=1, polling_interval_sec=POLL_EVERY_S)
        DBOS.register_queue(DELIVER, worker_concurrency=4, polling_interval_sec=LEFT_EVERY_S)
        DBOS.register_queue(DRAIN, polling_interval_sec=POLL_EVERY_S)

    def _adopt(self) -> None:
        """Resume what this role held under another host's name: a container has a new one at every start.

        One node uses a database (its folder's lock sees to that); several would have to tell the dead from
        the living first, by heartbeats.
        """
        held = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        role = self._executor_id.rpartition(":")[2]
        others = {w.executor_id for w in held if w.executor_id and w.executor_id != self._executor_id}
        if gone := sorted(other for other in others if other.rpartition(":")[2] == role):
            log.warning("adopted", executors=gone)
            DBOS._recover_pending_workflows(gone)

    def stop(self, wait_s: float) -> None:
        """Serve no more; what is still running after `wait_s` is resumed by the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=int(wait_s))

    def enqueue_analysis(self, job: str) -> None:
        """Have a job analysed and delivered; enqueuing it again changes nothing."""
        with SetWorkflowID(f"analyse:{job}"):
            DBOS.enqueue_workflow(ANALYSE, self._analyse, job)

    def enqueue_notice(self, job: str) -> None:
        """Have a notice of a job that was not analysed made and delivered; again changes nothing."""
        with SetWorkflowID(f"notice:{job}"):
            DBOS.enqueue_workflow(ANALYSE, self._notify, job)

    def enqueue_drain(self, peer: str, part: int) -> None:
        """Have a part of a peer's line sent; while that is enqueued or runs, again changes nothing."""
        line = SetEnqueueOptions(deduplication_id=f"{peer}/{part}", duplication_policy="return-existing")
        with SetWorkflowID(f"drain:{peer}:{part}:{uuid.uuid4().hex}"), line:
            DBOS.enqueue_workflow(DRAIN, self._drain, peer, part)

    def forget_drains(self) -> None:
        """Delete drains that have ended: the ledger says what they did, and nobody else would purge them."""
        ended = DBOS.list_workflows(
            status=["SUCCESS", "ERROR"], workflow_id_prefix="drain:", load_input=False, load_output=False,
            limit=1000,
        )  # fmt: skip
        if ended:
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])

    def lost_jobs(self) -> dict[str, str]:
        """Jobs that the engine runs no more although their work did not end them, and why, in words."""
        reasons = {
            "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "the analysis ended its process too often (out of memory?); "
            "it is not tried again",
            "ERROR": "the node could not write down how the analysis ended (disk full?); its log says more",
        }
        ended = DBOS.list_workflows(
            status=list(reasons), workflow_id_prefix="analyse:", load_input=False, load_output=False
        )
        return {w.workflow_id.split(":")[1]: reasons[w.status] for w in ended}

    def purge(self, older_than_s: float) -> int:
        """Delete the rows of workflows that ended longer ago than this; the engine never does so itself."""
        before = datetime.fromtimestamp(time.time() - older_than_s, tz=UTC).isoformat()
        count = 0
        while ended := DBOS.list_workflows(
            status=_ENDED, end_time=before, limit=_AT_ONCE, load_input=False, load_output=False
        ):
            DBOS.delete_workflows([w.workflow_id for w in ended])
            count += len(ended)
        return count

    def pending(self) -> Mapping[str, int]:
        """How many workflows wait or run, by queue."""
        waiting = DBOS.list_queued_workflows(load_input=False)
        return {name: sum(w.queue_name == name for w in waiting) for name in (ANALYSE, DELIVER, DRAIN)}


def space_wait_s(attempt: int) -> float:
    """Seconds before an analysis is tried again that found no room, after attempt number `attempt` (from 0).

    Examples
    --------
    >>> [space_wait_s(n) for n in (0, 1, 2, 20)]
    [5.0, 10.0, 20.0, 300.0]
    """
    return min(FIRST_SPACE_WAIT_S * 2.0 ** min(attempt, 30), LONGEST_SPACE_WAIT_S)


def forget_runs(database_url: str, job: str) -> int:
    """Have the engine forget that it ever ran this job, from any process; says how many runs it forgot.

    For work that is wanted again: under the same id the engine would not run it a second time. Runs that
    wait go too; one that is running must not be forgotten.
    """
    if not _has_run(database_url):
        return 0
    client = DBOSClient(system_database_url=database_url)
    try:
        runs = client.list_workflows(
            workflow_id_prefix=[f"{kind}:{job}" for kind in ("analyse", "notice", "deliver")],
            load_input=False,
            load_output=False,
        )
        client.delete_workflows([run.workflow_id for run in runs])
        return len(runs)
    finally:
        client.destroy()


def _has_run(database_url: str) -> bool:
    """Whether an engine has ever made its tables there."""
    engine = sa.create_engine(database_url)
    schema = "dbos" if engine.dialect.name == "postgresql" else None
    try:
        return sa.inspect(engine).has_table("workflow_status", schema=schema)
    finally:
        engine.dispose()


def _wait_for_space(error: Exception) -> bool:
    """What the engine's own database calls wait for. It waits for a lock, and for a full PostgreSQL; a run
    whose end did not fit on SQLite's full disk it would leave for ever as neither running nor ended."""
    return _wait_for_lock(error) or "database or disk is full" in str(getattr(error, "orig", error))


_wait_for_lock = _sys_db.retriable_sqlite_exception
_sys_db.retriable_sqlite_exception = _wait_for_space


def _register(work: Work) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    def put_out(job: str, peers: Sequence[str]) -> dict[str, Any]:
        """Within the step, so that what it returns names nobody: release 0.2 delivered to those here."""
        for peer in peers:
            work.put_out(job, peer)
        return {"peers": []}

    def analysed_or_ended(job: str) -> list[str]:
        try:
            return work.analyse(job)
        except Unavailable:
            raise
        except Refused as refusal:
            work.refuse(job, str(refusal))
        except Exception:  # noqa: BLE001 - a bug must end this job visibly, not the worker
            trace = traceback.format_exc()
            log.error("analysis_failed", job=job, traceback=trace)
            work.fail(job, trace)
        return []

    @DBOS.step(name="analyse.step.v1")
    def analyse_step(job: str) -> dict[str, Any]:
        try:
            return put_out(job, analysed_or_ended(job))
        except Exception as error:
            words = str(error) if isinstance(error, Unavailable) else worlds_fault(error)
            if not words:
                raise
            return {"peers": [], "later": words}

    @DBOS.step(name="notify.step.v1")
    def notify_step(job: str) -> dict[str, Any]:
        try:
            return put_out(job, work.notify(job))
        except Exception:  # noqa: BLE001 - the series itself is kept, and the ledger says why
            log.error("notice_failed", job=job, traceback=traceback.format_exc())
            return {"peers": []}

    @DBOS.step(name="drain.step.v1")
    def drain_step(peer: str, part: int) -> None:
        try:
            work.drain(peer, part)
        except Exception:  # noqa: BLE001 - a full disk, a locked database: the rows are there, and looked at again
            log.error("drain_failed", peer=peer, part=part, traceback=traceback.format_exc())
            time.sleep(1.0)

    @DBOS.workflow(name="drain.v1", max_recovery_attempts=None)
    def drain(peer: str, part: int) -> None:
        drain_step(peer, part)

    @DBOS.workflow(name="analyse.v1", max_recovery_attempts=MAX_KILLS)
    def analyse(job: str, attempt: int = 0) -> None:
        said = analyse_step(job)
        if "later" in said:  # no step of release 0.2 says so: what it left in flight runs as it was
            wait_s = space_wait_s(attempt)
            log.error("analysis_postponed", job=job, reason=said["later"], wait_s=wait_s)
            with (
                SetWorkflowID(f"analyse:{job}:{attempt + 1}"),
                SetEnqueueOptions(delay_seconds=wait_s),
            ):
                DBOS.enqueue_workflow(ANALYSE, analyse, job, attempt + 1)
            return
        for peer in said["peers"]:
            enqueue_delivery(job, peer, 0, 0.0, 0.0)

    @DBOS.workflow(name="notify.v1", max_recovery_attempts=MAX_KILLS)
    def notify(job: str) -> None:
        for peer in notify_step(job)["peers"]:
            enqueue_delivery(job, peer, 0, 0.0, 0.0)

    # From here on: only what release 0.2 left in flight, with its steps, which end in the outbox.

    @DBOS.step(name="deliver.step.v1")
    def deliver_step(job: str, peer: str) -> str:
        work.put_out(job, peer)
        return ""

    @DBOS.workflow(name="deliver.v1", max_recovery_attempts=None)
    def deliver(job: str, peer: str, attempt: int, waited_s: float) -> None:
        if deliver_step(job, peer):  # recorded before the upgrade: the peer was away
            enqueue_delivery(job, peer, attempt + 1, waited_s, 0.0)

    def enqueue_delivery(job: str, peer: str, attempt: int, waited_s: float, delay_s: float) -> None:
        options = SetEnqueueOptions(delay_seconds=delay_s) if delay_s else SetEnqueueOptions()
        with SetWorkflowID(f"deliver:{job}:{peer}:{attempt}"), options:
            DBOS.enqueue_workflow(DELIVER, deliver, job, peer, attempt, waited_s)

    return analyse, notify, drain
