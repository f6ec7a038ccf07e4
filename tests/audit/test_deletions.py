"""Whatever the node deletes of a study, by age or because an operator says so, stands in the audit trail."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
import pytest

from spine_node.audit.messages import Source
from spine_node.audit.trail import AuditTrail
from spine_node.bookkeeping.acts import Desk, forget
from spine_node.config import Settings
from spine_node.housekeeping import Housekeeping
from spine_node.inbox import Inbox
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.books import Search
from tests.conftest import make_ct
from tests.network.test_audited import event, instances, told


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A node with one series of three slices, which no rule took a month ago."""
    settings = Settings.model_validate({"storage": {"folder": tmp_path / "data"}})
    url = database_url(settings.storage.database)
    found = Desk(settings, Ledger(url), Inbox(settings.storage.inbox), url)
    for path in make_ct(tmp_path / "sent", slices=3):
        ds = pydicom.dcmread(path)
        found.inbox.store(ds.SeriesInstanceUID, ds.SOPInstanceUID, "CT1", [path.read_bytes()])
    series, study = str(ds.SeriesInstanceUID), str(ds.StudyInstanceUID)
    found.ledger.open_job("job1", series, study, 3, found.inbox.claim(series))
    found.ledger.set_state("job1", "ignored", "no rule takes it")
    os.utime(found.inbox.ignore(series, "no rule takes it"), (0, 0))
    return found


def test_a_series_whose_time_is_over_is_deleted_and_told(desk: Desk, tmp_path: Path) -> None:
    audit = AuditTrail(tmp_path / "audit", Source("SPINENODE", "node1", 42))
    Housekeeping(desk.inbox, desk.ledger, desk.settings, lambda _: 0, audit).look()
    audit.close()
    (message,) = told(tmp_path / "audit")
    assert (event(message), instances(message)) == ("110105", 3)
    assert [p.attrib["UserIsRequestor"] for p in message.findall("ActiveParticipant")] == ["true"]


def test_a_study_that_an_operator_forgets_is_told_with_who_it_was(desk: Desk) -> None:
    ((study,), _) = desk.find(Search(), 10)
    forget(desk, study, rows=False)
    assert desk.settings.audit_folder is not None
    (message,) = told(desk.settings.audit_folder)
    assert (event(message), instances(message)) == ("110105", 3)
    process, person = message.findall("ActiveParticipant")
    assert person.attrib["UserID"].endswith("(operator)")
    assert (process.attrib["UserIsRequestor"], person.attrib["UserIsRequestor"]) == ("false", "true")
