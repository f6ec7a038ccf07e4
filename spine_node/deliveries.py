"""What is still to be sent of a job's results, and whether it has arrived: offers against answers.

A result arrives when one of its forms does. Pure: folders and ledger are read by `node`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_node.dicom.forms import Kind, Product, kind_of
from spine_node.network.scu import Alternative, Offer
from spine_node.owed import ARRIVED

OPEN = ("postponed", "unknown", "waiting", "lost")
"""Outcomes that settle nothing: not taken for the time being; sent, and no answer came; to be offered again
by a person's wish; stored once, and gone as the peer says when asked for commitment."""

ESSENTIAL: tuple[Kind, ...] = ("seg", "sr")
"""What a destination must take, if it is to get it at all."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a results folder."""

    path: Path
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Result:
    """One result in the forms that were made of it, the best first, by name."""

    forms: Mapping[str, tuple[Instance, ...]]
    beside: Mapping[str, str]
    """The form of another result that a form refers to, by name."""
    essential: bool = True
    """Whether the job has failed where no form of it arrives."""

    def remaining(self, outcomes: Mapping[str, str], taken: Collection[str] = ()) -> Offer | None:
        """What is still to be offered; None when it is over.

        A form of which the peer has something goes on; one that it refused something of is over, and so
        is one that refers to what the peer has in another form.

        Parameters
        ----------
        outcomes : mapping of UID to name
            Of each instance that was sent or passed over.
        taken : collection of str
            Names of the forms that the peer has of other results.
        """
        alternatives = []
        fitting = {n: i for n, i in self.forms.items() if self.beside.get(n) in (None, *taken)}
        for name, instances in (fitting or self.forms).items():
            said = [outcomes.get(i.sop_instance_uid) for i in instances]
            if any(outcome not in (*ARRIVED, None) for outcome in said):
                continue
            left = [i.path for i, outcome in zip(instances, said, strict=True) if outcome is None]
            if not left:
                return None
            alternative = Alternative(name, tuple(left), self.beside.get(name, ""))
            if len(left) < len(instances):
                return Offer((alternative,))
            alternatives.append(alternative)
        return Offer(tuple(alternatives)) if alternatives else None

    def answered(self, outcomes: Mapping[str, str]) -> list[Instance]:
        """The instances of any form that an outcome is known of."""
        return [i for form in self.forms.values() for i in form if i.sop_instance_uid in outcomes]

    def unanswered(self, outcomes: Mapping[str, str]) -> list[Instance]:
        """The others."""
        return [i for form in self.forms.values() for i in form if i.sop_instance_uid not in outcomes]

    def arrived(self, outcomes: Mapping[str, str]) -> str | None:
        """The form that the peer has whole, or None."""
        for name, instances in self.forms.items():
            if all(outcomes.get(i.sop_instance_uid) in ARRIVED for i in instances):
                return name
        return None


def results_of(offers: Sequence[Sequence[Product]], made: Mapping[str, Sequence[Instance]]) -> list[Result]:
    """The results that a destination is offered, as far as they were made."""
    found = []
    for products in offers:
        forms = {p.name: tuple(made[p.name]) for p in products if made.get(p.name)}
        beside = {p.name: p.seg.name for p in products if p.seg is not None}
        if forms:
            found.append(Result(forms, beside, kind_of(products[0].form) in ESSENTIAL))
    return found


def open_offers(results: Sequence[Result], outcomes: Mapping[str, str]) -> tuple[list[Offer], set[str]]:
    """What is still to be sent, and the forms that the peer has already."""
    taken = arrived_forms(results, outcomes)
    remaining = [offer for result in results if (offer := result.remaining(outcomes, taken)) is not None]
    return remaining, taken


def arrived_forms(results: Sequence[Result], outcomes: Mapping[str, str]) -> set[str]:
    """Names of the forms that the peer has whole."""
    return {name for result in results if (name := result.arrived(outcomes)) is not None}
