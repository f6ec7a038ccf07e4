"""Several real receiving processes on one socket, as the node starts them; what a hospital sees of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pydicom
import pytest
from pynetdicom.association import Association

from spine_node.children import ChildProcess, Children
from spine_node.config import load_settings
from spine_node.errors import Unavailable
from spine_node.inbox import Inbox
from spine_node.ledger import Database, database_url
from spine_node.ledger.arrivals import Arrivals
from spine_node.network.peer import Peer
from spine_node.network.scu import echo, send
from spine_node.network.server import bound
from spine_node.node import _the_only_node
from spine_node.receivers import receiver_count
from tests.conftest import make_ct, wait_until
from tests.network.conftest import associate, encoded
from tests.network.hostile import ACCEPTED, REJECTED, association_request, connected, receive


@dataclass
class Receivers:
    """Receiving processes, without a node that judges what they receive."""

    folder: Path
    children: Children
    listener: socket.socket
    peer: Peer

    def stop(self) -> None:
        self.children.replace_no_more()
        self.listener.close()
        self.children.stop(510.0)

    def processes(self) -> list[psutil.Process]:
        family = psutil.Process().children()
        return [c for c in family if c.status() != psutil.STATUS_ZOMBIE and "receiver" in c.cmdline()]

    def stored(self) -> dict[str, Path]:
        inbox = Inbox(self.folder / "data" / "inbox")
        return {path.stem: path for series in inbox.open_series() for path in series.paths}

    def logged(self, event: str) -> int:
        return (self.folder / "log").read_text(errors="replace").count(event)


@pytest.fixture
def receivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Receivers]]:
    """Starts receivers on one socket: `receivers(processes=2, max_associations=3)`."""
    running: list[Receivers] = []
    log = (tmp_path / "log").open("ab")
    popen = subprocess.Popen
    monkeypatch.setattr(
        "spine_node.children.subprocess.Popen", lambda *a, **k: popen(*a, **k, stdout=log, stderr=log)
    )

    def start(processes: int = 2, **scp: object) -> Receivers:
        listener = bound("127.0.0.1", 0)
        port = listener.getsockname()[1]
        config = tmp_path / "node.toml"
        keys = "".join(f"{key} = {value}\n" for key, value in scp.items())
        config.write_text(
            f"[scp]\nport = {port}\nprocesses = {processes}\n{keys}"
            f'[storage]\nfolder = "{tmp_path / "data"}"\n'
        )
        Database(database_url(load_settings(config).storage.database)).close()
        arguments = ["receiver", "--parent", str(os.getpid()), "--config", str(config)]
        arguments += ["--listen-fd", str(listener.fileno())]
        count = receiver_count(load_settings(config))
        children = Children([ChildProcess("receiver", arguments, (listener.fileno(),)) for _ in range(count)])
        made = Receivers(tmp_path, children, listener, Peer("node", "SPINENODE", "127.0.0.1", port, 120.0))
        ready = made.logged("receiver_ready")
        running.append(made)
        children.start()
        wait_until(lambda: made.logged("receiver_ready") >= ready + count)
        return made

    yield start
    for made in running:
        made.stop()
    log.close()


def test_a_dead_receiver_is_replaced_and_no_connection_that_waits_is_lost(
    receivers: Callable[..., Receivers],
) -> None:
    node = receivers(processes=1)
    (first,) = node.processes()
    first.send_signal(signal.SIGSTOP)
    wait_until(lambda: stopped(first.pid))  # else it may yet accept one, and take it with it
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(echo, node.peer, "CT1") for _ in range(4)]
        time.sleep(0.2)  # they are connected, in the kernel; nobody has accepted them
        first.kill()
        for answer in waiting:
            answer.result(timeout=600)
    (second,) = node.processes()
    assert second.pid != first.pid


def stopped(pid: int) -> bool:
    """Whether each thread of a process has come to a stop."""
    states = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state.rsplit(")", 1)[1].split()[0] == "T" for state in states)


def test_processes_share_the_work_and_count_associations_together(
    receivers: Callable[..., Receivers],
) -> None:
    """Over the limit: rejected for now; C-ECHO is answered; who was killed gives its seats back."""
    node = receivers(processes=2, max_associations=8, max_associations_per_caller=8)
    held = eight_of_both(node)
    refused = associate(node.peer)
    answer = refused.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    echo(node.peer, "CT1")
    assert all(association.is_established for association in held), "it did not wait for a seat"
    for process in node.processes():
        process.kill()
    wait_until(lambda: node.logged("receiver_ready") == 4)
    again = associate(node.peer)
    assert again.is_established
    again.release()


def eight_of_both(node: Receivers) -> list[Association]:
    """Eight associations, of each process some; chance may give all to one, so it has many chances."""
    held: list[Association] = []
    for _ in range(200):
        association = associate(node.peer)
        if association.is_established:  # else the seat of the one that went is not free yet
            held.append(association)
        serving = [len(p.net_connections("tcp")) - 1 for p in node.processes()]
        if len(held) == 8 and min(serving) >= 1:
            return held
        if len(held) == 8:
            held.pop(0).release()
    pytest.fail("one process takes all")


def test_one_caller_does_not_take_every_seat(receivers: Callable[..., Receivers]) -> None:
    node = receivers(processes=2, max_associations=4, max_associations_per_caller=3)
    held = [associate(node.peer, "GREEDY") for _ in range(3)]
    assert associate(node.peer, "GREEDY").is_rejected
    other = associate(node.peer, "CT1")
    assert other.is_established
    for association in (*held, other):
        association.release()


def test_a_hundred_at_once_are_served_or_refused_by_limit(
    receivers: Callable[..., Receivers], tmp_path: Path
) -> None:
    node = receivers(processes=2, max_associations=32, max_associations_per_caller=32)
    together, answers = threading.Barrier(100), []

    def ask(_: int) -> None:
        with connected(node.peer) as connection:
            together.wait(240)
            connection.sendall(association_request(node.peer))
            answers.append(receive(connection))
            together.wait(240)  # all are open until all are answered

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(ask, range(100)))
    kinds = [kind for kind, _ in answers]
    assert (kinds.count(ACCEPTED), kinds.count(REJECTED)) == (32, 68)
    assert {body for kind, body in answers if kind == REJECTED} == {bytes([0, 2, 3, 2])}
    assert all(o.stored for o in send(node.peer, make_ct(tmp_path / "sent", slices=2), "CT1"))


def test_stopping_lets_a_sender_finish_and_waits_no_longer_than_it_must(
    receivers: Callable[..., Receivers], tmp_path: Path
) -> None:
    node = receivers(processes=2, stop_grace_s=500.0)
    paths, outcomes = make_ct(tmp_path / "sent", slices=80), []
    sender = threading.Thread(target=lambda: outcomes.extend(send(node.peer, paths, "CT1")))
    sender.start()
    wait_until(lambda: len(node.stored()) >= 5)
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 250
    sender.join()
    assert [o.stored for o in outcomes] == [True] * 80
    assert len(node.stored()) == 80


def test_receivers_end_and_free_the_port_when_the_node_is_gone(tmp_path: Path) -> None:
    """Killed, the node cannot end them; the next one needs the port at once."""
    listener = bound("127.0.0.1", 0)
    port = listener.getsockname()[1]
    config = tmp_path / "node.toml"
    config.write_text(f'[scp]\nport = {port}\n[storage]\nfolder = "{tmp_path / "data"}"\n')
    Database(database_url(load_settings(config).storage.database)).close()
    node = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "spine_node", "receiver", "--parent", str(os.getpid()),
    "--listen-fd", "{listener.fileno()}", "--config", {str(config)!r}], pass_fds=[{listener.fileno()}])
print(child.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", node],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
    ) as parent:
        assert parent.stdout is not None
        receiver = psutil.Process(int(parent.stdout.readline()))
        listener.close()
        echo(Peer("node", "SPINENODE", "127.0.0.1", port, 120.0), "CT1")
        parent.kill()
        receiver.wait(timeout=600)
    bound("127.0.0.1", port).close()


def test_two_nodes_never_use_one_storage_folder(tmp_path: Path) -> None:
    first = _the_only_node(tmp_path / "data" / "node.lock")
    with pytest.raises(Unavailable, match=rf"another node \(process {os.getpid()}\) uses the storage folder"):
        _the_only_node(tmp_path / "data" / "node.lock")
    first.close()
    _the_only_node(tmp_path / "data" / "node.lock").close()


def test_interleaved_series_and_one_association_an_image_survive_a_restart_half_way(
    receivers: Callable[..., Receivers], tmp_path: Path
) -> None:
    """Two series of two studies over one association, one series image by image; the receivers are
    killed in the middle, the senders go on where they were."""
    node = receivers(processes=2)
    series = [make_ct(tmp_path / f"sent{n}", slices=12, seed=n) for n in range(3)]
    interleaved = [path for pair in zip(series[0], series[1], strict=True) for path in pair]
    for half in (0, 1):
        if half:
            for process in node.processes():
                process.kill()
            wait_until(lambda: node.logged("receiver_ready") == 4)
        assert all(o.stored for o in send(node.peer, interleaved[half * 12 : half * 12 + 12], "CT1"))
        for path in series[2][half * 6 : half * 6 + 6]:
            assert all(o.stored for o in send(node.peer, [path], "CT2"))
    found = Inbox(tmp_path / "data" / "inbox").open_series()
    assert sorted(len(one.paths) for one in found) == [12, 12, 12]
    stored = node.stored()
    for path in (p for one in series for p in one):
        assert encoded(stored[pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID]) == encoded(path)


def test_what_came_is_in_the_ledger_by_series_and_caller(
    receivers: Callable[..., Receivers], tmp_path: Path
) -> None:
    node = receivers(processes=2)
    paths = make_ct(tmp_path / "sent", slices=4)
    broken = pydicom.dcmread(paths[3])
    broken.SOPInstanceUID = "1.2.3"  # File Meta, and so the request, still names another
    broken.save_as(paths[3])
    send(node.peer, paths, "CT1")
    send(node.peer, paths[:1], "ROUTER")
    arrivals = Arrivals(Database(database_url(tmp_path / "data" / "node.sqlite")))
    wait_until(lambda: sum(a.stored + a.refused for a in arrivals.of_series([broken.SeriesInstanceUID])) == 5)
    found = {a.calling_ae: a for a in arrivals.of_series([broken.SeriesInstanceUID])}
    assert (found["CT1"].stored, found["CT1"].refused, found["ROUTER"].stored) == (3, 1, 1)
    assert found["CT1"].last_reason.startswith("0xA900")
    assert (found["CT1"].accession_number, found["CT1"].address) == ("A1", "127.0.0.1")
    assert found["CT1"].study_uid == broken.StudyInstanceUID
