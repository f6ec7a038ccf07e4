"""`spine-node report`: the numbers in our structured reports, wherever these are kept."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from spine_node.errors import ReportRefused

if TYPE_CHECKING:
    from spine_node.dicom.code_overrides import CodeOverrides
    from spine_node.network.archive import Archive, Query
    from spine_node.network.peer import Peer
    from spine_node.reports.find import Found

CALLING_AE = "SPINENODE"
CONNECT_TIMEOUT_S = 10.0

Where = "Where to look"
Which = "Which studies (all that is given must match)"
How = "How a PACS is asked"
What = "What is printed"


def report(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A file, a folder (searched to its depth), dicom://AETITLE@HOST:PORT of a PACS, or the "
            "http(s) address of a DICOMweb server's services.",
            show_default=False,
        ),
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A destination of the config by its name, instead of SOURCE.",
            rich_help_panel=Where,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, help="Config file or folder for --peer.", rich_help_panel=Where),
    ] = None,
    study: Annotated[
        str, typer.Option(metavar="UID", help="Study Instance UID.", rich_help_panel=Which)
    ] = "",
    accession: Annotated[
        str, typer.Option(metavar="NUMBER", help="Accession number.", rich_help_panel=Which)
    ] = "",
    patient: Annotated[str, typer.Option(metavar="ID", help="Patient ID.", rich_help_panel=Which)] = "",
    first: Annotated[
        str, typer.Option("--from", metavar="DATE", help="Study date, this or later.", rich_help_panel=Which)
    ] = "",
    last: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Study date, this or earlier.", rich_help_panel=Which)
    ] = "",
    most: Annotated[
        int, typer.Option(min=1, help="Refuse a query that more studies match.", rich_help_panel=Which)
    ] = 200,
    aet: Annotated[
        str | None,
        typer.Option(
            metavar="TITLE",
            help=f"Our AE title; default: the config's with --peer, else {CALLING_AE}.",
            rich_help_panel=How,
        ),
    ] = None,
    move: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Retrieve by C-MOVE instead of C-GET: listen there meanwhile. The PACS must know our AE "
            "title with this machine's address and this port.",
            rich_help_panel=How,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for each answer.", rich_help_panel=How)
    ] = 60.0,
    codes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A hospital's own codes that the reports were written with ([report] codes of the config).",
            rich_help_panel=How,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A JSON list; each with its measurements.json.", rich_help_panel=What),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One table, a row for each parameter.", rich_help_panel=What)
    ] = False,
    as_fhir: Annotated[
        bool,
        typer.Option("--fhir", help="FHIR R4: a Bundle of each report, one a line.", rich_help_panel=What),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Superseded reports too.", rich_help_panel=What)
    ] = False,
) -> None:
    """Read our structured reports back: the parameters of each study, as a table, JSON, CSV or FHIR.

    Looks in files, in a PACS (C-FIND, then C-GET or C-MOVE) or on a DICOMweb server (its token in the
    environment variable DICOMWEB_TOKEN, or user and password in ~/.netrc). Of several reports on the same
    images the last of the chain counts, else the newest. Reports by others are passed over and counted.
    Exit status: 0 found, 3 nothing found or refused (the reason is on stderr), 1 anything else.

    A folder:  spine-node report runs/patient7

    A file:    spine-node report sr.dcm --json

    A PACS:    spine-node report dicom://PACS@10.0.0.5:104 --accession A123

    C-MOVE:    spine-node report dicom://PACS@10.0.0.5:104 --from 2026-01-01 --move 11113

    By name:   spine-node report --peer pacs --config site.toml --patient 4711 --csv

    DICOMweb:  spine-node report https://pacs.example/dicom-web --study 1.2.840.1 --fhir
    """
    if as_json + as_csv + as_fhir > 1:
        raise typer.BadParameter("give one of --json, --csv and --fhir")
    if (source is None) == (peer is None):
        raise typer.BadParameter("say where to look: SOURCE, or --peer NAME")
    if config is not None and peer is None:
        raise typer.BadParameter("a config only says what --peer NAME is", param_hint="--config")
    query = _query(study, accession, patient, first, last)
    in_files = source is not None and "://" not in source
    if in_files:
        found = _in_files(Path(str(source)), query, _overrides(codes), every=every)
    else:
        if query.is_empty:
            raise typer.BadParameter("say which studies: --study, --accession, --patient, --from or --to")
        archive = _archive(source, peer, config, aet, move, timeout)
        found = _in_archive(archive, query, most, _overrides(codes), every=every)
    if not found.reports:
        raise ReportRefused(_nothing(found, source or str(peer), archive=not in_files))
    _print(found, as_json=as_json, as_csv=as_csv, as_fhir=as_fhir)
    _tell(found)


def _query(study: str, accession: str, patient: str, first: str, last: str) -> Query:
    from spine_node.network.archive import Query

    try:
        return Query(study, accession, patient, first.replace("-", ""), last.replace("-", ""))
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def _overrides(codes: Path | None) -> CodeOverrides:
    from spine_node.dicom.code_overrides import NO_OVERRIDES, load_overrides

    return NO_OVERRIDES if codes is None else load_overrides(codes)


def _in_files(path: Path, query: Query, overrides: CodeOverrides, *, every: bool) -> Found:
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist", param_hint="SOURCE")
    from spine_node.reports.find import find_in_files
    from spine_node.tables import progress

    with progress("Looking") as tell:
        return find_in_files(path, query, every=every, overrides=overrides, progress=tell)


def _in_archive(archive: Archive, query: Query, most: int, overrides: CodeOverrides, *, every: bool) -> Found:
    from spine_node.reports.find import find_in_archive
    from spine_node.tables import progress

    with progress(f"Asking {archive}") as tell:
        return find_in_archive(archive, query, most, every=every, overrides=overrides, progress=tell)


def _archive(
    source: str | None,
    name: str | None,
    config: Path | None,
    aet: str | None,
    move: str | None,
    timeout: float,
) -> Archive:
    try:
        if source is not None and not source.startswith("dicom://"):
            from spine_node.network.dicomweb import WebArchive

            if move is not None:
                raise ValueError("--move is for a PACS: dicom://AETITLE@HOST:PORT, or --peer")
            return WebArchive(source, CONNECT_TIMEOUT_S, timeout)
        from spine_node.network.peer import checked_ae_title
        from spine_node.network.retrieve import DimseArchive

        if source is not None:
            peer, calling_ae = peer_of(source, timeout), CALLING_AE
        else:
            peer, calling_ae = _peer_of_config(str(name), config)
        calling_ae = checked_ae_title(aet or calling_ae)
        return DimseArchive(peer, calling_ae, None if move is None else _receiver(move, peer))
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def peer_of(address: str, answer_timeout_s: float) -> Peer:
    """The PACS at an address: dicom://AETITLE@HOST:PORT, a blank in the title as %20.

    Raises
    ------
    ValueError
        If it is not of this form.

    Examples
    --------
    >>> print(peer_of("dicom://MAIN%20PACS@10.0.0.5:104", 30.0))
    pacs (MAIN PACS at 10.0.0.5:104)
    """
    from spine_node.network.peer import Peer

    parts = urlsplit(address)
    if (
        parts.scheme != "dicom"
        or not parts.username
        or not parts.hostname
        or not parts.port
        or parts.password
    ):
        raise ValueError(f"{address} is no address of a PACS: dicom://AETITLE@HOST:PORT")
    # urlsplit makes the host lower case, which is as good; the AE title it leaves alone.
    return Peer(
        "pacs", unquote(parts.username), parts.hostname, parts.port, CONNECT_TIMEOUT_S, answer_timeout_s
    )


def _peer_of_config(name: str, config: Path | None) -> tuple[Peer, str]:
    from spine_node.config import load_settings

    settings = load_settings(config)
    for destination in settings.destinations:
        if destination.name == name:
            return destination, settings.scp.ae_title
    known = ", ".join(destination.name for destination in settings.destinations) or "none"
    raise ValueError(f"no destination is named {name}; the config has {known}")


def _receiver(move: str, peer: Peer):  # type: ignore[no-untyped-def]
    from spine_node.network.retrieve import Receiver

    form = re.fullmatch(r"(?:(.+):)?(\d{1,5})", move)
    if not form or not 1 <= int(form[2]) <= 65535:
        raise ValueError(f"--move {move}: write PORT or HOST:PORT")
    # A PACS on this machine calls back on loopback; for any other, every interface has to listen.
    here = "127.0.0.1" if peer.host in ("127.0.0.1", "localhost") else ""
    return Receiver(form[1] or here, int(form[2]))


def _print(found: Found, *, as_json: bool, as_csv: bool, as_fhir: bool) -> None:
    if as_json:
        from spine_node.reports.json_objects import json_text

        print(json_text(found.reports), end="")
    elif as_csv:
        from spine_node.reports.csv_rows import csv_text

        print(csv_text(found.reports), end="")
    elif as_fhir:
        from spine_node.reports.fhir import fhir_text

        print(fhir_text(found.reports), end="")
    else:
        from spine_node.reports.table import print_table

        for number, one in enumerate(found.reports):
            print(end="\n" if number else "")
            print_table(one)


def _tell(found: Found) -> None:
    """On stderr: how much was found, what was passed over, what is broken."""
    studies = len({one.study_uid for one in found.reports})
    print(f"Reports: {len(found.reports)}, studies: {studies}", file=sys.stderr)
    if found.passed_over:
        print(f"Passed over: {found.passed_over_in_words}", file=sys.stderr)
    for problem in found.unreadable:
        print(f"Unreadable: {problem}", file=sys.stderr)


def _nothing(found: Found, where: str, *, archive: bool) -> str:
    words = [f"no report of ours in {where}"]
    if archive:
        words.append(f"studies that match: {found.studies}")
    if found.passed_over:
        words.append(f"passed over: {found.passed_over_in_words}")
    words += [f"unreadable: {problem}" for problem in found.unreadable]
    return "; ".join(words)
