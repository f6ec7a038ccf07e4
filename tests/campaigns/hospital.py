"""The sending half of a node with a clock that is set forward: results made, lines drained, days gone by."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import sqlalchemy as sa
from pydicom.uid import generate_uid

from spine_node.config import Destination, EngineSettings, Settings
from spine_node.dicom.forms import CONTEXT_OF
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.outbox import Outbox
from spine_node.ledger.schema import commitments
from spine_node.outbox import Deliveries
from spine_node.proof import Proof
from spine_node.sender import Sender
from tests.campaigns.moody_pacs import MoodyPacs
from tests.conftest import make_ct

PRODUCTS = ("seg-binary", "sr-3d")
"""What each job has made; the report refers to the segmentation."""


@dataclass
class Clock:
    """Unix seconds that pass when told."""

    now: float = 1.8e9

    def __call__(self) -> float:
        return self.now


@dataclass
class Hospital:
    """A node's outbox before one PACS or several."""

    folder: Path
    peers: Sequence[Destination]
    clock: Clock = field(default_factory=Clock)
    give_up_s: float = EngineSettings().give_up_s

    def __post_init__(self) -> None:
        self.uids: dict[str, list[str]] = {}
        self._template: bytes | None = None
        self.open()

    def open(self) -> None:
        """Start, or start again after an end of any kind."""
        self.settings = Settings.model_validate(
            {
                "storage": {"folder": self.folder},
                "destinations": list(self.peers),
                "engine": {"give_up_s": self.give_up_s},
            }
        )
        self.ledger = Ledger(database_url(self.settings.storage.database))
        self.outbox = Outbox(self.ledger.database)
        self.deliveries = Deliveries(self.settings, self.ledger, self.clock)
        self.proof = Proof(self.settings, self.ledger, self.deliveries, self.clock)
        self.sender = Sender(self.settings, self.ledger, self.deliveries, self.proof, self.clock)

    def close(self) -> None:
        self.ledger.close()

    def analyse(self, job: str, *, study_uid: str = "", series_uid: str = "", fill: int = 0) -> list[str]:
        """Results of a job, put out to every peer; their UIDs in the order in which they are to arrive.

        Parameters
        ----------
        fill : int
            Bytes that each instance is longer than it need be.
        """
        folder = self.settings.storage.results / job
        (folder / "dicom").mkdir(parents=True)
        objects = {}
        for product in PRODUCTS:
            uid = str(generate_uid(None))
            objects[product] = [
                {
                    "file": f"dicom/{product}.dcm",
                    "sop_instance_uid": uid,
                    "sop_class_uid": CONTEXT_OF[product][0],
                }
            ]
            self._write(folder / "dicom" / f"{product}.dcm", CONTEXT_OF[product][0], uid, fill)
        study_uid = study_uid or str(generate_uid(None))
        (folder / "done.json").write_text(json.dumps({"study_uid": study_uid, "objects": objects}))
        self.ledger.open_job(job, series_uid or str(generate_uid(None)), study_uid, 40, self.folder)
        self.ledger.set_state(job, "analysed")
        for peer in self.peers:
            self.outbox.put(job, peer.name, self.clock())
        self.uids[job] = [objects[product][0]["sop_instance_uid"] for product in PRODUCTS]
        return self.uids[job]

    def round(self) -> int:
        """What the node does five times a second: drain every line that is due; how many were."""
        self.proof.follow_up()
        due = self.sender.due()
        for peer, part in due:
            self.sender.drain(peer, part)
        return len(due)

    def go_by(self, seconds: float) -> None:
        """Let time pass, with all that happens meanwhile."""
        end = self.clock.now + seconds
        self.settle()
        while (following := self._next()) is not None and following <= end:
            self.clock.now = max(self.clock.now, following)
            self.settle()
        self.clock.now = end
        self.settle()

    def settle(self) -> None:
        """Rounds until nothing is due now."""
        rounds = 0
        while self.round():
            rounds += 1
            assert rounds < 1000, f"always due: {self.sender.due()}"

    def until(self, condition: Callable[[], bool], patience_s: float = 14 * 86400.0) -> float:
        """Let time pass until something is so; how many seconds that took."""
        began = self.clock.now
        self.settle()
        while not condition():
            following = self._next()
            assert following is not None, "nothing will happen any more"
            assert following - began < patience_s, f"not within {patience_s} s"
            self.clock.now = max(self.clock.now, following)
            self.settle()
        return self.clock.now - began

    def state(self, job: str) -> tuple[str, str]:
        row = self.ledger.job(job)
        assert row is not None
        return row.state, row.reason

    def outcomes(self, job: str, peer: str = "pacs") -> list[str]:
        """Of its instances, in order."""
        said = {d.sop_instance_uid: d.outcome for d in self.ledger.deliveries(job) if d.peer == peer}
        return [said.get(uid, "") for uid in self.uids[job]]

    def _next(self) -> float | None:
        """When something is due next."""
        away = self.outbox.away()
        times = [a.due_at for a in away.values()]
        for peer in self.peers:
            not_before = away[peer.name].due_at if peer.name in away else 0.0
            times += [max(w.due_at, not_before) for w in self.outbox.waiting(peer.name)]
        asked = sa.select(commitments.c.due_at).where(commitments.c.state.in_(("open", "asked")))
        with self.ledger.database.engine.connect() as connection:
            times += list(connection.execute(asked).scalars())
        later = [at for at in times if at > self.clock.now]
        return min(later) if later else None

    def _write(self, path: Path, sop_class: str, uid: str, fill: int) -> None:
        (made,) = make_ct(path.parent, slices=1, sop_class=sop_class)
        dataset = pydicom.dcmread(made)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        if fill:
            dataset.PixelData = dataset.PixelData + bytes(fill)
        dataset.save_as(path)
        made.unlink()


def destination(pacs: MoodyPacs, name: str = "pacs", **more: Any) -> Destination:
    """The PACS as the config names it."""
    return Destination(
        name, "PACS", "127.0.0.1", pacs.port, **{"connect_timeout_s": 60.0, "answer_timeout_s": 60.0, **more}
    )
