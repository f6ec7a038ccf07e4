"""A receiving node in this process, on a port of the system's choice, with its inbox at hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dsutils import split_dataset

from spine_node.config import Destination
from spine_node.inbox import Inbox
from spine_node.network.access import Access, Caller, Right
from spine_node.network.contexts import storage_contexts
from spine_node.network.peer import Peer
from spine_node.network.scp import StorageSCP
from tests.network.kept_results import Serving


@dataclass
class Receiver:
    """An SCP, the inbox it fills, and the peer it is for others."""

    scp: StorageSCP
    inbox: Inbox
    peer: Peer

    def stored(self) -> dict[str, Path]:
        """Every received instance by its SOP Instance UID."""
        return {path.stem: path for series in self.inbox.open_series() for path in series.paths}


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    """Starts receivers that end with the test: `receiving(idle_timeout_s=2)`."""
    running: list[Receiver] = []

    def start(inbox: Inbox | None = None, **settings: Any) -> Receiver:
        inbox = inbox or Inbox(tmp_path / f"inbox{len(running)}")
        scp = StorageSCP("NODE", "127.0.0.1", 0, inbox, **settings)
        running.append(Receiver(scp, inbox, Peer("node", "NODE", "127.0.0.1", scp.start(), 60.0)))
        return running[-1]

    yield start
    for receiver in running:
        receiver.scp.stop(grace_s=0.0)


@pytest.fixture
def receiver(receiving: Callable[..., Receiver]) -> Receiver:
    """One receiver that takes whatever comes."""
    return receiving()


def encoded(path: Path) -> bytes:
    """The bytes of a file's data set, without preamble and File Meta Information."""
    return path.read_bytes()[split_dataset(path)[1] :]


def associate(peer: Peer, calling_ae: str = "CT1", called_ae: str | None = None) -> Association:
    """An association as any sender asks for it, established or not."""
    contexts = storage_contexts()
    return AE(calling_ae).associate(
        peer.host, peer.port, contexts=contexts, ae_title=called_ae or peer.ae_title
    )


@pytest.fixture
def serving(receiving: Callable[..., Receiver], tmp_path: Path) -> Callable[..., tuple[Serving, Peer]]:
    """Makes a node that serves results: `serving(most_matches=3)`; gives it and where it answers."""
    made: list[Serving] = []

    def make(
        *destinations: Destination, idle_timeout_s: float = 60.0, **settings: Any
    ) -> tuple[Serving, Peer]:
        folder = tmp_path / f"serving{len(made)}"
        folder.mkdir()
        made.append(Serving(folder, destinations, **settings))
        access = Access("NODE", (Caller("*", may=get_args(Right)),))
        return made[-1], receiving(
            services=[made[-1].service], access=access, idle_timeout_s=idle_timeout_s
        ).peer

    return make


def cancel_is_heard(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a node of this process has received a C-CANCEL while it answers."""
    heard, take = threading.Event(), DIMSEServiceProvider.receive_primitive

    def listen(provider: DIMSEServiceProvider, primitive: Any) -> None:
        take(provider, primitive)
        if provider.cancel_req:
            heard.set()

    monkeypatch.setattr(DIMSEServiceProvider, "receive_primitive", listen)
    return heard
