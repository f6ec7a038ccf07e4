"""The whole node on one machine, to look at: a PACS, the node, one study there and back.

Starts everything as the processes a hospital would run, on loopback ports that are free, and ends
what it started. Nothing here is needed by the node itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from spine_node.dicom.series import read_headers
from spine_node.errors import PeerUnavailable, Refused, Unavailable
from spine_node.ledger import Job, Ledger
from spine_node.network.peer import Peer
from spine_node.network.query import find_instances
from spine_node.network.scu import echo, send
from spine_node.parameters.model import Measurements
from spine_node.results import read_done
from spine_node.tables import print_measurements, progress

PATIENCE_S = 1800.0
"""How long the demo waits for results before it says that something is wrong."""

_MARK = ".spine-node-demo"
console = Console(stderr=True)


def run_demo(dicom_folder: Path | None, out: Path, *, use_orthanc: bool) -> None:
    """Send one study through a node and a PACS on this machine and show what came back.

    Parameters
    ----------
    dicom_folder : Path, optional
        A CT series; without one, a phantom study is made.
    out : Path
        Replaced if an earlier demo made it.

    Raises
    ------
    Refused
        If `out` holds something else, or the node refused the series.
    Unavailable
        If results did not arrive in time.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended then, too
    if dicom_folder is not None and dicom_folder.resolve().is_relative_to(out.resolve()):
        raise Refused(
            f"{dicom_folder} lies in {out}, which is emptied first. Name another folder with --out."
        )
    series_of = None if dicom_folder is None else _series_by_instance(dicom_folder)
    _fresh(out)
    series_of = series_of or _series_by_instance(_phantom_study(out))
    pacs = Peer(name="pacs", ae_title="DEMOPACS", host="127.0.0.1", port=_free_port())
    node = Peer(name="node", ae_title="SPINENODE", host="127.0.0.1", port=_free_port())
    with ExitStack() as processes:
        kind = processes.enter_context(_pacs(pacs, out / "pacs", use_orthanc=use_orthanc))
        console.print(f"PACS   {pacs.ae_title} on port {pacs.port}: {kind}")
        processes.enter_context(_node(node, pacs, out))
        console.print(f"Node   {node.ae_title} on port {node.port}, log in {out / 'node.log'}")
        outcomes = dict(zip(series_of, send(node, list(series_of), "DEMOMODALITY"), strict=True))
        stored = [path for path, outcome in outcomes.items() if outcome.stored]
        console.print(f"Sent   {len(stored)} of {len(outcomes)} instances to the node by C-STORE")
        if not stored:
            raise Refused(f"the node took none of them: {next(iter(outcomes.values())).detail}")
        number = len({series_of[path] for path in stored})
        job = _await_results(out / "node" / "node.sqlite", out / "node.log", number)
        found = find_instances(pacs, job.study_uid, calling_ae="DEMOMODALITY")
        results = out / "node" / "results" / job.job
        arrived = _arrived(results, {i.sop_instance_uid for i in found})
        if not {"seg-binary", "sr-3d"} <= arrived:
            raise Unavailable(
                f"the PACS holds {arrived or 'no result'} of the study, SEG and SR were expected"
            )
        console.print(f"[green]The PACS now holds {', '.join(sorted(arrived))}[/] of study {job.study_uid}")
    print_measurements(
        Measurements.from_dict(json.loads((results / "measurements.json").read_text())), as_json=False
    )
    for what, where in (
        ("Pictures", results / "pictures"),
        ("DICOM objects", results / "dicom"),
        ("Label map", results / "labels.nii.gz"),
    ):
        print(f"{what:14}{where}")
    console.print(f"Done in {time.monotonic() - started:.0f} s. The node and the PACS are stopped.")


def _arrived(results: Path, held: set[str]) -> set[str]:
    """The products of a results folder of which the PACS holds every instance."""
    objects = (read_done(results) or {"objects": {}})["objects"]
    return {name for name, rows in objects.items() if rows and {r["sop_instance_uid"] for r in rows} <= held}


