"""The folders of received instances: the only module that knows them. Knows no DICOM.

    receiving/<series uid>/<sop uid>.dcm      arriving; nothing has been decided
    claimed/<series uid>/...                  being analysed; nothing is added to it any more
    done/ refused/ ignored/ failed/           settled; all but done with a reason.txt
    superseded/<series uid>/<sop uid>-<n>.dcm an older content of an instance that was sent again, changed
    incoming/<writer>/                        temporary files of one living process
    stopped.txt                               why nothing is stored for the time being

A change of state is one rename of the series' folder, so a kill leaves the series in one state or in
the other, and `ls` tells which. `job.txt` in a claimed series' folder names the job it was claimed for,
`sender.txt` in any holds the AE title that sent last.

What becomes of an instance whose UID is already here:

- the same bytes, in whatever state its series is: nothing changes, and the sender is told success;
- other bytes while its series is receiving: the newcomer takes the place (a PACS that corrected a
  patient's identity sends every instance again), the older is kept under superseded/;
- other bytes, or a new instance, once its series is claimed or settled: its series is receiving again,
  and waits for the claim to end. The next claim then takes the union, the newest bytes of each UID.

Several processes may share one inbox. `store` and the changes of state exclude each other by a file
lock, held for renames only, never while bytes are written.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from spine_node.drafts import Draft, Drafts, exclusively
from spine_node.durable import durable_folder, sync_folder

RECEIVING, CLAIMED = "receiving", "claimed"
SETTLED = ("done", "refused", "ignored", "failed")
"""States in which a series rests until it expires, is reopened, or more of it arrives."""

_STATES = (RECEIVING, CLAIMED, *SETTLED)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

_MOST_ALONE = 1000
"""Series of which it is remembered that they are receiving only."""

_SENDER, _REASON, _JOB = "sender.txt", "reason.txt", "job.txt"
_GONE = ".gone"


@dataclass(frozen=True, slots=True)
class ReceivedSeries:
    """What has arrived of one series that nobody has claimed.

    Attributes
    ----------
    series_uid : str
    last_arrival_unix_s : float
        When the newest instance came, or came again, by this machine's clock.
    calling_ae : str
        AE title that sent last.
    """

    series_uid: str
    last_arrival_unix_s: float
    calling_ae: str
    _list: Callable[[], dict[str, Path]] = field(repr=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """One file an instance, sorted by name, looked for when asked.

        Files of an earlier, settled arrival are among them; `claim` brings all into one folder.
        """
        newest = self._list()
        return tuple(newest[name] for name in sorted(newest))


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an instance lies now, and how it came there: "new", "same" or "superseding"."""

    path: Path
    how: str


@dataclass(frozen=True, slots=True)
class Rest:
    """A series in one state: its folder, and since when it is there, by this machine's clock."""

    series_uid: str
    state: str
    folder: Path
    since_unix_s: float


