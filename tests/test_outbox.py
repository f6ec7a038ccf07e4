"""Deliveries of a job: each destination gets what it takes, once, and the ledger keeps what it took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, evt

from spine_node.config import Destination, Settings
from spine_node.dicom.forms import CONTEXT_OF, Form
from spine_node.errors import PeerUnavailable
from spine_node.ledger import Ledger, database_url
from spine_node.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from spine_node.outbox import Deliveries
from spine_node.profiles import load_profile
from tests.conftest import make_ct

JOB = "job"


@dataclass
class Archive:
    """A PACS that takes some forms and answers as it is told."""

    forms: tuple[Form, ...]
    answers: list[int] = field(default_factory=list)
    got: list[str] = field(default_factory=list)

    def start(self) -> int:
        self.ae = AE("PACS")
        for form in self.forms:
            sop_class, syntax = CONTEXT_OF[form]
            self.ae.add_supported_context(sop_class, list({syntax, EXPLICIT_LITTLE, IMPLICIT_LITTLE}))
        server = self.ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        return int(server.server_address[1])

    def _store(self, event: evt.Event) -> int:
        status = self.answers.pop(0) if self.answers else 0x0000
        if status == 0x0000:
            self.got.append(str(event.request.AffectedSOPInstanceUID))
        return status


@dataclass
class Outbox:
    """A job with results of a profile, and one destination."""

    deliveries: Deliveries
    ledger: Ledger
    made: dict[str, list[str]]
    archive: Archive

    def product_of(self, uids: list[str]) -> list[str]:
        return [name for uid in uids for name, held in self.made.items() if uid in held]

    @property
    def state(self) -> tuple[str, str]:
        job = self.ledger.job(JOB)
        assert job is not None
        return job.state, job.reason


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    """Results of "ohif", two key images among them, and an archive that takes these forms."""
    running: list[Archive] = []
    ledgers: list[Ledger] = []

    def make(*forms: Form, answers: tuple[int, ...] = (), profile: str = "ohif") -> Outbox:
        archive = Archive(forms, list(answers))
        running.append(archive)
        peer = Destination("pacs", "PACS", "127.0.0.1", archive.start(), profile=profile)
        settings = Settings.model_validate({"storage": {"folder": tmp_path}, "destinations": [peer]})
        folder = settings.storage.results / JOB
        objects = {
            product.name: instances(folder, product.name, *CONTEXT_OF[product.form])
            for products in load_profile(profile).offers()
            for product in products
        }
        (folder / "done.json").write_text(json.dumps({"study_uid": "1.2", "objects": objects}))
        ledger = Ledger(database_url(tmp_path / "node.sqlite"))
        ledgers.append(ledger)
        ledger.open_job(JOB, "1.2.3", "1.2", 40, tmp_path)
        ledger.set_state(JOB, "analysed")
        made = {name: [row["sop_instance_uid"] for row in rows] for name, rows in objects.items()}
        return Outbox(Deliveries(settings, ledger), ledger, made, archive)

    yield make
    for archive in running:
        archive.ae.shutdown()
    for ledger in ledgers:
        ledger.close()


def instances(folder: Path, name: str, sop_class: str, syntax: str) -> list[dict[str, str]]:
    """Small files in the place of a product's; key images are two."""
    rows = []
    slices = 2 if name == "key-images" else 1
    for number, path in enumerate(make_ct(folder / "dicom" / name, slices=slices, sop_class=sop_class)):
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(None)
        if syntax != EXPLICIT_LITTLE:
            ds.compress(syntax, generate_instance_uid=False)
        file = path.with_name(f"{number}.dcm")
        ds.save_as(file)
        rows.append(
            {
                "file": str(file.relative_to(folder)),
                "sop_instance_uid": str(ds.SOPInstanceUID),
                "sop_class_uid": sop_class,
            }
        )
    return rows


def test_a_pacs_that_takes_everything_gets_each_result_once_in_its_best_form(
    outbox: Callable[..., Outbox],
) -> None:
    box = outbox("seg-labelmap", "seg-binary", "sr-3d", "sr-comprehensive", "key-images", "report-pdf")
    box.deliveries.deliver(JOB, "pacs")
    box.deliveries.deliver(JOB, "pacs")
    assert box.product_of(box.archive.got) == [
        "seg-labelmap",
        "sr-3d-on-seg-labelmap",
        "key-images",
        "key-images",
        "report-pdf",
    ]
    assert box.state == ("delivered", "")


def test_a_pacs_that_refuses_label_maps_and_3d_reports_gets_the_rest(outbox: Callable[..., Outbox]) -> None:
    box = outbox("seg-binary", "sr-comprehensive", "key-images")
    box.deliveries.deliver(JOB, "pacs")
    assert box.product_of(box.archive.got) == ["seg-binary", "sr-comprehensive", "key-images", "key-images"]
    assert box.state == ("delivered", "pacs: report-pdf not accepted")
    outcomes = {d.sop_instance_uid: d.outcome for d in box.ledger.deliveries(JOB)}
    assert outcomes[box.made["seg-labelmap"][0]] == "not accepted"
    assert outcomes[box.made["seg-binary"][0]] == "stored"


def test_a_pacs_that_takes_no_report_leaves_the_job_undelivered_and_says_so(
    outbox: Callable[..., Outbox],
) -> None:
    box = outbox("seg-labelmap", "key-images", "report-pdf")
    box.deliveries.deliver(JOB, "pacs")
    assert box.product_of(box.archive.got)[0] == "seg-labelmap"
    state, reason = box.state
    assert state == "undelivered"
    assert reason == "pacs: sr-3d-on-seg-labelmap not accepted"


def test_a_delivery_that_breaks_off_goes_on_with_the_form_it_began(outbox: Callable[..., Outbox]) -> None:
    """The second key image meets a full disk; then the archive learns label maps: nothing is sent anew."""
    box = outbox("seg-binary", "sr-3d", "key-images", "report-pdf", answers=(0, 0, 0, 0xA700))
    with pytest.raises(PeerUnavailable):
        box.deliveries.deliver(JOB, "pacs")
    assert box.state[0] == "analysed"
    box.archive.ae.add_supported_context(*CONTEXT_OF["seg-labelmap"])
    box.deliveries.deliver(JOB, "pacs")
    assert box.product_of(box.archive.got) == [
        "seg-binary",
        "sr-3d",
        "key-images",
        "key-images",
        "report-pdf",
    ]
    assert box.state == ("delivered", "")


def test_a_pacs_that_stays_away_leaves_the_rest_undelivered(outbox: Callable[..., Outbox]) -> None:
    box = outbox("seg-binary", "sr-3d", "key-images", "report-pdf", answers=(0, 0xA700))
    with pytest.raises(PeerUnavailable):
        box.deliveries.deliver(JOB, "pacs")
    box.deliveries.give_up(JOB, "pacs", "no answer for three days")
    state, reason = box.state
    assert state == "undelivered"
    assert "sr-3d-on-seg-labelmap" in reason
    assert "report-pdf undelivered" in reason
    assert "seg" not in {part.split(": ")[1].split(" ")[0] for part in reason.split("; ")}


def test_results_of_a_destination_that_left_the_config_end(outbox: Callable[..., Outbox]) -> None:
    box = outbox("seg-binary")
    box.deliveries.deliver(JOB, "former")
    assert {(d.peer, d.outcome) for d in box.ledger.deliveries(JOB)} == {("former", "undelivered")}
