"""How fast instances are received, beside Orthanc and dcmtk's storescp on the same machine.

    python tests/benchmarks/bench_receive.py                     1, 4 and 16 associations, three repeats
    python tests/benchmarks/bench_receive.py --load              100 at once: served, or refused by limit

The node is a real `spine-node serve`, once its model is loaded; it analyses nothing meanwhile (a long quiet
time). 500 CT instances (512 x 512, 16 bit) are sent by dcmtk's storescu, which is given TCP_NODELAY as the
receivers are; what arrived is counted on the disk. The node syncs every instance and its folder before it
says success; Orthanc syncs its files, storescp nothing. Receivers take turns within a repeat, so that a busy
minute of the machine is shared by all: compare the ratios of one run, not its rates.

Bars: Orthanc's rate at 1 association, 1.5 times it at 4 and 16. Half the rate of storescp --fork is an aim.
Exit status: 0 bars met, 1 one is missed, or a receiver is absent.
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

BARS = {1: 1.0, 4: 1.5, 16: 1.5}
"""Least ratio of our rate to Orthanc's, by number of associations."""

AT_ONCE = 100
"""Associations of the load test."""

ECHO_S = 10.0
"""Longest that C-ECHO may take while a hundred senders and the node share this machine's cores."""


@dataclass(frozen=True)
class Receiver:
    """How to start a receiver: a command from a port and a folder."""

    name: str
    program: str
    command: Callable[[int, Path], list[str]]
    ready: str = ""
    """What its log says when it has started up; nothing where it is quick to."""


def _node(seats: int) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        config = folder.with_suffix(".toml")
        config.write_text(
            f'[scp]\nae_title = "BENCH"\nport = {port}\nmax_associations = {seats}\n'
            f"max_associations_per_caller = {seats}\n"
            f'[storage]\nfolder = "{folder}"\n[series]\nquiet_s = 86400.0\n'
        )
        return [sys.executable, "-m", "spine_node", "serve", "--config", str(config)]

    return command


def _storescp(port: int, folder: Path) -> list[str]:
    return ["storescp", "--fork", "--promiscuous", "-aet", "BENCH", "-od", str(folder), str(port)]


def _orthanc(port: int, folder: Path) -> list[str]:
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpServerEnabled": False,
        "DicomAet": "BENCH",
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": True,
    }
    config = folder.with_suffix(".json")
    config.write_text(json.dumps(settings))
    return ["Orthanc", str(config)]


RECEIVERS = (
    Receiver("spine node", sys.executable, _node(128), ready="worker_ready"),
    Receiver("Orthanc", "Orthanc", _orthanc),
    Receiver("storescp --fork", "storescp", _storescp),
)


@dataclass
class Costs:
    """What a receiver took: peak memory, and CPU time for each instance of each run."""

    peak_mb: float = 0.0
    cpu_ms: list[float] = field(default_factory=list)


