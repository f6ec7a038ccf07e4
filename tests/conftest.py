"""What every test may use: real programs as peers, and small CT series to send.

A test that needs a program which is not installed is reported as not run, by name; where CI=true its
absence is a failure.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PROGRAMS = {
    "orthanc": ("Orthanc",),
    "dcmtk": (
        "storescu",
        "dcmsend",
        "echoscu",
        "storescp",
        "dcmcjpeg",
        "dcmqrscp",
        "findscu",
        "getscu",
        "movescu",
        "dsrdump",
        "dcm2pnm",
        "dcm2pdf",
        "dcmpschk",
        "dcmp2pgm",
    ),
    "strace": ("strace",),
    "systemd": ("systemd-analyze",),
    "pixelmed": ("java", "/usr/share/java/pixelmed.jar"),
}
"""What each marker needs, on the PATH or at its place."""

OPTIONAL = {"pixelmed"}
"""Not required by CI: `tests/run` does not install it."""

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
"""Orthanc speaks DICOMweb at /dicom-web where it has this (Debian: orthanc-dicomweb)."""

hypothesis.settings.register_profile(
    "any machine", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")  # whether a test passes is no matter of luck, nor of speed

os.environ["TCP_NODELAY"] = "1"  # for every dcmtk and Orthanc process: else 20 instances a second


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Not run, or failed in CI: a test whose program is absent."""
    for marker, programs in PROGRAMS.items():
        if item.get_closest_marker(marker) is None:
            continue
        absent = [p for p in programs if shutil.which(p) is None and not Path(p).is_file()]
        if absent:
            reason = f"not installed: {', '.join(absent)} (marker {marker})"
            if os.environ.get("CI") == "true" and marker not in OPTIONAL:
                pytest.fail(reason)
            pytest.skip(reason)


def free_port() -> int:
    """A port that nobody listens on now, nor takes before the test does.

    The system hands out those from 32768 on, to whoever asks next; ours are below, each given once, and
    every test process has its own.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _own_ports() -> Iterator[int]:
    """Of 40 shares of 500: those of the test processes of one run lie side by side."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    first = 10_000 + (run * 8 + worker) % 40 * 500
    return itertools.cycle(range(first, first + 500))


_PORTS = _own_ports()


def wait_until(condition: Callable[[], Any], patience_s: float = 240.0) -> Any:
    """The first true value of the condition; fails when it does not come.

    Patience costs nothing where a test passes, and a busy machine needs it.
    """
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {patience_s} s: {condition}")
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its AE title, its DICOM port, and the base of its REST interface."""

    ae_title: str
    port: int
    url: str

    def rest(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Ask the REST interface; JSON is decoded."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            raw = answer.read()
        return json.loads(raw) if raw[:1] in (b"{", b"[") else raw


@pytest.fixture
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A fresh, empty Orthanc on free ports of this machine. Use with the marker `orthanc`."""
    folder = tmp_path_factory.mktemp("orthanc")
    dicom_port, http_port = free_port(), free_port()
    settings = {
        "Name": "TESTPACS",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "TESTPACS",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": True,
        "StableAge": 1,
        "SynchronousCMove": True,
        "DefaultEncoding": "Utf8",
        "Plugins": [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    found = Orthanc("TESTPACS", dicom_port, f"http://127.0.0.1:{http_port}")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)

    def up() -> bool:
        if process.poll() is not None:
            pytest.fail(f"Orthanc ended:\n{(folder / 'orthanc.log').read_text(errors='replace')[-2000:]}")
        try:
            return bool(found.rest("/system"))
        except (urllib.error.URLError, ConnectionError):
            return False

    try:
        wait_until(up)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_ct(
    folder: Path, slices: int = 4, rows: int = 16, sop_class: str = CTImageStorage, seed: int = 0
) -> list[Path]:
    """A small CT series as files; deterministic but for its UIDs."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    voxels = np.random.default_rng(seed).integers(0, 4096, (slices, rows, rows), dtype=np.uint16)
    paths = []
    for number, slice_voxels in enumerate(voxels, start=1):
        ds = pydicom.Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, series, "CT"
        ds.PatientID, ds.PatientName = "TEST-1", "Test^Network"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20260102", "030405", "A1", "1"
        ds.PatientBirthDate, ds.PatientSex, ds.ReferringPhysicianName = "", "", ""
        ds.InstanceNumber, ds.ImagePositionPatient = number, [0, 0, float(number)]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        ds.Rows = ds.Columns = rows
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = slice_voxels.tobytes()
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
