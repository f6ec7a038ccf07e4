"""The series that comes next as a volume, read by the worker while its quiet time runs and nothing else does.

A help, not a need: what cannot be prepared, or was replaced since, is read when it is analysed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spine_node.config import Settings
from spine_node.dicom.selection import select
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.voxels import read_volume
from spine_node.imaging.volume import Volume
from spine_node.inbox import Inbox, ReceivedSeries
from spine_node.logs import logger
from spine_node.reading_ahead import FileKey, file_key

LEAD_S, AFTER_S = 4.0, 0.5
"""A series is prepared so long before its quiet time ends, when it was silent at least so long: one that
comes slowly, slice after slice, is not read again and again."""

KEPT_S = 60.0
"""How long a volume waits beyond its quiet time for the analysis to begin."""

log = logger("preparing")


@dataclass(frozen=True, slots=True)
class _Prepared:
    keys: dict[str, FileKey]
    series: ImageSeries
    volume: Volume | None
    until: float


class Preparing:
    """At most one series, in memory."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings, self._inbox = settings, inbox
        self.at_work = threading.Lock()
        """Held by an analysis: nothing is prepared beside it, and it waits for what is being prepared."""
        self._held: _Prepared | None = None
        self._tried: tuple[str, float] | None = None

    def look(self) -> None:
        """Prepare the series that will be claimed next, unless an analysis runs or there is none."""
        if not self.at_work.acquire(blocking=False):
            return
        try:
            if self._held is not None and self._held.until < time.monotonic():
                self._held = None
            self._prepare_next()
        except Exception as problem:  # noqa: BLE001 - the analysis meets the same, and says it
            log.info("not_prepared", reason=type(problem).__name__)
        finally:
            self.at_work.release()

    def _prepare_next(self) -> None:
        for series in self._inbox.open_series():  # the longest silent first
            silent_s = time.time() - series.last_arrival_unix_s
            quiet_s = self._settings.series.quiet_of(series.calling_ae)
            if max(AFTER_S, quiet_s - LEAD_S) <= silent_s < quiet_s:
                if self._tried != (series.series_uid, series.last_arrival_unix_s):
                    self._tried = series.series_uid, series.last_arrival_unix_s
                    self._held = None  # before the next one takes as much memory
                    self._prepare(series, time.monotonic() + quiet_s - silent_s + KEPT_S)
                return

    def _prepare(self, received: ReceivedSeries, until: float) -> None:
        paths = received.paths
        keys = {path.name: file_key(path) for path in paths}
        series = read_series(paths)
        if select(series.headers, self._settings.rules).accepted:
            self._held = _Prepared(keys, series, None, until)
            # It may be claimed meanwhile, and its folder renamed: then that much was prepared.
            self._held = replace(self._held, volume=read_volume(series))

    def take(self, paths: Sequence[Path]) -> tuple[ImageSeries, Volume | None] | None:
        """The series in exactly these files, and its volume, as far as they were prepared."""
        held, self._held = self._held, None
        if held is None or held.keys != {path.name: file_key(path) for path in paths}:
            return None
        of = {path.name: path for path in paths}
        # its folder was renamed since
        there = tuple(of[path.name] for path in held.series.paths)
        return replace(held.series, paths=there), held.volume
