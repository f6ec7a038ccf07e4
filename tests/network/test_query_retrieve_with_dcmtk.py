"""The node's Query/Retrieve SCP and dcmtk's findscu, getscu and movescu."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pydicom
import pytest

from spine_node.network.peer import Peer
from spine_node.network.scu import echo
from tests.conftest import free_port, wait_until
from tests.network.conftest import encoded
from tests.network.kept_results import KOREAN
from tests.network.test_query_scp import Made

pytestmark = pytest.mark.dcmtk

ROOTS = {"-P": ["-k", "PatientID=T1"], "-S": []}
"""Options of dcmtk's programs for the two models, and the unique key above a study."""


def run(*command: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=240, errors="replace"
    )
    assert done.returncode == 0, done.stderr
    return done


def found(peer: Peer, root: str, *keys: str) -> list[str]:
    """What findscu is told, each match as it prints it."""
    options = [part for key in keys for part in ("-k", key)]
    done = run("findscu", "-v", root, "-aet", "ASKER", "-aec", peer.ae_title, peer.host, peer.port, *options)
    assert "Received Final Find Response (Success)" in done.stderr
    return re.split(r"Find Response: \d+ \(Pending\)", done.stdout + done.stderr)[1:]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Peer, Path]]:
    """A storescp that takes whatever comes, and where it writes."""
    peer, folder = Peer("ws", "WORKSTATION", "127.0.0.1", free_port()), tmp_path / "moved"
    folder.mkdir()
    process = subprocess.Popen(
        ["storescp", "--promiscuous", "+xa", "-od", folder, "-aet", peer.ae_title, str(peer.port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def up() -> bool:
        try:
            echo(peer, "TEST")
        except Exception:  # noqa: BLE001 - not yet up, whatever the reason
            return False
        return True

    try:
        wait_until(up)
        yield peer, folder
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.parametrize("root", ROOTS)
def test_findscu_finds_results_at_every_level(serving: Callable[..., Made], root: str) -> None:
    made, peer = serving()
    made.keep()
    made.keep(PatientID="T9", PatientName=KOREAN, SpecificCharacterSet="ISO_IR 192")
    above = ["PatientID=T1"] if root == "-P" else []
    if root == "-P":
        (patient,) = found(peer, root, "QueryRetrieveLevel=PATIENT", "PatientName=TEST*", "PatientID")
        assert "[T1]" in patient
    (study,) = found(
        peer, root, "QueryRetrieveLevel=STUDY", *(above or ["PatientID=T1"]), "StudyInstanceUID",
        "StudyDate=20260101-", "NumberOfStudyRelatedInstances",
    )  # fmt: skip
    assert "[2.25.1]" in study
    assert re.search(r"\(0020,1208\) IS \[6 ?\]", study)
    inside = [*above, "StudyInstanceUID=2.25.1"]
    assert len(found(peer, root, "QueryRetrieveLevel=SERIES", *inside, "SeriesInstanceUID", "Modality")) == 5
    (series,) = found(peer, root, "QueryRetrieveLevel=SERIES", *inside, "SeriesInstanceUID", "Modality=SR")
    (uid,) = re.findall(r"\(0020,000e\) UI \[([\d.]+)", series)
    (image,) = found(
        peer,
        root,
        "QueryRetrieveLevel=IMAGE",
        *inside,
        f"SeriesInstanceUID={uid}",
        "SOPInstanceUID",
        "SOPClassUID",
    )
    assert "=Comprehensive3DSRStorage" in image


def by_uid(paths: Iterable[Path]) -> dict[str, Path]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


_STUDY = ("PatientID=T1", "StudyInstanceUID=2.25.1")
_SERIES = (*_STUDY, "SeriesInstanceUID=2.25.1.1.5")
LEVELS = {
    "PATIENT": (("PatientID=T1",), 6),
    "STUDY": (_STUDY, 6),
    "SERIES": (_SERIES, 2),
    "IMAGE": ((*_SERIES, "SOPInstanceUID=2.25.1.1.5.2"), 1),
}
"""Keys that name something at each level, and how many instances there are."""


@pytest.mark.parametrize(
    ("root", "level"),
    [(root, level) for root in ROOTS for level in LEVELS if (root, level) != ("-S", "PATIENT")],
)
def test_getscu_and_movescu_fetch_whole_files(
    serving: Callable[..., Made], store: tuple[Peer, Path], tmp_path: Path, root: str, level: str
) -> None:
    destination, moved = store
    made, peer = serving(callers={destination.ae_title: destination})
    made.keep()
    keys, count = LEVELS[level]
    asked = [part for key in [f"QueryRetrieveLevel={level}", *keys] for part in ("-k", key)]
    address = ("-aet", "ASKER", "-aec", peer.ae_title, peer.host, peer.port)
    got = tmp_path / "got"
    got.mkdir()
    run("getscu", root, "-od", got, *address, *asked)
    run("movescu", root, "-aem", destination.ae_title, *address, *asked)
    files = by_uid(made.settings.storage.results.glob("*/dicom/*.dcm"))
    for arrived in (by_uid(got.iterdir()), by_uid(moved.iterdir())):
        assert len(arrived) == count
        assert all(encoded(path) == encoded(files[uid]) for uid, path in arrived.items())
