"""Series that lie in the inbox while the ledger does not know them yet: a killed receiver had not told.

They are looked for on the disk, so that nothing that was acknowledged is ever missing from the list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from spine_node.inbox import Inbox, Rest
from spine_node.ledger.arrivals import Arrival
from spine_node.ledger.books import Search, Study

_TAGS = ["StudyInstanceUID", "AccessionNumber"]


def unrecorded(inbox: Inbox, known: Collection[str]) -> list[Study]:
    """Studies of the series on the disk that are none of the known, as if their arrival had been told."""
    found = defaultdict(list)
    for rest in inbox.rests():
        if rest.series_uid not in known:
            arrival = _arrival_of(rest)
            found[arrival.study_uid or arrival.series_uid].append(arrival)
    return [Study(uid, (), tuple(arrivals), (), None) for uid, arrivals in found.items()]


def joined(recorded: Iterable[Study], more: Iterable[Study]) -> list[Study]:
    """The studies of both; one that is in both once, with the arrivals of both."""
    found = {study.study_uid: study for study in recorded}
    for study in more:
        known = found.get(study.study_uid, study)
        arrivals = {a.series_uid: a for a in (*study.arrivals, *known.arrivals)}
        found[study.study_uid] = replace(known, arrivals=tuple(arrivals.values()))
    return list(found.values())


def fits(study: Study, search: Search) -> bool:
    """Whether a study without a job is what is sought."""
    since, until = search.since or 0.0, search.until or float("inf")
    return (
        not search.states
        and not search.in_trouble
        and search.study_uid in ("", study.study_uid)
        and search.accession_number in ("", study.accession_number)
        and (not search.peer or any(a.calling_ae == search.peer for a in study.arrivals))
        and since <= study.changed_at <= until
    )


def _arrival_of(rest: Rest) -> Arrival:
    paths = sorted(rest.folder.glob("*.dcm"))
    try:
        header = dcmread(paths[0], stop_before_pixels=True, specific_tags=_TAGS) if paths else None
    except (OSError, InvalidDicomError):
        header = None
    study_uid, accession = (str(getattr(header, tag, None) or "") for tag in _TAGS)
    try:
        sender = (rest.folder / "sender.txt").read_text(encoding="utf-8").strip()
    except OSError:
        sender = ""
    return Arrival(
        rest.series_uid,
        sender,
        study_uid,
        accession,
        "",
        len(paths),
        0,
        "",
        rest.since_unix_s,
        rest.since_unix_s,
    )
