"""What the node serves to who asks, as the network floor sees it: instances, in the forms of results.

Who keeps them and decides which are served (`spine_node.served`) is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances, by whole values; () is any. Dates are YYYYMMDD, both included, "" is open."""

    patient_ids: tuple[str, ...] = ()
    study_uids: tuple[str, ...] = ()
    series_uids: tuple[str, ...] = ()
    sop_instance_uids: tuple[str, ...] = ()
    accession_numbers: tuple[str, ...] = ()
    first_date: str = ""
    last_date: str = ""


class Held(Protocol):
    """One instance, without its header. Dates and texts as the index has them."""

    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def study_uid(self) -> str: ...
    @property
    def series_uid(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def made_at(self) -> float: ...


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One instance as it can be sent."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class HeldForm:
    """One form of a result: all of its files are sent, or another form.

    Attributes
    ----------
    name : str
    beside : str
        Name of the form of another result that this one refers to; "" for none.
    files : tuple of HeldFile
    """

    name: str
    beside: str
    files: tuple[HeldFile, ...]


@dataclass(frozen=True, slots=True)
class HeldResult:
    """One result of one analysis in the forms that are there, the best first."""

    job: str
    forms: tuple[HeldForm, ...]


class Holder(Protocol):
    """Who keeps results, and hands out one form of each."""

    def held(self, selection: Selection) -> Sequence[Held]:
        """What there is to find; each result in one form, unless instances are named."""
        ...

    def headers(self, sop_instance_uids: Collection[str]) -> Mapping[str, Dataset]:
        """The attributes that queries ask for, undecoded, by SOP Instance UID."""
        ...

    def results(self, selection: Selection) -> Sequence[HeldResult]:
        """What there is to retrieve; what others refer to comes first."""
        ...


def chosen(results: Sequence[HeldResult], usable: Mapping[str, bool]) -> list[HeldFile]:
    """The files to send: of each result the first form that the peer takes whole, or else the best.

    A report that exists for each form of what it refers to goes in the one that fits what is sent.

    Parameters
    ----------
    usable : mapping of SOP Instance UID to bool
        Whether the peer takes the instance's class in a syntax that we can write it in.
    """
    files: list[HeldFile] = []
    sent: dict[str, set[str]] = {}
    for result in results:
        names = sent.setdefault(result.job, set())
        fitting = [form for form in result.forms if not form.beside or form.beside in names]
        forms = fitting or list(result.forms)
        form = next((f for f in forms if all(usable[file.sop_instance_uid] for file in f.files)), forms[0])
        names.add(form.name)
        files += form.files
    return files
