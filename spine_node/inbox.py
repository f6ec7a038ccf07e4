"""The folders of received instances: the only module that knows them. Knows no DICOM.

    receiving/<series uid>/<sop uid>.dcm      arriving; nothing has been decided
    claimed/<series uid>/...                  being analysed; nothing is added to it any more
    done/ refused/ ignored/ failed/           settled; all but done with a reason.txt
    superseded/<series uid>/<sop uid>-<n>.dcm an older content of an instance that was sent again, changed
    incoming/<writer>/                        temporary files of one living process

A change of state is one rename of the series' folder, so a kill leaves the series in one state or in
the other, and `ls` tells which. `sender.txt` in a series' folder holds the AE title that sent last.

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

import errno
import fcntl
import filecmp
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RECEIVING, CLAIMED = "receiving", "claimed"
SETTLED = ("done", "refused", "ignored", "failed")
"""States in which a series rests until it expires, is reopened, or more of it arrives."""

_STATES = (RECEIVING, CLAIMED, *SETTLED)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_SENDER, _REASON = "sender.txt", "reason.txt"


@dataclass(frozen=True, slots=True)
class ReceivedSeries:
    """What has arrived of one series that nobody has claimed.

    Attributes
    ----------
    series_uid : str
    paths : tuple of Path
        One file an instance, sorted by name. Files of an earlier, settled arrival are among them;
        `claim` brings all into one folder.
    last_arrival_unix_s : float
        When the newest instance came, or came again, by this machine's clock.
    calling_ae : str
        AE title that sent last.
    """

    series_uid: str
    paths: tuple[Path, ...]
    last_arrival_unix_s: float
    calling_ae: str


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an instance lies now, and how it came there: "new", "same" or "superseding"."""

    path: Path
    how: str


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
        self._reserve_bytes = reserve_bytes
        self._writer: tuple[Path, int] | None = None
        self._opening = threading.Lock()
        for name in (*_STATES, "incoming", "superseded"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        with self._exclusively():
            self._clear_interrupted()

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
            If the disk is full (ENOSPC, also when only the reserve is left) or fails. Nothing of
            the instance is left behind.
        """
        file_name = f"{_checked(sop_uid)}.dcm"
        receiving = self._folder(RECEIVING, series_uid)
        temporary = self.temporary_folder() / f"{uuid.uuid4().hex}.part"
        try:
            self._write(temporary, chunks)
            with self._exclusively():
                stored = self._place(temporary, series_uid, file_name, calling_ae)
                folder = _open_folder(receiving) if stored.how != "same" else None
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if folder is not None:
            _sync_and_close(folder)
        return stored

    def temporary_folder(self) -> Path:
        """A folder of this process on the inbox's filesystem; emptied when the process has ended."""
        with self._opening:
            if self._writer is None or self._writer[1] != os.getpid():
                folder = self.root / "incoming" / uuid.uuid4().hex
                with self._exclusively():
                    folder.mkdir()
                    # Held open for the life of the process: the lock is how others know that it lives.
                    fcntl.flock(os.open(folder / "lock", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
                self._writer = (folder, os.getpid())
            return self._writer[0]

    def open_series(self) -> list[ReceivedSeries]:
        """Series that are arriving and may be claimed, the longest silent first.

        A series of which more arrived while it is claimed is held back until that claim has ended.
        """
        found = []
        for folder in self._series(RECEIVING):
            if self._folder(CLAIMED, folder.name).exists():
                continue
            newest = {p.name: p for state in (*SETTLED, RECEIVING) for p in self._files(state, folder.name)}
            try:
                last = folder.stat().st_mtime
            except FileNotFoundError:  # claimed by another process meanwhile
                continue
            if newest:
                paths = tuple(newest[name] for name in sorted(newest))
                found.append(ReceivedSeries(folder.name, paths, last, _read(folder / _SENDER)))
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
                self._rename(receiving, claimed)
            return claimed

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
                    (folder / _REASON).unlink(missing_ok=True)
                    self._rename(folder, receiving)
            os.utime(receiving)
            return receiving

    def folders(self, series_uid: str) -> dict[str, Path]:
        """Where a series lies, by state; usually one, or receiving beside another."""
        return {s: f for s in _STATES if (f := self._folder(s, series_uid)).exists()}

    def claimed(self) -> list[str]:
        """Series UIDs being analysed: after a restart, those that a killed process held."""
        return sorted(folder.name for folder in self._series(CLAIMED))

    def reason(self, series_uid: str) -> str:
        """Why the series was refused or ignored, or how it failed; empty when it was not."""
        return "".join(_read(folder / _REASON) for folder in self.folders(series_uid).values())

    def expire(self, states: Iterable[str], older_than_s: float) -> list[str]:
        """Delete series that settled longer ago than this; gives their UIDs.

        The older contents of their instances under superseded/ go with them.
        """
        gone = []
        for state in states:
            if state not in SETTLED:
                raise ValueError(f"a series that is {state} does not expire; only {', '.join(SETTLED)} do")
            for folder in self._series(state):
                with self._exclusively():
                    if not folder.exists() or time.time() - folder.stat().st_mtime < older_than_s:
                        continue
                    shutil.rmtree(folder)
                    if not self.folders(folder.name):
                        shutil.rmtree(self._folder("superseded", folder.name), ignore_errors=True)
                gone.append(folder.name)
        return gone

    def _write(self, path: Path, chunks: Iterable[bytes | memoryview]) -> None:
        with path.open("xb", buffering=0) as file:
            for chunk in chunks:
                self._require_space(len(chunk))
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
            os.fsync(file.fileno())

    def _require_space(self, size: int) -> None:
        disk = os.statvfs(self.root)
        free = disk.f_bavail * disk.f_frsize
        if free < size + self._reserve_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, {self._reserve_bytes} are reserved")

    def _place(self, temporary: Path, series_uid: str, file_name: str, calling_ae: str) -> Stored:
        receiving = self._folder(RECEIVING, series_uid)
        target = receiving / file_name
        for state in _STATES:
            known = self._folder(state, series_uid) / file_name
            if not known.exists():
                continue
            if filecmp.cmp(known, temporary, shallow=False):
                temporary.unlink()
                if state == RECEIVING:
                    os.utime(receiving)
                return Stored(known, "same")
            if state == RECEIVING:
                self._keep_superseded(known, series_uid)
                temporary.rename(target)
                return Stored(target, "superseding")
        if not receiving.exists():
            receiving.mkdir()
            _sync_and_close(_open_folder(receiving.parent))
        if _read(receiving / _SENDER) != calling_ae:
            (receiving / _SENDER).write_text(calling_ae, encoding="utf-8")
        temporary.rename(target)
        return Stored(target, "new")

    def _keep_superseded(self, path: Path, series_uid: str) -> None:
        """Copy, so that the acknowledged instance is never absent from its place, even for an instant."""
        folder = self._folder("superseded", series_uid)
        folder.mkdir(exist_ok=True)
        number = sum(1 for _ in folder.glob(f"{path.stem}-*.dcm")) + 1
        with path.open("rb") as source, (folder / f"{path.stem}-{number}.dcm").open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        _sync_and_close(_open_folder(folder))

    def _settle(self, series_uid: str, state: str, reason: str) -> Path:
        with self._exclusively():
            claimed, target = self._folder(CLAIMED, series_uid), self._folder(state, series_uid)
            if not claimed.exists() and target.exists():
                return target
            self._require(claimed)
            if reason:
                (claimed / _REASON).write_text(reason + "\n", encoding="utf-8")
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
        _sync_and_close(_open_folder(newer))
        shutil.rmtree(older)

    def _rename(self, source: Path, target: Path) -> None:
        source.rename(target)
        for parent in (target.parent, source.parent):
            _sync_and_close(_open_folder(parent))

    def _require(self, folder: Path) -> None:
        if not folder.exists():
            raise FileNotFoundError(f"nothing of series {folder.name} is {folder.parent.name} in {self.root}")

    def _folder(self, state: str, series_uid: str) -> Path:
        return self.root / state / _checked(series_uid)

    def _series(self, state: str) -> list[Path]:
        return [folder for folder in (self.root / state).iterdir() if _UID.fullmatch(folder.name)]

    def _files(self, state: str, series_uid: str) -> list[Path]:
        return list(self._folder(state, series_uid).glob("*.dcm"))

    def _clear_interrupted(self) -> None:
        for folder in (self.root / "incoming").iterdir():
            descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        descriptor = os.open(self.root / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


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


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
