"""A node without processes: settings, inbox, results and ledger, with the work done by hand."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from spine_node.config import Destination, Settings
from spine_node.housekeeping import DAY_S, Housekeeping
from spine_node.inbox import Inbox
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.schema import arrivals, deliveries, jobs

MB = 1_000_000
PACS = Destination("pacs", "PACS", "192.0.2.10", 104)


@dataclass
class Node:
    """Settings, inbox, results and ledger as a node has them, with work that is done by hand."""

    settings: Settings
    inbox: Inbox
    ledger: Ledger
    purged: list[float]

    def series(self, number: int, size: int = MB) -> str:
        """A series received and claimed; its job is in the ledger."""
        series_uid = f"1.2.{number}.1"
        self.inbox.store(series_uid, f"1.2.{number}.1.1", "CT1", [b"x" * size])
        folder = self.inbox.claim(series_uid)
        self.ledger.open_job(f"job{number}", series_uid, f"1.2.{number}", 1, folder)
        return series_uid

    def analysed(self, number: int, size: int = MB) -> None:
        """Its results are made."""
        series_uid = self.series(number, size)
        folder = self.settings.storage.results / f"job{number}"
        folder.mkdir(parents=True)
        (folder / "labels.nii.gz").write_bytes(b"x" * size)
        (folder / "done.json").write_text(json.dumps({"study_uid": f"1.2.{number}", "objects": {}}))
        self.ledger.set_state(f"job{number}", "analysed")
        self.inbox.finish(series_uid)

    def delivered(self, number: int, size: int = MB, days_ago: float = 0) -> None:
        self.analysed(number, size)
        self.ledger.record_delivery(f"job{number}", "pacs", f"1.2.{number}.9", "stored", 0)
        self.ledger.set_state(f"job{number}", "delivered")
        self.aged(number, days_ago)

    def refused(self, number: int, days_ago: float = 0) -> None:
        series_uid = self.series(number)
        self.ledger.set_state(f"job{number}", "refused", "a slice is missing")
        self.inbox.refuse(series_uid, "a slice is missing")
        self.aged(number, days_ago)

    def aged(self, number: int, days: float) -> None:
        """As if everything had happened some days earlier."""
        for folder in self.inbox.folders(f"1.2.{number}.1").values():
            os.utime(folder, (time.time() - days * DAY_S,) * 2)
        at = time.time() - days * DAY_S
        with self.ledger.database.engine.begin() as connection:
            for table, key, name, times in (
                (jobs, jobs.c.job, f"job{number}", ("received_at", "changed_at")),
                (deliveries, deliveries.c.job, f"job{number}", ("changed_at",)),
                (arrivals, arrivals.c.series_uid, f"1.2.{number}.1", ("first_at", "last_at")),
            ):
                connection.execute(table.update().where(key == name).values(dict.fromkeys(times, at)))

    def asking(self, commitment: bool) -> Settings:
        """The settings, with storage commitment on at every destination or at none."""
        peers = [replace(PACS, name=name, commitment=commitment) for name in ("pacs", "archive")]
        return self.settings.model_copy(update={"destinations": tuple(peers)})

    def look(self) -> None:
        """A node that starts looks at age and space at once."""

        def purge(older_than_s: float) -> int:
            self.purged.append(older_than_s)
            return 0

        Housekeeping(self.inbox, self.ledger, self.settings, purge).look()

    @property
    def received(self) -> set[int]:
        return {int(rest.series_uid.split(".")[2]) for rest in self.inbox.rests()}

    @property
    def results(self) -> set[int]:
        folder = self.settings.storage.results
        return {int(p.name.removeprefix("job")) for p in folder.glob("job?")}


def node_at(folder: Path, destination: Destination = PACS, **storage: float) -> Node:
    """A node that has received nothing, with no reserve unless told."""
    storage = {"reserve_gb": 0.0, "low_water_gb": 0.0, **storage}
    told = {"storage": {"folder": folder, **storage}, "destinations": [destination]}
    settings = Settings.model_validate(told)
    inbox = Inbox(settings.storage.inbox)
    return Node(settings, inbox, Ledger(database_url(settings.storage.database)), [])