class _Watch(threading.Thread):
    """Follows a process and its children while they work; not the node's worker, which does nothing here."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(process.pid)
        self._before = self._cpu_s()
        self.peak_mb = 0.0
        self.done = threading.Event()

    @property
    def cpu_s(self) -> float:
        return self._cpu_s() - self._before

    def run(self) -> None:
        while not self.done.wait(0.1):
            memory = 0
            for process in self._family():
                with suppress(psutil.NoSuchProcess):
                    memory += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, memory / 1e6)

    def _family(self) -> list[psutil.Process]:
        found = [self._process]
        with suppress(psutil.NoSuchProcess):
            found += [c for c in self._process.children(recursive=True) if "worker" not in c.cmdline()]
        return found

    def _cpu_s(self) -> float:
        seconds = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                t = process.cpu_times()
                seconds += t.user + t.system + t.children_user + t.children_system
        return seconds


@contextmanager
def _running(receiver: Receiver, folder: Path) -> Iterator[tuple[Peer, _Watch]]:
    """The receiver on a free port, and what it costs."""
    port = free_port()
    folder.mkdir()
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(receiver.command(port, folder), stdout=output, stderr=output)
    peer = Peer(receiver.name, "BENCH", "127.0.0.1", port)
    try:
        _await(peer)
        while receiver.ready not in log.read_text(errors="replace"):
            if process.poll() is not None:
                raise SystemExit(f"{receiver.name} ended:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        time.sleep(1.0)
        watch = _Watch(process)
        watch.start()
        yield peer, watch
        watch.done.set()
    finally:
        process.terminate()
        process.wait(timeout=60)


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


def _send(peer: Peer, paths: list[Path], associations: int) -> tuple[float, dict[int, str]]:
    """Seconds from the first sender's start to the last one's end, and what those said that failed."""
    command = ["storescu", "-R", "-aet", "BENCHSCU", "-aec", "BENCH", peer.host, str(peer.port)]
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            [*command, *map(str, paths[n::associations])], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for n in range(associations)
    ]
    said = [sender.communicate(timeout=600)[1].decode(errors="replace") for sender in senders]
    seconds = time.perf_counter() - began
    return seconds, {n: said[n] for n, sender in enumerate(senders) if sender.returncode}


def _arrived(folder: Path) -> int:
    """Instances on the disk: files of their size, not an index or a journal, which may come to that size."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(("node.sqlite", "index"))]
    sizes = [p.stat().st_size - 512 * 512 * 2 for p in files]
    return sum(0 < over < 4096 for over in sizes)


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
    """Print a table: instances a second, ratios, CPU time, peak memory; or the load test's count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=500, choices=range(4, 2001), metavar="4..2000")
    parser.add_argument("--repeats", type=int, default=3, choices=range(1, 8), metavar="1..7")
    parser.add_argument("--load", action="store_true", help="100 associations at once")
    arguments = parser.parse_args()
    if shutil.which("storescu") is None:
        raise SystemExit("storescu (dcmtk) sends the instances, and is not installed")
    with tempfile.TemporaryDirectory(prefix="bench_receive") as scratch:
        counts = [AT_ONCE] if arguments.load else list(BARS)
        sources = {n: make_ct(Path(scratch) / f"source{n}", arguments.instances, 512, seed=n) for n in counts}
        if arguments.load:
            raise SystemExit(_load(sources[AT_ONCE], Path(scratch)))
        raise SystemExit(_compare(sources, Path(scratch), arguments.repeats))


def _compare(sources: dict[int, list[Path]], scratch: Path, repeats: int) -> int:
    present = [receiver for receiver in RECEIVERS if shutil.which(receiver.program)]
    rates: dict[tuple[str, int], list[float]] = {}
    costs = {receiver.name: Costs() for receiver in present}
    sync_ms = statistics.median(_sync_ms(scratch, n) for n in range(50))
    for turn in range(repeats):
        for receiver in present:
            # One start a repeat: what is measured is receiving, and the node's start takes many seconds.
            folder = scratch / f"{receiver.name.replace(' ', '_')}-{turn}"
            with _running(receiver, folder) as (peer, watch):
                cpu_s, sent = watch.cpu_s, 0
                for associations, paths in sources.items():
                    seconds, failed = _send(peer, paths, associations)
                    if failed:
                        raise SystemExit(f"{receiver.name}: {failed}")
                    sent += len(paths)
                    if (arrived := _arrived(folder)) != sent:
                        raise SystemExit(f"{receiver.name} has {arrived} of {sent} instances on disk")
                    rate = len(paths) / seconds
                    rates.setdefault((receiver.name, associations), []).append(rate)
                    print(f"repeat {turn + 1}, {receiver.name}, {associations}: {rate:.0f}/s", flush=True)
                costs[receiver.name].cpu_ms.append((watch.cpu_s - cpu_s) * 1000 / sent)
                costs[receiver.name].peak_mb = max(costs[receiver.name].peak_mb, watch.peak_mb)
            shutil.rmtree(folder)
    print(f"syncing an instance and its folder takes {sync_ms:.1f} ms on this disk, median of 50")
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{sent // len(BARS)} instances of 512 x 512 x 16 bit, {machine}; median ratio of {repeats}")
    return _report(present, rates, costs)


def _report(
    present: list[Receiver], rates: dict[tuple[str, int], list[float]], costs: dict[str, Costs]
) -> int:
    """Print rates, our ratios to the others repeat by repeat, and costs; how many bars are missed."""
    ours = RECEIVERS[0].name
    print(f"{'receiver':18}" + "".join(f"{f'{n} assoc.':>20}" for n in BARS) + "  CPU/instance  peak memory")
    for receiver in present:
        cells = ""
        for n in BARS:
            ratio = ""
            if receiver.name != ours:
                pairs = zip(rates[ours, n], rates[receiver.name, n], strict=True)
                ratio = f" (we {statistics.median(our / other for our, other in pairs):.2f} x)"
            cells += f"{f'{statistics.median(rates[receiver.name, n]):.0f}/s{ratio}':>20}"
        cost = costs[receiver.name]
        print(f"{receiver.name:18}{cells}{statistics.median(cost.cpu_ms):>11.1f} ms{cost.peak_mb:>10.0f} MB")
    if ("Orthanc", 1) not in rates:
        print("Orthanc is not installed: no bar was checked")
        return 1
    missed = 0
    for n, bar in BARS.items():
        ratio = statistics.median(
            our / other for our, other in zip(rates[ours, n], rates["Orthanc", n], strict=True)
        )
        missed += ratio < bar
        print(f"{'MISSED' if ratio < bar else 'met'}: {ratio:.2f} x Orthanc at {n} associations, bar {bar}")
    return min(missed, 1)


def _load(paths: list[Path], scratch: Path) -> int:
    """100 associations at once, with a seat for each and with 32; C-ECHO meanwhile. 1 if one was lost."""
    lost = 0
    for seats in (128, 32):
        folder = scratch / f"load{seats}"
        receiver = Receiver("spine node", sys.executable, _node(seats), ready="worker_ready")
        with _running(receiver, folder) as (peer, watch):
            echoes = _Echoes(peer)
            echoes.start()
            seconds, failed = _send(peer, paths, AT_ONCE)
            echoes.done.set()
            echoes.join()
            refused = sum("Local Limit Exceeded" in words for words in failed.values())
            expected = sum(len(paths[n::AT_ONCE]) for n in range(AT_ONCE) if n not in failed)
            arrived = _arrived(folder)
            took_s = echoes.took_s
            print(
                f"{seats} seats: {AT_ONCE - len(failed)} of {AT_ONCE} associations served, "
                f"{refused} refused by limit; {arrived} of {expected} instances on disk, "
                f"{arrived / seconds:.0f}/s; {watch.peak_mb:.0f} MB; C-ECHO meanwhile "
                f"{statistics.median(took_s):.2f} s, at most {max(took_s):.2f} s",
                flush=True,
            )
            lost += refused != len(failed) or arrived != expected or max(took_s) > ECHO_S
    return min(lost, 1)


class _Echoes(threading.Thread):
    """Verifies again and again."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self._peer, self.done, self.took_s = peer, threading.Event(), list[float]()

    def run(self) -> None:
        while not self.done.wait(0.1):
            began = time.perf_counter()
            echo(self._peer, "BENCHECHO")
            self.took_s.append(time.perf_counter() - began)


if __name__ == "__main__":
    main()
