"""The worker reads a series while its quiet time runs: the analysis then begins with the volume."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from spine_node.config import Settings
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.voxels import read_volume
from spine_node.imaging.volume import Volume
from spine_node.inbox import Inbox
from spine_node.phantom.generate import generate
from spine_node.phantom.series import write_phantom
from spine_node.preparing import LEAD_S, Preparing

QUIET_S = 10.0


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(generate(5, spacing_mm=3.4, clean=True), folder)
    return sorted((folder / "dicom").glob("*.dcm"))


@pytest.fixture
def inbox(tmp_path: Path, instances: list[Path]) -> Inbox:
    """One series, whose quiet time is nearly over."""
    inbox = Inbox(tmp_path / "inbox")
    for path in instances:
        _receive(inbox, pydicom.dcmread(path, stop_before_pixels=True), path.read_bytes())
    return inbox


def _receive(inbox: Inbox, header: pydicom.Dataset, data: bytes) -> None:
    uid = str(header.SeriesInstanceUID)
    inbox.store(uid, str(header.SOPInstanceUID), "SCANNER", [data])
    _wait(inbox, uid, QUIET_S - LEAD_S + 1)


def _wait(inbox: Inbox, series_uid: str, seconds: float) -> None:
    """Turn the clock by setting back when the last instance came."""
    os.utime(inbox.folders(series_uid)["receiving"], (time.time() - seconds,) * 2)


def _preparing(inbox: Inbox) -> Preparing:
    return Preparing(Settings.model_validate({"series": {"quiet_s": QUIET_S}}), inbox)


def _claimed(inbox: Inbox) -> list[Path]:
    (series,) = inbox.open_series()
    return sorted(inbox.claim(series.series_uid).glob("*.dcm"))


def test_what_was_prepared_is_what_the_analysis_would_read(inbox: Inbox) -> None:
    preparing = _preparing(inbox)
    preparing.look()
    paths = _claimed(inbox)
    taken = preparing.take(paths)
    assert taken is not None
    (series, volume), fresh = taken, read_series(paths)
    assert volume is not None
    assert (series.paths, series.sop_instance_uids) == (fresh.paths, fresh.sop_instance_uids)
    np.testing.assert_array_equal(volume.values, read_volume(fresh).values)
    assert preparing.take(paths) is None, "the memory is the analysis's own"


def test_an_instance_that_came_anew_meanwhile_is_not_taken_for_the_old_one(
    inbox: Inbox, instances: list[Path]
) -> None:
    preparing = _preparing(inbox)
    preparing.look()
    corrected = pydicom.dcmread(instances[3])
    corrected.PatientID = "SOMEBODY-ELSE"
    corrected.save_as(inbox.root / "corrected")
    _receive(inbox, corrected, (inbox.root / "corrected").read_bytes())
    assert preparing.take(_claimed(inbox)) is None


def test_a_series_that_was_claimed_in_the_middle_is_prepared_as_far_as_it_came(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[Path] = []

    def too_late(series: ImageSeries) -> Volume:
        claimed.extend(_claimed(inbox))
        return read_volume(series)

    monkeypatch.setattr("spine_node.preparing.read_volume", too_late)
    preparing = _preparing(inbox)
    preparing.look()
    taken = preparing.take(claimed)
    assert taken is not None
    series, volume = taken
    assert volume is None
    assert read_volume(series).values.any()


def test_a_series_that_comes_slowly_is_not_read_at_every_pause(inbox: Inbox) -> None:
    preparing = _preparing(inbox)
    (series,) = inbox.open_series()
    _wait(inbox, series.series_uid, QUIET_S - LEAD_S - 1)
    preparing.look()
    assert preparing.take(_claimed(inbox)) is None


def test_nothing_is_prepared_beside_an_analysis(inbox: Inbox) -> None:
    preparing = _preparing(inbox)
    with preparing.at_work:
        preparing.look()
    assert preparing.take(_claimed(inbox)) is None
