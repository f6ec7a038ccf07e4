"""What may be deleted, in which order, and why: pure rules over what is held. Touches no disk.

Something is held as received (the instances of a series), or as results (the folder of a job).

1. What is *owed* is never deleted, at any age and however full the disk: a series that is arriving or
   being analysed; a series or results of which anything is undelivered, or not committed at a destination
   whose word we ask for; what a modality was promised by storage commitment, until that promise is over;
   results that nobody but this node has, as no destination took any.
2. By age: what has rested longer than the config keeps its state.
3. By space, as long as less is free than the low-water mark or a quota is exceeded, the oldest first:
   ignored series; then series that were analysed and delivered; then their results; then refused series,
   whose reason the ledger keeps. A series on which the analysis failed goes by age only: after the next
   release it may succeed.

Where all that is left is owed, nothing is deleted, and receiving stops until somebody takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["received", "results"]

PRESSED = (("received", "ignored"), ("received", "done"), ("results", "done"), ("received", "refused"))
"""What goes when space is short, in this order; by kind and state."""

STATES = ("arriving", "analysing", "done", "refused", "ignored", "failed")
"""Of what is held. Results are of one that is done, or a notice of one refused or failed."""


@dataclass(frozen=True, slots=True)
class Held:
    """One thing on the disk.

    Attributes
    ----------
    kind : "received" or "results"
    name : str
        Series Instance UID, or job.
    state : str
        One of STATES.
    since : float
        When it came into this state, Unix seconds.
    size : int
        Bytes.
    owed : str
        Why it must be kept, in words; empty when it need not.
    """

    kind: Kind
    name: str
    state: str
    since: float
    size: int
    owed: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long each state is kept, in seconds, by kind; None for no end."""

    done_s: float
    refused_s: float
    results_s: float | None

    def of(self, held: Held) -> float | None:
        """How long this is kept."""
        if held.kind == "results":
            return self.results_s if held.state == "done" else self.refused_s
        return self.done_s if held.state in ("done", "ignored") else self.refused_s


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted, and why, in words."""

    held: Held
    why: str


def may_go(held: Held) -> bool:
    """Whether it is owed to nobody."""
    return not held.owed and held.state in ("done", "refused", "ignored", "failed")


def expired(everything: Iterable[Held], keep: Keep, now: float) -> list[Deletion]:
    """What has rested longer than it is kept, the oldest first."""
    found = []
    for held in everything:
        kept_s = keep.of(held)
        if may_go(held) and kept_s is not None and now - held.since > kept_s:
            found.append(Deletion(held, f"{held.state} for more than {kept_s / 86400.0:g} days"))
    return sorted(found, key=lambda deletion: deletion.held.since)


def pressed(everything: Sequence[Held], wanted: int, why: str, kind: Kind | None = None) -> list[Deletion]:
    """What goes to make room, in order, until that much is gone or all that is left is owed.

    Parameters
    ----------
    wanted : int
        Bytes.
    why : str
        What is short, in words.
    kind : "received" or "results", optional
        Only of this kind: its quota is exceeded.
    """
    chosen: list[Deletion] = []
    for place in PRESSED:
        if kind not in (None, place[0]):
            continue
        fitting = [held for held in everything if (held.kind, held.state) == place and may_go(held)]
        for held in sorted(fitting, key=lambda one: one.since):
            if wanted <= 0:
                return chosen
            chosen.append(Deletion(held, why))
            wanted -= held.size
    return chosen