def _fresh(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / _MARK).exists():
        raise Refused(f"{out} is not empty and no earlier demo made it. Name another folder with --out.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / _MARK).touch()


def _phantom_study(out: Path) -> Path:
    from spine_node.phantom.generate import generate
    from spine_node.phantom.series import write_phantom

    with console.status("Making a standing CBCT phantom ..."):
        write_phantom(generate(2, spacing_mm=1.5, clean=True), out / "study")
    console.print(f"Study  a phantom; its exact truth is in {out / 'study' / 'truth.json'}")
    return out / "study" / "dicom"


def _series_by_instance(folder: Path) -> dict[Path, str]:
    """Series Instance UID of each DICOM instance below a folder; DICOMDIR and other files are left out."""
    headers = read_headers(sorted(p for p in folder.rglob("*") if p.is_file()))
    found = {Path(str(h.filename)): str(h.SeriesInstanceUID) for h in headers if "SeriesInstanceUID" in h}
    if not found:
        raise Refused(f"{folder} holds no DICOM instance of a series.")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, env=os.environ | {"TCP_NODELAY": "1"}, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _pacs(peer: Peer, folder: Path, *, use_orthanc: bool) -> Iterator[str]:
    folder.mkdir()
    program = shutil.which("Orthanc") if use_orthanc else None
    if program:
        config = folder / "orthanc.json"
        config.write_text(json.dumps(_orthanc_config(peer, folder)))
        command, kind = [program, str(config)], "Orthanc"
    else:
        command = [
            sys.executable,
            "-m",
            "spine_node.network.pacs",
            peer.ae_title,
            str(peer.port),
            str(folder),
        ]
        kind = "the small embedded PACS (Orthanc is not installed)"
    with _running(command, folder.parent / "pacs.log") as process:
        _await_echo(peer, process, folder.parent / "pacs.log")
        yield kind


def _orthanc_config(peer: Peer, folder: Path) -> dict[str, object]:
    return {
        "Name": "Spine Node demo",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpServerEnabled": False,
        "DicomAet": peer.ae_title,
        "DicomPort": peer.port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": True,
    }


@contextmanager
def _node(node: Peer, pacs: Peer, out: Path) -> Iterator[None]:
    config = out / "node.toml"
    config.write_text(
        "# The node of this demo. config/node.toml explains every key.\n"
        f'[scp]\nae_title = "{node.ae_title}"\nhost = "{node.host}"\nport = {node.port}\n\n'
        f'[storage]\nfolder = "{(out / "node").resolve()}"\n\n'
        "[series]\nquiet_s = 3.0\ngive_up_s = 60.0\n\n"
        f'[[destinations]]\nname = "pacs"\nae_title = "{pacs.ae_title}"\n'
        f'host = "{pacs.host}"\nport = {pacs.port}\n'
    )
    command = [sys.executable, "-m", "spine_node", "serve", "--config", str(config)]
    with _running(command, out / "node.log") as process:
        _await_echo(node, process, out / "node.log")
        yield


def _await_echo(peer: Peer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            echo(peer, "DEMOMODALITY")
            return
        except PeerUnavailable:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise Unavailable(f"{peer.ae_title} did not start; the end of {log}:\n{tail}") from None
            time.sleep(0.2)


def _await_results(database: Path, log: Path, series: int) -> Job:
    """The first job whose results were delivered; a study has others too, such as localizers."""
    ledger = Ledger(f"sqlite:///{database}")
    deadline = time.monotonic() + PATIENCE_S
    with progress("Waiting") as report:
        while time.monotonic() < deadline:
            jobs = ledger.jobs()
            delivered = [job for job in jobs if job.state == "delivered"]
            running = [job for job in jobs if job.state in ("received", "analysing", "analysed")]
            if running:
                report(running[0].fraction, f"{running[0].state} {running[0].stage}".strip())
            elif delivered:
                return delivered[0]
            elif len({job.series_uid for job in jobs}) >= series:
                reasons = "\n".join(f"{job.state}: {job.reason}" for job in jobs)
                if all(job.state in ("refused", "ignored") for job in jobs):
                    raise Refused(f"the node analysed none of {series} series.\n{reasons}")
                raise Unavailable(f"no results.\n{reasons}\nThe node's log is {log}")
            else:
                report(0.0, "the node waits for the series to be complete")
            time.sleep(0.3)
    raise Unavailable(f"no result within {PATIENCE_S:.0f} s; the node's log is {log}")
