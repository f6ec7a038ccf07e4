"""Rejection notes: what a destination is told of results that newer ones replace (IHE IOCM).

A note is written once, beside the results that replace, for one destination: it lists what that
destination has by the ledger's word. What it did not get of the superseded results is not sent any more, so
that the list stays true.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pydicom

from spine_node import __version__
from spine_node.deliveries import Instance
from spine_node.dicom.rejection_note import write_rejection_note
from spine_node.durable import sync_folder
from spine_node.ledger import Job, Ledger
from spine_node.logs import logger
from spine_node.owed import ARRIVED
from spine_node.results import read_done

log = logger("rejections")


def rejection_notes(ledger: Ledger, results: Path, job: Job, peer: str) -> list[Instance]:
    """The notes that a destination gets before the results of a job, the oldest superseded results first.

    Parameters
    ----------
    results : Path
        Folder of results folders.
    peer : str
        Name of the destination.
    """
    return [
        note
        for older in ledger.superseded(job.job)
        if (note := _note(ledger, results, older, job.job, peer)) is not None
    ]


def written_notes(ledger: Ledger, results: Path, job: Job, peer: str) -> list[Instance]:
    """Those of them that are written, which is when the destination's turn has come."""
    paths = [_path(results, job.job, older.job, peer) for older in ledger.superseded(job.job)]
    return [_instance(path) for path in paths if path.exists()]


def _note(ledger: Ledger, results: Path, older: Job, job: str, peer: str) -> Instance | None:
    path = _path(results, job, older.job, peer)
    if not path.exists():
        stored = _stored(ledger, older.job, peer)
        rejected = _headers(results / older.job, stored)
        if not rejected:
            if stored:
                log.warning("superseded_results_gone", job=job, superseded=older.job, peer=peer)
            return None
        why = f"Superseded by results of a later analysis of series {older.series_uid}."
        _save(write_rejection_note(rejected, why, software_version=__version__), path)
    return _instance(path)


def _path(results: Path, job: str, older: str, peer: str) -> Path:
    return results / job / "rejections" / f"{older}-{_file_name(peer)}.dcm"


def _instance(path: Path) -> Instance:
    return Instance(path, str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID))


def _stored(ledger: Ledger, job: str, peer: str) -> set[str]:
    said = ledger.deliveries(job)
    return {d.sop_instance_uid for d in said if d.peer == peer and d.outcome in ARRIVED}


def _headers(folder: Path, uids: set[str]) -> Sequence[pydicom.Dataset]:
    done = read_done(folder) or {"objects": {}}
    return [
        pydicom.dcmread(folder / row["file"], stop_before_pixels=True)
        for rows in done["objects"].values()
        for row in rows
        if row["sop_instance_uid"] in uids
    ]


def _save(note: pydicom.Dataset, path: Path) -> None:
    """Whole or not at all, and for good: what was sent must be the same when it is sent again."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    note.save_as(partial, enforce_file_format=True)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.rename(path)
    for folder in (path.parent, path.parent.parent):
        sync_folder(folder)


def _file_name(peer: str) -> str:
    """A destination's name as part of a file's: it may hold any character."""
    return "".join(sign if sign.isalnum() else f"-{ord(sign):x}-" for sign in peer)
