"""A DICOM application entity elsewhere. Imports no pynetdicom, so that settings can hold one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a peer answers, and how long we wait for it.

    Attributes
    ----------
    name : str
        What the configuration and the ledger call it.
    ae_title, host, port
        Its address.
    connect_timeout_s : float
        For the TCP connection, and for the answer to the association request.
    answer_timeout_s : float
        For the answer to one request; a PACS that compresses on arrival takes its time.
    """

    name: str
    ae_title: str
    host: str
    port: int
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 120.0

    def __str__(self) -> str:
        return f"{self.name} ({self.ae_title} at {self.host}:{self.port})"
