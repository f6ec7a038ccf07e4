"""Studies as people and programs read them: tables for a terminal, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from spine_node.bookkeeping.history import Event, Place
from spine_node.bookkeeping.view import Sent, StudyView

STYLES = {
    "failed": "bold red", "undelivered": "bold red", "refused": "red", "turned away": "red",
    "delivered": "green", "ignored": "dim", "deleted": "dim",
}  # fmt: skip

COLUMNS = (
    "study_uid", "accession_number", "state", "reason", "series", "received", "refused", "senders", "sent",
    "first_at", "changed_at",
)  # fmt: skip
"""Of the CSV table. Times are UTC, ISO 8601."""


def table_of(views: Sequence[StudyView], now: float) -> Table:
    """One line a study; how long ago anything last happened to it."""
    table = Table()
    table.add_column("Study", overflow="fold")
    for heading in ("Accession", "Series", "Kept", "Refused", "State", "Sent", "Committed", "Changed"):
        number = heading in ("Series", "Kept", "Refused", "Changed")
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for view in views:
        style = STYLES.get(view.state, "")
        table.add_row(
            view.study_uid,
            escape(view.accession_number),
            str(view.series),
            str(view.received),
            str(view.refused or ""),
            f"[{style}]{view.state}[/]" if style else view.state,
            "\n".join(f"{escape(s.peer)} {s.arrived}/{s.wanted}" for s in view.sent),
            "\n".join(_committed(s) for s in view.sent if s.asked),
            f"{ago(now - view.changed_at)} ago",
        )
    return table


def story(
    view: StudyView, events: Sequence[Event], places: Sequence[Place], steps: Sequence[str], now: float
) -> str:
    """Everything about one study, as text."""
    lines = [f"Study {view.study_uid}"]
    if view.accession_number:
        lines.append(f"Accession number {view.accession_number}")
    lines.append(f"{view.state.capitalize()}, since {ago(now - view.changed_at)}")
    lines += [f"  {view.reason}"] if view.reason else []
    lines.append(f"{view.series} series, {view.received} instances kept, {view.refused} turned away")
    for sent in view.sent:
        words = f"{sent.peer} has {sent.arrived} of {sent.wanted} results"
        lines.append(words + (f", has committed to keep {_committed(sent)}" if sent.asked else ""))
    lines += ["", "What happened"]
    subject = ""
    for event in events:
        about = f"series {event.series_uid}" if event.series_uid else ""
        about += f", job {event.job}" if event.job else ""
        if about and about != subject:
            lines.append(f"  {about}")
            subject = about
        first, *more = event.words.splitlines() or [""]
        lines += [f"    {_when(event.at)}  {first}", *(f"{'':25}{line}" for line in more)]
    lines += ["", "Where it lies", *(f"  {p.words}: {p.folder}" for p in places)]
    lines += [] if places else ["  nothing of it is on this disk any more"]
    lines += ["", "What can be done", *(f"  {step}" for step in steps or ["Nothing needs to be done."])]
    return "\n".join(lines)


def as_json(facts: Any) -> str:
    """Facts of one study, or a list of them."""
    return json.dumps(facts, indent=2, default=str) + "\n"


def facts_of(view: StudyView) -> dict[str, Any]:
    """A view with its times in UTC, ISO 8601."""
    facts = asdict(view)
    return facts | {"first_at": when_utc(view.first_at), "changed_at": when_utc(view.changed_at)}


def history_facts(
    view: StudyView, events: Sequence[Event], places: Sequence[Place], steps: Sequence[str]
) -> dict[str, Any]:
    """The same with everything that happened, where it lies and what can be done."""
    return facts_of(view) | {
        "events": [asdict(event) | {"at": when_utc(event.at)} for event in events],
        "places": [{"words": place.words, "folder": str(place.folder)} for place in places],
        "next": list(steps),
    }


def as_csv(views: Sequence[StudyView]) -> str:
    """One row a study, and a heading."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for view in views:
        facts = facts_of(view)
        facts["senders"] = " ".join(view.senders)
        facts["sent"] = " ".join(f"{s.peer}:{s.arrived}/{s.wanted}" for s in view.sent)
        table.writerow([_harmless(facts[column]) for column in COLUMNS])
    return text.getvalue()


def ago(seconds: float) -> str:
    """How long, in the unit that people would use.

    Examples
    --------
    >>> [ago(s) for s in (5, 90, 5400, 200000)]
    ['5 s', '2 min', '2 h', '2 d']
    """
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length * (1 if unit == "min" else 1.5):
            return f"{round(seconds / length)} {unit}"
    return f"{max(round(seconds), 0)} s"


def when_utc(at: float) -> str:
    """A time as programs read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _committed(sent: Sent) -> str:
    return f"{sent.committed}/{sent.asked}"


def _harmless(value: Any) -> Any:
    """Text that came with a data set must not become a formula where the table is opened."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
