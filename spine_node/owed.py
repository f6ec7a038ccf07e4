"""What is still owed: results that a destination does not have, or has not committed to keep. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from spine_node.ledger import Delivery, Job

ARRIVED = ("stored", "warning")
"""Outcomes of an instance that the peer has."""


def owed_of(
    job: Job,
    deliveries: Sequence[Delivery],
    committing: Collection[str],
    later: Mapping[str, str] | None = None,
) -> str:
    """Why a job is not over, in words; empty when nothing of it is owed to anybody.

    Parameters
    ----------
    deliveries : sequence of Delivery
        Of this job, at every peer.
    committing : collection of str
        Names of the destinations whose storage commitment we ask for.
    later : mapping of job to words
        What is owed of the jobs that took this one's place: where nothing is, nothing is of this one.
    """
    if later and job.superseded_by in later and not later[job.superseded_by]:
        return ""
    if job.state in ("received", "analysing"):
        return "it is being analysed"
    if job.state == "analysed":
        return "its results are being delivered"
    if job.state == "undelivered":
        return f"its results did not arrive ({job.reason})"
    if job.state != "delivered":
        return ""
    open_at = sorted({d.peer for d in deliveries if _uncommitted(d, committing)})
    return f"{', '.join(open_at)} has not committed to keep its results" if open_at else ""


def has_arrived(deliveries: Sequence[Delivery]) -> bool:
    """Whether anybody but this node has something of the results."""
    return any(d.outcome in ARRIVED for d in deliveries)


def _uncommitted(delivery: Delivery, committing: Collection[str]) -> bool:
    """Asked for and not given; or at a destination that will be asked."""
    if delivery.outcome not in ARRIVED or delivery.commitment == "committed":
        return False
    return delivery.commitment != "" or delivery.peer in committing
