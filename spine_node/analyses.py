"""The work of the worker process: a claimed series in, its results folder out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pydicom import Dataset
from sqlalchemy.exc import SQLAlchemyError

from spine_node import __version__
from spine_node.config import Settings
from spine_node.dicom.forms import kind_of
from spine_node.disk import require_room, used_bytes, worlds_fault
from spine_node.errors import Unavailable
from spine_node.inbox import Inbox
from spine_node.intake import holds, paths_of
from spine_node.ledger import NOT_ANALYSED, Ledger
from spine_node.ledger.holdings import Holdings
from spine_node.ledger.outbox import Outbox
from spine_node.logs import logger
from spine_node.preparing import Preparing
from spine_node.profiles import DEFAULT_PROFILE, load_profile
from spine_node.results import partial_folder, read_done
from spine_node.served import enter_if_readable
from spine_node.workflows import Work, not_here

RESULTS_PER_RECEIVED = 0.25
"""Bytes of results for each byte received, at most, as far as we have seen: SEG, surfaces and pictures."""

log = logger("analyses")


class Analyses:
    """The work of the worker process: series in, results folder out."""

    def __init__(self, settings: Settings, ledger: Ledger, inbox: Inbox) -> None:
        from spine_node.segmentation.plug import load_segmenter

        self._settings, self._ledger, self._inbox = settings, ledger, inbox
        self._segmenter = load_segmenter(settings.model.choice, settings.model.device)
        self.preparing = Preparing(settings, inbox)

    def work(self) -> Work:
        """What the analysis queue does; this process never serves deliveries."""
        return Work(
            analyse=self.analyse, refuse=self.refuse, fail=self.fail, notify=self.notify,
            put_out=Outbox(self._ledger.database).put, drain=not_here,
        )  # fmt: skip

    def analyse(self, job: str) -> list[str]:
        """Analyse a job unless its results are complete already; give the peers to deliver to.

        Raises
        ------
        Refused
            If the data cannot be used.
        Unavailable
            If the disk is full or the database out of reach: nothing is lost, and it may be called again.
        """
        with self._the_world_permitting(job):
            return self._analyse(job)

    def _analyse(self, job: str) -> list[str]:
        row = self._ledger.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        if row.state in NOT_ANALYSED:  # killed between that word and the engine's own note of it
            self._end(job, row.state, row.reason)
            return []
        out = self._settings.storage.results / job
        if read_done(out) is None:
            self._run(job, Path(row.folder), out)
        # Before the first delivery of these results: what was not sent of earlier ones is not sent any more.
        if earlier := self._ledger.supersede(job):
            log.info("results_superseded", job=job, series_uid=row.series_uid, superseded=earlier)
        enter_if_readable(Holdings(self._ledger.database), self._settings.storage.results, job)
        # The ledger first: once the claim has ended, the intake asks it about a re-sent series.
        self._ledger.set_state(job, "analysed")
        if holds(self._inbox, row):
            self._ledger.set_state(job, "analysed", folder=self._inbox.finish(row.series_uid))
        peers = [peer.name for peer in self._settings.destinations]
        if not peers:
            self._ledger.set_state(job, "delivered", "no destination is configured")
        return peers

    def refuse(self, job: str, reason: str) -> None:
        """Move the series aside with the reason; raises Unavailable as `analyse` does."""
        with self._the_world_permitting(job):
            self._end(job, "refused", reason)

    def fail(self, job: str, trace: str) -> None:
        """Keep the series and the traceback; raises Unavailable as `analyse` does."""
        with self._the_world_permitting(job):
            self._end(job, "failed", trace)

    def notify(self, job: str) -> list[str]:
        """Write the picture that says why a job was not analysed; give the peers that want to be told.

        Raises
        ------
        LookupError, SeriesRefused
            If no header of the series is left to say whose it is.
        """
        from spine_node.dicom.notice import write_notice as notice_of
        from spine_node.dicom.series import read_headers
        from spine_node.results import write_notice

        row = self._ledger.job(job)
        if row is None or row.state not in NOT_ANALYSED:
            return []
        out = self._settings.storage.results / job
        if read_done(out) is None:
            # where the series is, not where the ledger saw it last: it was moved after the reason was written
            folders = self._inbox.folders(row.series_uid)
            header = read_headers(paths_of(folders.get(row.state, Path(row.folder)))[:1])[0]
            # of a bug's traceback only the last line is for a reader of images
            reason = row.reason if row.state == "refused" else row.reason.strip().splitlines()[-1]
            out.parent.mkdir(parents=True, exist_ok=True)
            write_notice(notice_of(header, reason, software_version=__version__, kind=row.state), out)
        return [peer.name for peer in self._settings.destinations if peer.notices]

    @contextmanager
    def _the_world_permitting(self, job: str) -> Iterator[None]:
        """A full disk ends no job: half results go, and the same is done again when there is room."""
        try:
            yield
        except Exception as error:
            words = str(error) if isinstance(error, Unavailable) else worlds_fault(error)
            if not words:
                raise
            shutil.rmtree(partial_folder(self._settings.storage.results / job), ignore_errors=True)
            with suppress(SQLAlchemyError):  # the ledger may be on that disk
                self._ledger.set_progress(job, 0.0, f"waits for the disk: {words}")
            raise Unavailable(words) from error

    def _run(self, job: str, folder: Path, out: Path) -> None:
        from spine_node import pipeline
        from spine_node.dicom.series import read_series
        from spine_node.results import write_results
        from spine_node.segmentation.pins import pin_of

        with self.preparing.at_work:
            started = time.monotonic()
            self._ledger.set_state(job, "analysing")
            out.parent.mkdir(parents=True, exist_ok=True)
            require_room(out.parent, int(used_bytes(folder) * RESULTS_PER_RECEIVED))
            paths = paths_of(folder)
            series, volume = self.preparing.take(paths) or (read_series(paths), None)
            products = [p for peer in self._settings.destinations for forms in peer.offers() for p in forms]
            results = pipeline.analyse(
                series,
                self._segmenter,
                pipeline.Making(
                    __version__,
                    products or load_profile(DEFAULT_PROFILE).best(),
                    self._predecessors(job),
                    self._settings.report.overrides(),
                    draw_aside=True,
                ),
                partial(self._ledger.set_progress, job),
                [pin_of(text) for text in self._settings.levels.pins.get(series.series_uid, ())],
                volume,
            )
            self._ledger.set_progress(job, 1.0, "writing results")
            write_results(results, out, stl=any(kind_of(product.form) == "stl" for product in products))
            log.info("analysed", job=job, seconds=round(time.monotonic() - started, 1))

    def _predecessors(self, job: str) -> list[Dataset]:
        """Headers of the last report of this series, if it was analysed before with fewer instances, another
        model or other pins."""
        from spine_node.results import read_headers_of

        row = self._ledger.job(job)
        if row is None:
            return []
        earlier = [
            other
            for other in self._ledger.jobs(study_uid=row.study_uid)
            if other.series_uid == row.series_uid and other.received_at < row.received_at
        ]
        for other in reversed(earlier):
            folder = self._settings.storage.results / other.job
            if other.state in ("analysed", "delivered", "undelivered") and read_done(folder) is not None:
                return read_headers_of(folder, "sr")
        return []

    def _end(self, job: str, state: str, reason: str) -> None:
        row = self._ledger.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        self._ledger.set_state(job, state, reason)
        if holds(self._inbox, row):
            settle = self._inbox.refuse if state == "refused" else self._inbox.fail
            self._ledger.set_state(job, state, reason, settle(row.series_uid, reason))
        log.warning(f"series_{state}", job=job, series_uid=row.series_uid, reason=reason.splitlines()[-1])