class Inbox:
    """Received instances on one filesystem.

    Opening it removes the temporary files of processes that no longer live.

    Parameters
    ----------
    root : Path
        Created if absent. Everything below it belongs to the inbox.
    reserve_bytes : int
        Free space that `store` leaves alone, so that what was received can still be analysed.
    """

    def __init__(self, root: Path, reserve_bytes: int = 0) -> None:
        self.root = root.absolute()
        self._root = str(self.root)
        # Series that are receiving and in no other state, by the mark of their sender.txt, and its content.
        # Only what moves that file away with its folder brings a series into another state.
        self._alone: dict[str, tuple[tuple[int, int, int], str]] = {}
        durable_folder(self.root)
        for name in (*_STATES, "superseded"):
            (self.root / name).mkdir(exist_ok=True)
        self._drafts = Drafts(self.root, reserve_bytes, self.place)
        sync_folder(self.root)
        with self._exclusively():
            self._drafts.clear_interrupted()
            _delete([*self.root.glob(f"*/.*{_GONE}")])

    def store(
        self, series_uid: str, sop_uid: str, calling_ae: str, chunks: Iterable[bytes | memoryview]
    ) -> Stored:
        """Keep one instance for good: when this returns, a power cut does not lose it.

        Parameters
        ----------
        chunks : iterable of bytes-like
            The file's contents, in order. They must not depend on who sent it or when, or a
            re-sent instance would not be recognised.

        Raises
        ------
        ValueError
            If a UID is not one (and so could not safely name a file).
        OSError
            If the disk is full (ENOSPC, also when only the reserve is left, or after `stop_storing`) or
            fails. Nothing of the instance is left behind.
        """
        _checked(sop_uid), _checked(series_uid)
        draft = self.draft()
        try:
            for chunk in chunks:
                draft.write(chunk)
            return draft.keep(series_uid, sop_uid, calling_ae)
        finally:
            draft.discard()

    def draft(self) -> Draft[Stored]:
        """Room for an instance that arrives in pieces, and whose series is not known yet.

        Raises
        ------
        OSError
            If the disk is full (ENOSPC, also when only the reserve is left) or fails.
        """
        return self._drafts.begin()

    def place(self, temporary: str, series_uid: str, sop_uid: str, calling_ae: str) -> Stored:
        """Move a whole, synced temporary file to its place, and sync that too."""
        file_name = f"{_checked(sop_uid)}.dcm"
        with self._exclusively():
            stored = self._place(temporary, _checked(series_uid), file_name, calling_ae)
            # Also of an instance that was here: who brought it may not have synced its folder yet.
            folder = os.open(stored.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return stored

    def open_series(self) -> list[ReceivedSeries]:
        """Series that are arriving and may be claimed, the longest silent first.

        A series of which more arrived while it is claimed is held back until that claim has ended.
        """
        found = []
        for folder in self._series(RECEIVING):
            if self._folder(CLAIMED, folder.name).exists():
                continue
            try:
                last = folder.stat().st_mtime
                with os.scandir(folder) as entries:
                    empty = not any(entry.name.endswith(".dcm") for entry in entries)
            except FileNotFoundError:  # claimed by another process meanwhile
                continue
            if not empty:
                newest = partial(self._newest, folder.name)
                found.append(ReceivedSeries(folder.name, last, _read(folder / _SENDER), newest))
        return sorted(found, key=lambda series: series.last_arrival_unix_s)

    def claim(self, series_uid: str) -> Path:
        """Take everything received of a series for analysis; claiming again gives the same folder.

        Raises
        ------
        FileNotFoundError
            If nothing of the series is receiving or claimed.
        """
        with self._exclusively():
            claimed = self._folder(CLAIMED, series_uid)
            if not claimed.exists():
                receiving = self._folder(RECEIVING, series_uid)
                self._require(receiving)
                for state in SETTLED:
                    self._absorb(self._folder(state, series_uid), receiving)
                (receiving / _JOB).unlink(missing_ok=True)
                self._rename(receiving, claimed)
            return claimed

    def assign(self, series_uid: str, job: str) -> None:
        """Write down for which job the series is claimed: only that one may end the claim."""
        with self._exclusively():
            claimed = self._folder(CLAIMED, series_uid)
            self._require(claimed)
            _write(claimed / _JOB, job)

    def holder(self, series_uid: str) -> str:
        """The job for which the series is claimed; "" when it is not, or was not assigned yet."""
        return _read(self._folder(CLAIMED, series_uid) / _JOB)

    def finish(self, series_uid: str) -> Path:
        """The claimed series was analysed. Like the other ends, saying it twice changes nothing.

        Raises
        ------
        FileNotFoundError
            If the series is neither claimed nor done: only who has claimed a series may settle it.
        """
        return self._settle(series_uid, "done", "")

    def refuse(self, series_uid: str, reason: str) -> Path:
        """The claimed series cannot be used; it stays on disk with the reason in words."""
        return self._settle(series_uid, "refused", reason)

    def ignore(self, series_uid: str, reason: str) -> Path:
        """The claimed series is not one for this node (a selection rule said so)."""
        return self._settle(series_uid, "ignored", reason)

    def fail(self, series_uid: str, reason: str) -> Path:
        """The analysis of the claimed series met a bug; it stays on disk with the traceback."""
        return self._settle(series_uid, "failed", reason)

    def reopen(self, series_uid: str) -> Path:
        """Put a claimed or settled series back to receiving, to be judged anew.

        For a claim whose holder is gone, and for an operator who has changed the settings.

        Raises
        ------
        FileNotFoundError
            If nothing of the series is claimed or settled.
        """
        with self._exclusively():
            held = [f for s in (CLAIMED, *SETTLED) if (f := self._folder(s, series_uid)).exists()]
            if not held:
                raise FileNotFoundError(
                    f"nothing of series {series_uid} is claimed or settled in {self.root}"
                )
            receiving = self._folder(RECEIVING, series_uid)
            for folder in held:
                if receiving.exists():
                    self._absorb(folder, receiving)
                else:
                    for note in (_REASON, _JOB):
                        (folder / note).unlink(missing_ok=True)
                    self._rename(folder, receiving)
            os.utime(receiving)
            return receiving

    def folders(self, series_uid: str) -> dict[str, Path]:
        """Where a series lies, by state; usually one, or receiving beside another."""
        return {s: f for s in _STATES if (f := self._folder(s, series_uid)).exists()}

    def keep(self, sop_uids: Collection[str]) -> dict[str, Path]:
        """Where each of these instances lies, of those that are here in whatever state, for good.

        When this returns a power cut does not lose them, and a settled series among them is kept as long
        from now as if it had just settled. The series are looked through, the latest first, so that no
        index can be wrong.
        """
        wanted = {f"{uid}.dcm" for uid in sop_uids}
        found = self._look_for(wanted)
        if wanted - found.keys():
            with self._exclusively():  # a series that changed its state meanwhile may have been overlooked
                found |= self._look_for(wanted - found.keys())
        for folder in {path.parent for path in found.values()}:
            with self._exclusively():
                for at in self.folders(folder.name).values():
                    sync_folder(at)
                    if at.parent.name in SETTLED:
                        os.utime(at)
        # once more: what was deleted before it was to be kept from now on is not here
        again = {n: self._where(p) for n, p in found.items()}
        return {name.removesuffix(".dcm"): path for name, path in again.items() if path is not None}

    def claimed(self) -> list[str]:
        """Series UIDs being analysed: after a restart, those that a killed process held."""
        return sorted(folder.name for folder in self._series(CLAIMED))

    def reason(self, series_uid: str) -> str:
        """Why the series was refused or ignored, or how it failed; empty when it was not."""
        return "".join(_read(folder / _REASON) for folder in self.folders(series_uid).values())

    def rests(self) -> Iterator[Rest]:
        """Every series in every state, for who keeps the disk: what has settled, and what has not."""
        for state in _STATES:
            for folder in self._series(state):
                try:
                    yield Rest(folder.name, state, folder, folder.stat().st_mtime)
                except FileNotFoundError:  # moved meanwhile
                    continue

    def remove(self, rest: Rest) -> bool:
        """Delete a series that has settled, unless anything happened to it since; whether it is gone.

        The older contents of its instances under superseded/ go with it.
        """
        if rest.state not in SETTLED:
            raise ValueError(f"a series that is {rest.state} is not removed; only {', '.join(SETTLED)} are")
        with self._exclusively():
            folders = self.folders(rest.series_uid)
            if RECEIVING in folders or CLAIMED in folders or rest.state not in folders:
                return False
            if folders[rest.state].stat().st_mtime != rest.since_unix_s:
                return False
            gone = self._take_away(rest.series_uid, [rest.state])
        _delete(gone)
        return True

    def forget(self, series_uid: str) -> bool:
        """Delete a series in whatever state it is, but for one being analysed; whether there was any.

        Raises
        ------
        ValueError
            If it is claimed.
        """
        with self._exclusively():
            folders = self.folders(series_uid)
            if CLAIMED in folders:
                raise ValueError(f"series {series_uid} is being analysed")
            gone = self._take_away(series_uid, list(folders))
        _delete(gone)
        return bool(folders)

    def superseded(self) -> dict[str, Path]:
        """Folders of older contents, by series: bytes that the series takes beside its own."""
        return {folder.name: folder for folder in self._series("superseded")}

    def forget_superseded(self, older_than_s: float) -> list[Path]:
        """Delete older contents of instances that were superseded longer ago than this; gives their files."""
        gone = []
        for path in (self.root / "superseded").glob("*/*.dcm"):
            try:
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    gone.append(path)
            except FileNotFoundError:
                continue
        return gone

    def stop_storing(self, reason: str) -> None:
        """Store nothing more, in any process, until `store_again`; senders are told that space is short."""
        self._drafts.stop(reason)

    def store_again(self) -> None:
        """Take back `stop_storing`."""
        self._drafts.go_on()

    def stopped(self) -> str:
        """Why nothing is stored, or empty."""
        return self._drafts.stopped()

    def _take_away(self, series_uid: str, states: Iterable[str]) -> list[Path]:
        """Out of sight by renames: a reader must not meet half of it. A full disk has room for these."""
        taken = [self._folder(state, series_uid) for state in states]
        if set(self.folders(series_uid)) == set(states):
            taken.append(self._folder("superseded", series_uid))
        gone = []
        for folder in taken:
            if folder.exists():
                gone.append(folder.rename(folder.with_name(f".{folder.name}-{uuid.uuid4().hex}{_GONE}")))
                sync_folder(folder.parent)
        return gone

    def _place(self, temporary: str, series_uid: str, file_name: str, calling_ae: str) -> Stored:
        receiving = f"{self._root}/{RECEIVING}/{series_uid}"
        target = f"{receiving}/{file_name}"
        if os.access(target, os.F_OK):
            if filecmp.cmp(target, temporary, shallow=False):
                os.unlink(temporary)
                os.utime(receiving)
                return Stored(Path(target), "same")
            self._keep_superseded(Path(target), series_uid)
            os.rename(temporary, target)
            return Stored(Path(target), "superseding")
        if (mark := _mark_of(receiving)) is None or self._alone.get(series_uid) != (mark, calling_ae):
            for state in (CLAIMED, *SETTLED):
                known = self._folder(state, series_uid) / file_name
                if known.exists() and filecmp.cmp(known, temporary, shallow=False):
                    os.unlink(temporary)
                    return Stored(known, "same")
            self._open_for(series_uid, calling_ae)
        os.rename(temporary, target)
        return Stored(Path(target), "new")

    def _open_for(self, series_uid: str, calling_ae: str) -> None:
        """Make a series receive from a sender, and remember if it is in no other state."""
        receiving = self._folder(RECEIVING, series_uid)
        if not (receiving / _SENDER).exists():
            # Where the sender is written the folder is durable: who made one without may have been killed.
            receiving.mkdir(exist_ok=True)
            sync_folder(receiving.parent)
        if not (receiving / _SENDER).exists() or _read(receiving / _SENDER) != calling_ae:
            _write(receiving / _SENDER, calling_ae)
        mark = _mark_of(str(receiving))
        if len(self._alone) >= _MOST_ALONE:
            self._alone.clear()
        if mark is not None and len(self.folders(series_uid)) == 1:
            self._alone[series_uid] = mark, calling_ae

    def _keep_superseded(self, path: Path, series_uid: str) -> None:
        """Copy, so that the acknowledged instance is never absent from its place, even for an instant."""
        folder = self._folder("superseded", series_uid)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        number = sum(1 for _ in folder.glob(f"{path.stem}-*.dcm")) + 1
        with path.open("rb") as source, (folder / f"{path.stem}-{number}.dcm").open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        sync_folder(folder)

    def _settle(self, series_uid: str, state: str, reason: str) -> Path:
        with self._exclusively():
            claimed, target = self._folder(CLAIMED, series_uid), self._folder(state, series_uid)
            if not claimed.exists() and target.exists():
                return target
            self._require(claimed)
            if reason:
                _write(claimed / _REASON, reason + "\n")
            self._absorb(target, claimed)
            self._rename(claimed, target)
            os.utime(target)
            return target

    def _absorb(self, older: Path, newer: Path) -> None:
        """Move the instances of `older` that `newer` lacks into it; what remains is superseded."""
        if not older.exists():
            return
        for path in older.glob("*.dcm"):
            if (newer / path.name).exists():
                self._keep_superseded(path, older.name)
            else:
                path.rename(newer / path.name)
        sync_folder(newer)
        shutil.rmtree(older)

    def _rename(self, source: Path, target: Path) -> None:
        source.rename(target)
        for parent in (target.parent, source.parent):
            sync_folder(parent)

    def _require(self, folder: Path) -> None:
        if not folder.exists():
            raise FileNotFoundError(f"nothing of series {folder.name} is {folder.parent.name} in {self.root}")

    def _folder(self, state: str, series_uid: str) -> Path:
        return self.root / state / _checked(series_uid)

    def _series(self, state: str) -> list[Path]:
        return [folder for folder in (self.root / state).iterdir() if _UID.fullmatch(folder.name)]

    def _look_for(self, wanted: set[str]) -> dict[str, Path]:
        """Files of these names; stops when all are found."""
        folders = []
        for state in _STATES:
            for folder in self._series(state):
                with suppress(FileNotFoundError):  # moved meanwhile
                    folders.append((folder.stat().st_mtime, folder))
        found: dict[str, Path] = {}
        for _, folder in sorted(folders, reverse=True):
            if len(found) == len(wanted):
                break
            with suppress(FileNotFoundError):
                names = wanted.intersection(os.listdir(folder))
                found |= {name: folder / name for name in names if name not in found}
        return found

    def _where(self, path: Path) -> Path | None:
        """A file of a series, whatever state that is in by now."""
        there = [p for s in _STATES if (p := self._folder(s, path.parent.name) / path.name).exists()]
        return there[0] if there else None

    def _newest(self, series_uid: str) -> dict[str, Path]:
        """The newest file of each instance by its name, of a series that is receiving."""
        return {p.name: p for state in (*SETTLED, RECEIVING) for p in self._files(state, series_uid)}

    def _files(self, state: str, series_uid: str) -> list[Path]:
        return list(self._folder(state, series_uid).glob("*.dcm"))

    def _exclusively(self) -> AbstractContextManager[None]:
        return exclusively(self.root)


def _checked(uid: str) -> str:
    """The UID, if it may name a file (PS3.5 9.1, but a leading zero in a component is let pass)."""
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise ValueError(f"not a UID: {uid[:80]!r}")
    return uid


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _mark_of(receiving: str) -> tuple[int, int, int] | None:
    """What tells a folder's sender.txt from every other, and from what it was before; None without one."""
    try:
        found = os.stat(f"{receiving}/{_SENDER}")
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    partial = path.with_name(f".{path.name}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _delete(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
