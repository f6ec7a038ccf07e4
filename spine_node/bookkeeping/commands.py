"""`spine-node studies`, `study`, `retry` and `forget`: the ledger for people, of a node running or not."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spine_node.errors import StudyRefused

if TYPE_CHECKING:
    from spine_node.bookkeeping.acts import Desk
    from spine_node.bookkeeping.history import Place
    from spine_node.ledger.books import Study

Config = Annotated[
    Path | None, typer.Option(exists=True, help="Config file or folder; the one that the node runs with.")
]
Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Study Instance UID, Series Instance UID, accession number, or job."),
]
Which = "Which studies (all that is given must match)"
What = "What is printed"


def studies(
    accession: Annotated[
        str, typer.Option(metavar="NUMBER", help="Accession number.", rich_help_panel=Which)
    ] = "",
    study_uid: Annotated[
        str, typer.Option("--study", metavar="UID", help="Study Instance UID.", rich_help_panel=Which)
    ] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="A series of it is received, analysing, analysed, delivered, undelivered, refused, ignored "
            "or failed; may be given more than once.",
            rich_help_panel=Which,
        ),
    ] = None,
    peer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A destination by its name, or the AE title of a sender.",
            rich_help_panel=Which,
        ),
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Something happened to it since: 30m, 12h, 7d, or a date such as 2026-05-31.",
            rich_help_panel=Which,
        ),
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="WHEN", help="Something happened to it until then.", rich_help_panel=Which)
    ] = "",
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="Something of it was turned away, refused, failed, did not arrive or is not kept.",
            rich_help_panel=Which,
        ),
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="No more than this.", rich_help_panel=What)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.", rich_help_panel=What)] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A row a study.", rich_help_panel=What)] = False,
    config: Config = None,
) -> None:
    """List the studies that the node knows, the last changed first: what came, what became of it, who has it.

    Kept are instances on this disk; refused are those turned away at the door. Sent is how many of the
    results each destination has, of those it is to get; committed, how many instances it has promised to
    keep. No patient's name or ID is stored here or shown.
    Exit status: 0, also when none match; 1 when there is no ledger.

    What went wrong this week:  spine-node studies --failed --since 7d

    One patient's examination:  spine-node studies --accession A123

    For a spreadsheet:          spine-node studies --most 10000 --csv > studies.csv
    """
    if as_json and as_csv:
        raise typer.BadParameter("give one of --json and --csv")
    from spine_node.ledger import STATES
    from spine_node.ledger.books import Search

    for name in state or ():
        if name not in STATES:
            raise typer.BadParameter(f"{name} is none of {', '.join(STATES)}", param_hint="--state")
    search = Search(
        accession, study_uid, tuple(state or ()), peer,
        _time(since, "--since"), _time(until, "--until"), failed,
    )  # fmt: skip
    from spine_node.bookkeeping import words
    from spine_node.bookkeeping.view import view_of
    from spine_node.tables import print_tables

    with _desk(config) as desk:
        found, count = desk.find(search, most)
        views = [view_of(study, desk.settings, desk.inbox) for study in found]
    if as_json:
        print(words.as_json([words.facts_of(view) for view in views]), end="")
    elif as_csv:
        print(words.as_csv(views), end="")
    elif views:
        print_tables(words.table_of(views, time.time()))
    more = f", {count} match: --most {count} shows all" if count > len(views) else ""
    print(f"Studies: {len(views)}{more}", file=sys.stderr)


def study(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object, or a list of them.")] = False,
    config: Config = None,
) -> None:
    """Tell everything that happened to one study, in order; where it lies; and what can be done.

    An accession number may name several studies: all of them are told.
    Exit status: 0 told, 3 no such study, 1 when there is no ledger.

    As a caller names it:  spine-node study A123
    """
    from spine_node.bookkeeping import words
    from spine_node.bookkeeping.history import events_of, next_steps
    from spine_node.bookkeeping.view import view_of

    told = []
    with _desk(config) as desk:
        for one in _named(desk, name):
            folders = {series: desk.inbox.folders(series) for series in one.series_uids}
            told.append(
                (
                    view_of(one, desk.settings, desk.inbox),
                    events_of(one, _result_names(desk, one)),
                    _places(desk, one, folders),
                    next_steps(one, folders),
                )
            )
    if as_json:
        facts = [words.history_facts(*each) for each in told]
        print(words.as_json(facts if len(facts) > 1 else facts[0]), end="")
    else:
        print("\n\n".join(words.story(*each, time.time()) for each in told))


def retry(
    name: Name,
    peer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only deliveries, and only to this destination.")
    ] = None,
    analyse: Annotated[
        bool, typer.Option("--analyse", help="Only analyses; also of series that the rules ignored.")
    ] = False,
    config: Config = None,
) -> None:
    """Try again what did not work: results that did not arrive, a series that was refused or failed.

    Nothing that a destination has is sent again, and the same instances give the same results under the same
    UIDs. A running node begins within seconds, one that does not run when it starts.
    Exit status: 0 something is tried again, 3 there is nothing to try or no such study, 1 anything else.

    After the PACS was put right:  spine-node retry A123

    After the rules were changed:  spine-node retry 1.2.840.1 --analyse
    """
    if analyse and peer is not None:
        raise typer.BadParameter("--peer is about deliveries, --analyse about analyses: give one of them")
    from spine_node.bookkeeping import acts

    with _desk(config) as desk:
        for sentence in acts.retry(desk, _only(desk, name), name, peer=peer, analyse=analyse):
            print(sentence)


def forget(
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Although results of it did not arrive, or are not committed.")
    ] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Leave no line in the ledger that says what was deleted, and when.")
    ] = False,
    config: Config = None,
) -> None:
    """Delete everything of a study from this node: received instances, results, and its rows in the ledger.

    What destinations have stays there. A line in the ledger remains that says what there was and when it
    was deleted, unless --rows. Refused while any of it is being analysed, and, without --yes, while results
    are on their way, did not arrive or are not committed.
    Exit status: 0 deleted, 3 refused or no such study, 1 anything else.
    """
    from spine_node.bookkeeping import acts

    with _desk(config) as desk:
        found = _only(desk, name)
        owed = acts.what_is_owed(desk, found)
        if owed and not yes:
            raise StudyRefused(
                f"study {found.study_uid} is not over: {'; '.join(owed)}. Nothing was deleted; --yes deletes "
                "it all the same."
            )
        print(f"study {found.study_uid} is deleted: {acts.forget(desk, found, rows=rows)}")


@contextmanager
def _desk(config: Path | None) -> Iterator[Desk]:
    from spine_node.bookkeeping.acts import Desk
    from spine_node.config import load_settings
    from spine_node.errors import Unavailable
    from spine_node.inbox import Inbox
    from spine_node.ledger import Ledger, database_url

    settings = load_settings(config)
    storage = settings.storage
    if not storage.database_url and not storage.database.exists():
        raise Unavailable(
            f"there is no ledger at {storage.database.absolute()}: no node has run with these settings here. "
            "--config names those of the node, and relative paths begin in its working directory."
        )
    url = storage.database_url or database_url(storage.database)
    ledger = Ledger(url)
    try:
        yield Desk(settings, ledger, Inbox(storage.inbox), url)
    finally:
        ledger.close()


def _named(desk: Desk, name: str) -> list[Study]:
    found = desk.study_of(name)
    if not found:
        raise StudyRefused(f"the ledger has no study, series, accession number or job {name}")
    return found


def _only(desk: Desk, name: str) -> Study:
    found = _named(desk, name)
    if len(found) > 1:
        uids = ", ".join(one.study_uid for one in found)
        raise StudyRefused(f"{name} names {len(found)} studies: {uids}. Nothing was done; name one of them.")
    return found[0]


def _result_names(desk: Desk, one: Study) -> dict[str, str]:
    """What each result instance is, as far as the results are still here."""
    from spine_node.results import read_done

    names = {}
    for job in one.jobs:
        done = read_done(desk.settings.storage.results / job.job) or {"objects": {}}
        for product, rows in done["objects"].items():
            names.update({row["sop_instance_uid"]: product for row in rows})
    return names


def _places(desk: Desk, one: Study, folders: Mapping[str, Mapping[str, Path]]) -> list[Place]:
    from spine_node.bookkeeping.history import Place

    found = []
    for series, places in folders.items():
        for state, folder in places.items():
            count = sum(1 for _ in folder.glob("*.dcm"))
            found.append(Place(f"series {series}, {state}, {count} instances", folder))
    for job in one.jobs:
        folder = desk.settings.storage.results / job.job
        if folder.exists():
            found.append(Place(f"results of job {job.job}", folder))
    return found


def _time(text: str, option: str) -> float | None:
    """A time in the past, Unix seconds: so long ago, or at the beginning of that day here."""
    if not text:
        return None
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(m|h|d|w)", text.strip()):
        return time.time() - float(ago[1]) * {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        raise typer.BadParameter(
            f"{text} is neither so long ago (30m, 12h, 7d) nor a date (2026-05-31)", param_hint=option
        ) from None
