"""A receiving process: one of several that accept associations on the node's listening socket.

`serve` binds the port, listens, and hands the socket down; each receiver accepts what it has time for.
A receiver that dies loses its own associations (their senders try again) and no connection that waits
to be accepted. It ends with the node: at SIGTERM, or when the node's process is gone.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
from functools import partial
from pathlib import Path

from spine_node.audit.trail import AuditTrail
from spine_node.config import Settings
from spine_node.custody import Custody
from spine_node.inbox import Inbox
from spine_node.ledger import Database, database_url
from spine_node.ledger.arrivals import Arrivals
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.ledger.commitments import Commitments
from spine_node.ledger.holdings import Holdings
from spine_node.logs import logger
from spine_node.network.commitment import commitment_answers
from spine_node.network.commitment_scp import storage_commitment
from spine_node.network.doors import Door, tls_door
from spine_node.network.query_retrieve import query_retrieve
from spine_node.network.scp import StorageSCP
from spine_node.network.seats import Seats
from spine_node.network.server import Service
from spine_node.reach import move_destination
from spine_node.served import Served

PARENT_EVERY_S = 0.1
"""How often a receiver looks whether the node still lives: until then it holds the port of a dead one."""

GARBAGE_AFTER = 20_000
"""New objects between two collections: an association leaves some thousands, an instance next to none."""

log = logger("receiver")


def receiver_count(settings: Settings) -> int:
    """How many receivers to start: what the config says, else one a core, at most four."""
    return settings.scp.processes or min(len(os.sched_getaffinity(0)), 4)


def receive(
    settings: Settings,
    listener: socket.socket | None,
    tls_listener: socket.socket | None,
    parent: int,
    stopping: threading.Event,
) -> None:
    """Accept associations on listening sockets until told to stop, or until the node is gone.

    Parameters
    ----------
    listener, tls_listener : socket
        Of the plain port and of the TLS port, as far as there are such: bound, listening, non-blocking;
        shared with other processes.
    parent : int
        Process id of the node.
    stopping : threading.Event
        Set to end: open associations then have `[scp] stop_grace_s` to end by themselves.
    """
    database = Database(settings.storage.database_url or database_url(settings.storage.database))
    inbox = Inbox(settings.storage.inbox, settings.storage.reserve_bytes)
    seats = Seats(
        seats_path(settings.storage.folder),
        settings.scp.max_associations,
        settings.scp.max_associations_per_caller,
    )
    audit = AuditTrail(settings.audit_folder, settings.audit_source, settings.audit.max_file_bytes)
    ports: list[tuple[socket.socket, Door | None]] = [] if listener is None else [(listener, None)]
    if tls_listener is not None:
        ports.append((tls_listener, tls_door(settings.tls.server())))
    services = _services(settings, database, inbox, audit)
    scps = [
        StorageSCP(
            settings.scp.ae_title,
            settings.scp.host,
            taken.getsockname()[1],
            inbox,
            access=settings.access,
            door=door,
            audit=audit,
            seats=seats,
            association_timeout_s=settings.scp.association_timeout_s,
            idle_timeout_s=settings.scp.idle_timeout_s,
            max_instance_bytes=int(settings.scp.max_instance_gb * 1e9),
            arrivals=Arrivals(database),
            listener=taken,
            services=services,
        )
        for taken, door in ports
    ]
    for scp in scps:
        scp.start()
    gc.freeze()  # what was loaded so far stays: later collections need not look at it
    gc.set_threshold(GARBAGE_AFTER)
    log.info("receiver_ready", pid=os.getpid())
    while not stopping.wait(PARENT_EVERY_S) and os.getppid() == parent:
        pass
    ends = [threading.Thread(target=scp.stop, args=[settings.scp.stop_grace_s]) for scp in scps]
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    audit.close()
    log.info("receiver_stopped", pid=os.getpid())


def _services(settings: Settings, database: Database, inbox: Inbox, audit: AuditTrail) -> list[Service]:
    """What is answered beside C-ECHO and C-STORE, to callers that may ask for it."""
    holdings = Holdings(database)
    custody = Custody(CommitmentRequests(database), inbox, holdings, settings.storage.results)
    return [
        commitment_answers(Commitments(database)),
        storage_commitment(custody),
        query_retrieve(
            Served(settings, holdings),
            settings.scp.ae_title,
            partial(move_destination, settings),
            settings.query.most_matches,
            audit,
        ),
    ]


def seats_path(folder: Path) -> Path:
    """The file by which the receivers of one node count associations."""
    return folder / "associations.lock"
