"""The durable workflows: analyse a job, deliver its results to every peer. The only home of DBOS.

    claim ──► analyse (one at a time, in the worker process) ──► deliver (one a peer, retried for days)
    refusal ──► notify (in the worker process, if a peer wants to be told) ──► deliver

A workflow's id is derived from its job, so that enqueuing the same job twice is the same workflow,
and a job whose process was killed runs again from its last finished step, under the same id.
Steps return small facts and paths, never arrays. Workflow functions carry a version in their name:
change their steps only under a new name, or jobs in flight at an upgrade are stranded.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID

from spine_node.errors import PeerUnavailable, Refused
from spine_node.logs import logger

ANALYSE, DELIVER = "analyse", "deliver"
"""Names of the queues."""

FIRST_RETRY_S, LONGEST_RETRY_S = 15.0, 1800.0
"""Wait before the second attempt at a peer, doubled each time up to the longest."""

MAX_KILLS = 5
"""A job that kills its worker this often ends as failed, instead of taking the node down again."""

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
        Raises Refused when the data cannot be used.
    refuse : callable
        Takes a job and the reason: moves its data aside and writes the ledger.
    fail : callable
        Takes a job and a traceback: a bug, kept for the operator.
    deliver : callable
        Takes a job and a peer's name, sends every object once. Raises PeerUnavailable.
    give_up : callable
        Takes a job, a peer's name and the last reason: writes the ledger.
    notify : callable
        Takes a job that was not analysed, writes the picture that says so and returns the names of the
        peers to deliver it to.
    """

    analyse: Callable[[str], list[str]]
    refuse: Callable[[str, str], None]
    fail: Callable[[str, str], None]
    deliver: Callable[[str, str], None]
    give_up: Callable[[str, str, str], None]
    notify: Callable[[str], list[str]]


def not_here(*_: str) -> list[str]:
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
    give_up_s : float
        How long a peer may stay away before its delivery ends as undelivered.
    """

    def __init__(
        self, database_url: str, executor_id: str, work: Work, queues: tuple[str, ...], give_up_s: float
    ) -> None:
        config: DBOSConfig = {
            "name": "spine-node",
            "system_database_url": database_url,
            "application_version": _APPLICATION_VERSION,
            "executor_id": executor_id,
            "enable_otlp": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 0.25,
        }
        DBOS(config=config)
        self._analyse, self._notify = _register(work, give_up_s)
        DBOS.listen_queues(queues)

    def start(self) -> None:
        """Begin to serve the queues; jobs that a killed process of this id held come first."""
        logging.getLogger("dbos").propagate = False
        DBOS.launch()
        DBOS.register_queue(ANALYSE, worker_concurrency=1, polling_interval_sec=0.25)
        DBOS.register_queue(DELIVER, worker_concurrency=4, polling_interval_sec=0.25)

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
        return {w.workflow_id.removeprefix("analyse:"): reasons[w.status] for w in ended}

    def pending(self) -> Mapping[str, int]:
        """How many workflows wait or run, by queue."""
        waiting = DBOS.list_queued_workflows(load_input=False)
        return {name: sum(w.queue_name == name for w in waiting) for name in (ANALYSE, DELIVER)}


def retry_wait_s(attempt: int) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 0).

    Examples
    --------
    >>> [retry_wait_s(n) for n in (0, 1, 2, 20)]
    [15.0, 30.0, 60.0, 1800.0]
    """
    return min(FIRST_RETRY_S * 2.0 ** min(attempt, 30), LONGEST_RETRY_S)


def _register(work: Work, give_up_s: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    @DBOS.step(name="analyse.step.v1")
    def analyse_step(job: str) -> dict[str, Any]:
        try:
            return {"peers": work.analyse(job)}
        except Refused as refusal:
            work.refuse(job, str(refusal))
            return {"peers": []}
        except Exception:  # noqa: BLE001 - a bug must end this job visibly, not the worker
            trace = traceback.format_exc()
            log.error("analysis_failed", job=job, traceback=trace)
            work.fail(job, trace)
            return {"peers": []}

    @DBOS.step(name="notify.step.v1")
    def notify_step(job: str) -> dict[str, Any]:
        try:
            return {"peers": work.notify(job)}
        except Exception:  # noqa: BLE001 - the series itself is kept, and the ledger says why
            log.error("notice_failed", job=job, traceback=traceback.format_exc())
            return {"peers": []}

    @DBOS.step(name="deliver.step.v1")
    def deliver_step(job: str, peer: str) -> str:
        try:
            work.deliver(job, peer)
        except PeerUnavailable as unavailable:
            return str(unavailable)
        except Exception as error:  # noqa: BLE001 - tried again, and given up in the end: never forgotten
            log.error("delivery_failed", job=job, peer=peer, traceback=traceback.format_exc())
            return f"{type(error).__name__}: {error}"
        return ""

    @DBOS.step(name="give_up.step.v1")
    def give_up_step(job: str, peer: str, reason: str) -> None:
        work.give_up(job, peer, reason)

    @DBOS.workflow(name="deliver.v1", max_recovery_attempts=None)
    def deliver(job: str, peer: str, attempt: int, waited_s: float) -> None:
        reason = deliver_step(job, peer)
        if not reason:
            return
        wait_s = retry_wait_s(attempt)
        if waited_s + wait_s > give_up_s:
            give_up_step(job, peer, reason)
            return
        log.warning("delivery_postponed", job=job, peer=peer, reason=reason, wait_s=wait_s, attempt=attempt)
        enqueue_delivery(job, peer, attempt + 1, waited_s + wait_s, wait_s)

    def enqueue_delivery(job: str, peer: str, attempt: int, waited_s: float, delay_s: float) -> None:
        options = SetEnqueueOptions(delay_seconds=delay_s) if delay_s else SetEnqueueOptions()
        with SetWorkflowID(f"deliver:{job}:{peer}:{attempt}"), options:
            DBOS.enqueue_workflow(DELIVER, deliver, job, peer, attempt, waited_s)

    @DBOS.workflow(name="analyse.v1", max_recovery_attempts=MAX_KILLS)
    def analyse(job: str) -> None:
        for peer in analyse_step(job)["peers"]:
            enqueue_delivery(job, peer, 0, 0.0, 0.0)

    @DBOS.workflow(name="notify.v1", max_recovery_attempts=MAX_KILLS)
    def notify(job: str) -> None:
        for peer in notify_step(job)["peers"]:
            enqueue_delivery(job, peer, 0, 0.0, 0.0)

    return analyse, notify
