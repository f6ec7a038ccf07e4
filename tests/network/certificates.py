"""A hospital's certificates, and some that nobody should believe, as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from spine_node.network.peer import ClientTls, ServerTls


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: str
    key: str

    def with_password(self, password: bytes) -> Pair:
        """The same, its key encrypted."""
        key = load_pem_private_key(Path(self.key).read_bytes(), None)
        locked = Path(self.key + ".locked")
        locked.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        )
        return Pair(self.certificate, str(locked))


class Hospital:
    """Its authority, the node's and a caller's certificate; each `pair` is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own, self._foreign = trustme.CA(), trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.foreign_ca = str(folder / "foreign-ca.pem")
        self._own.cert_pem.write_to_path(self.ca)
        self._foreign.cert_pem.write_to_path(self.foreign_ca)
        self.node = self.pair("node", "127.0.0.1", "localhost")
        self.caller = self.pair("cbct1", "127.0.0.1")
        self.elsewhere = self.pair("elsewhere", "pacs.hospital.example")
        over = datetime.now(UTC) - timedelta(days=1)
        self.expired = self.pair("expired", "127.0.0.1", not_after=over)
        self.foreign = self.pair("foreign", "127.0.0.1", foreign=True)

    def pair(self, name: str, *hosts: str, foreign: bool = False, not_after: datetime | None = None) -> Pair:
        ca = self._foreign if foreign else self._own
        issued = ca.issue_cert(
            *hosts,
            common_name=name,
            organization_name="Hospital",
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=not_after,
        )
        found = Pair(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        issued.private_key_pem.write_to_path(found.key)
        Path(found.certificate).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return found

    def server(self, pair: Pair | None = None, **settings: bool | float) -> ServerTls:
        """How a node of this hospital serves."""
        pair = pair or self.node
        return ServerTls(ClientTls(self.ca, pair.certificate, pair.key), **settings)  # type: ignore[arg-type]

    def client(self, pair: Pair | None, ca: str = "", server_name: str = "") -> ClientTls:
        """How a caller with this certificate calls."""
        own = (pair.certificate, pair.key) if pair else ("", "")
        return ClientTls(ca or self.ca, *own, server_name=server_name)
