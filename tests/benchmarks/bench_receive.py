"""How fast C-STORE is received: this node, Orthanc and dcmtk storescp, in one run on one machine.

    python tests/benchmarks/bench_receive.py [--instances 500] [--repeats 3]

The same CT instances (512 x 512, 16 bit) are sent by dcmtk's storescu over 1 and over 4 associations.
This node syncs every instance to the disk before it says success, Orthanc and storescp do not: what that
costs here is printed, and one row shows the node without it, for the comparison only.
Times vary with the machine and what else runs on it: compare the ratios of one run. Peak memory is that
of the receiving process and its children. Nothing is installed; a receiver that is absent is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.errors import PeerUnavailable
from spine_node.network.peer import Peer
from spine_node.network.scu import echo
from tests.conftest import free_port, make_ct

os.environ["TCP_NODELAY"] = "1"

NODE = """
import os, sys, threading
from pathlib import Path
from spine_node.inbox import Inbox
from spine_node.logs import configure_logs
from spine_node.network.scp import StorageSCP
configure_logs("INFO", json_lines=True)
if sys.argv[3] == "unsynced":
    os.fsync = lambda descriptor: None
StorageSCP("BENCH", "127.0.0.1", int(sys.argv[1]), Inbox(Path(sys.argv[2])), share_port=True).start()
threading.Event().wait()
"""


@dataclass(frozen=True)
class Receiver:
    """How to start a receiver: commands from a port and a folder, all on that port."""

    name: str
    program: str
    commands: Callable[[int, Path], list[list[str]]]


def _node(processes: int, how: str = "synced") -> Callable[[int, Path], list[list[str]]]:
    return lambda port, folder: [[sys.executable, "-c", NODE, str(port), str(folder), how]] * processes


def _storescp(port: int, folder: Path) -> list[list[str]]:
    return [["storescp", "--fork", "--promiscuous", "-aet", "BENCH", "-od", str(folder), str(port)]]


def _orthanc(port: int, folder: Path) -> list[list[str]]:
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpServerEnabled": False,
        "DicomAet": "BENCH",
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
    }
    config = folder.with_suffix(".json")
    config.write_text(json.dumps(settings))
    return [["Orthanc", str(config)]]


RECEIVERS = (
    Receiver("spine node", sys.executable, _node(1)),
    Receiver("two on one port", sys.executable, _node(2)),
    Receiver("without sync", sys.executable, _node(1, "unsynced")),
    Receiver("Orthanc", "Orthanc", _orthanc),
    Receiver("dcmtk storescp --fork", "storescp", _storescp),
)


@dataclass
class Costs:
    """What a receiver took: peak memory, and CPU time for each instance of each run."""

    peak_mb: float = 0.0
    cpu_ms: list[float] = field(default_factory=list)


class _Watch(threading.Thread):
    """Follows processes and their children while they work."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        super().__init__(daemon=True)
        self._processes = [psutil.Process(process.pid) for process in processes]
        self._before = self._cpu_s()
        self.peak_mb = 0.0
        self.done = threading.Event()

    @property
    def cpu_s(self) -> float:
        return self._cpu_s() - self._before

    def run(self) -> None:
        while not self.done.wait(0.05):
            memory = 0
            for process in self._processes:
                with suppress(psutil.NoSuchProcess):
                    memory += process.memory_info().rss
                    memory += sum(child.memory_info().rss for child in process.children(recursive=True))
            self.peak_mb = max(self.peak_mb, memory / 1e6)

    def _cpu_s(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(t.user + t.system + t.children_user + t.children_system for t in times)


@contextmanager
def _running(receiver: Receiver, folder: Path) -> Iterator[tuple[Peer, _Watch]]:
    """The receiver on a free port, and what it costs."""
    port = free_port()
    folder.mkdir()
    with (folder.parent / "receiver.log").open("ab") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log) for command in receiver.commands(port, folder)
        ]
    peer = Peer(receiver.name, "BENCH", "127.0.0.1", port)
    try:
        _await(peer)
        time.sleep(2.0)  # a second process on the port may still be starting
        watch = _Watch(processes)
        watch.start()
        yield peer, watch
        watch.done.set()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def _await(peer: Peer) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            echo(peer, "BENCHSCU")
            return
        except PeerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _send(peer: Peer, shares: list[Path], associations: int) -> float:
    """Seconds from the first sender's start to the last one's end."""
    groups = [shares] if associations == 1 else [[share] for share in shares]
    command = ["storescu", "-R", "-aet", "BENCHSCU", "-aec", "BENCH", "+sd", "+r", peer.host, str(peer.port)]
    began = time.perf_counter()
    senders = [
        subprocess.Popen([*command, *map(str, group)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for group in groups
    ]
    for sender in senders:
        _, problem = sender.communicate(timeout=600)
        if sender.returncode:
            raise SystemExit(f"storescu to {peer}: {problem.decode(errors='replace')}")
    return time.perf_counter() - began


def _sync_ms(folder: Path, number: int) -> float:
    began = time.perf_counter()
    with (folder / f"sync{number}").open("wb") as file:
        file.write(bytes(512 * 512 * 2))
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Print a table: instances a second, ratio to Orthanc, CPU time, peak memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=500, choices=range(4, 2001), metavar="4..2000")
    parser.add_argument("--repeats", type=int, default=3, choices=range(1, 8), metavar="1..7")
    arguments = parser.parse_args()
    if shutil.which("storescu") is None:
        raise SystemExit("storescu (dcmtk) sends the instances, and is not installed")
    present = [receiver for receiver in RECEIVERS if shutil.which(receiver.program)]
    rates: dict[tuple[str, int], list[float]] = {}
    costs = {receiver.name: Costs() for receiver in present}
    with tempfile.TemporaryDirectory(prefix="bench_receive") as scratch:
        shares = [Path(scratch) / "source" / str(n) for n in range(4)]
        sent = sum(
            len(make_ct(share, arguments.instances // 4, 512, seed=n)) for n, share in enumerate(shares)
        )
        sync_ms = statistics.median(_sync_ms(Path(scratch), n) for n in range(50))
        # Receivers take turns, so that a busy minute of the machine is shared by all.
        for turn in range(arguments.repeats):
            for receiver in present:
                for associations in (1, 4):
                    folder = Path(scratch) / f"{receiver.name.replace(' ', '_')}-{associations}-{turn}"
                    with _running(receiver, folder) as (peer, watch):
                        seconds = _send(peer, shares, associations)
                        arrived = sum(
                            p.stat().st_size > 512 * 512 * 2 for p in folder.rglob("*") if p.is_file()
                        )
                        if arrived < sent:
                            raise SystemExit(f"{receiver.name} has {arrived} of {sent} instances on disk")
                        costs[receiver.name].peak_mb = max(costs[receiver.name].peak_mb, watch.peak_mb)
                        costs[receiver.name].cpu_ms.append(watch.cpu_s * 1000 / sent)
                    rates.setdefault((receiver.name, associations), []).append(sent / seconds)
                    shutil.rmtree(folder)
    _print(present, rates, costs, sent, arguments.repeats, sync_ms)


def _print(
    present: list[Receiver],
    rates: dict[tuple[str, int], list[float]],
    costs: dict[str, Costs],
    sent: int,
    repeats: int,
    sync_ms: float,
) -> None:
    print(f"syncing an instance and its folder takes {sync_ms:.1f} ms on this disk, median of 50")
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{sent} instances of 512 x 512 x 16 bit, median of {repeats}, {machine}")
    print(
        f"{'receiver':22}{'1 association':>24}{'4 associations':>24}{'CPU/instance':>14}{'peak memory':>13}"
    )
    for receiver in present:
        cells = ""
        for associations in (1, 4):
            rate = statistics.median(rates[receiver.name, associations])
            ratio = ""
            if ("Orthanc", associations) in rates:
                ratio = f" ({rate / statistics.median(rates['Orthanc', associations]):.2f} x Orthanc)"
            cells += f"{f'{rate:.0f}/s{ratio}':>24}"
        cpu_ms = statistics.median(costs[receiver.name].cpu_ms)
        print(f"{receiver.name:22}{cells}{cpu_ms:>11.1f} ms{costs[receiver.name].peak_mb:>10.0f} MB")


if __name__ == "__main__":
    main()
