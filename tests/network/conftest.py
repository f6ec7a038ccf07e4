"""A receiving node in this process, on a port of the system's choice, with its inbox at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset

from spine_node.inbox import Inbox
from spine_node.network.contexts import storage_contexts
from spine_node.network.peer import Peer
from spine_node.network.scp import StorageSCP


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
    """Starts receivers that end with the test: `receiving(allowed_calling_aes=["CT1"])`."""
    running: list[Receiver] = []

    def start(inbox: Inbox | None = None, **settings: Any) -> Receiver:
        inbox = inbox or Inbox(tmp_path / f"inbox{len(running)}")
        scp = StorageSCP("NODE", "127.0.0.1", 0, inbox, **settings)
        running.append(Receiver(scp, inbox, Peer("node", "NODE", "127.0.0.1", scp.start())))
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
