"""A DICOM application entity elsewhere. Imports no pynetdicom, so that settings can hold one."""

from __future__ import annotations

import re
from dataclasses import dataclass

# PS3.5 6.2, VR AE; spaces at the ends would not be significant.
_AE_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How we speak TLS to a peer; files of PEM. What is empty is taken from [tls] of the config.

    Attributes
    ----------
    ca : str
        Certificates of the authorities that may have signed the peer's.
    certificate, key : str
        Ours, for a peer that wants to know who calls; the certificate with its intermediates.
    key_password_file, key_password_variable : str
        The file, or the environment variable, that holds the password of the key.
    crl : str
        Revoked certificates of the peer's authority; "" asks for none.
    server_name : str
        The name that the peer's certificate must have; "" is the host that we call.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password_file: str = ""
    key_password_variable: str = ""
    crl: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How the TLS port speaks: files as in `ClientTls`, and whether callers show a certificate too."""

    files: ClientTls
    client_certificates: bool = True
    handshake_timeout_s: float = 10.0


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
    tls : ClientTls or None
        How we speak TLS to it; None is plain DICOM.
    """

    name: str
    ae_title: str
    host: str
    port: int
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 120.0
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a peer needs a name")
        checked_ae_title(self.ae_title)
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        for seconds in (self.connect_timeout_s, self.answer_timeout_s):
            if seconds <= 0:
                raise ValueError(f"a timeout of {seconds} s leaves no time to answer")

    def __str__(self) -> str:
        return f"{self.name} ({self.ae_title} at {self.host}:{self.port})"


def checked_ae_title(title: str) -> str:
    """The title, if it is one.

    Raises
    ------
    ValueError
        If it is empty, too long, or has characters that an AE title may not have.
    """
    if not _AE_TITLE.fullmatch(title):
        raise ValueError(f"{title!r} is no AE title: 1 to 16 printable ASCII characters, no backslash")
    return title
