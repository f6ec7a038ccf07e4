"""Who may call, from where, and for what: from rules to a decision. Pure: no socket, no log, no pynetdicom.

`Access.admit` judges who asks for an association; `Admitted` says what the caller may do on it. What a
refused caller is told is the standard's reason and no more; `Refusal.reason` is for our log and audit trail.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from spine_node.network.peer import ClientTls, Peer, checked_ae_title

Right = Literal["store", "query", "retrieve", "commit"]

MODALITY_RIGHTS: tuple[Right, ...] = ("store", "commit")
"""What a caller may do unless its rules say otherwise: reports go to those whom the config names."""

CALLING_AE_NOT_RECOGNISED, CALLED_AE_NOT_RECOGNISED = (1, 1, 3), (1, 1, 7)
"""PS3.8 table 9-21: result (permanent), source (the service user) and reason of an A-ASSOCIATE-RJ."""

_VERIFICATION, _COMMITMENT = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
_QUERY_RETRIEVE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.2\.[123]\.([123])")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a peer proved to be, by a certificate that one of our CAs signed.

    Attributes
    ----------
    sha256 : str
        Of its DER form, 64 lower-case hexadecimal digits.
    subject : tuple of (str, str)
        Attribute and value, such as ("CN", "cbct1"), in the certificate's order.
    """

    sha256: str
    subject: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{','.join(f'{key}={value}' for key, value in self.subject)} (SHA-256 {self.sha256[:16]}...)"


@dataclass(frozen=True, slots=True)
class Caller:
    """One application entity that may call.

    Attributes
    ----------
    ae_title : str
        Its calling AE title; "*" is everybody who has no rules of its own.
    addresses : tuple of str
        IP addresses and networks ("192.0.2.0/24") it may call from; any when empty.
    may : tuple of Right
        What it may do beside C-ECHO, which is always answered.
    sop_classes : tuple of str
        UIDs it may store; whatever the node stores when empty.
    certificate : str
        SHA-256 fingerprint, or attributes of the subject ("CN=cbct1"), of the certificate it must show;
        "" asks for none (the TLS port may).
    host, port
        Where C-MOVE and reports of storage commitment reach it; "" and 0 when they do not.
    tls : ClientTls or None
        How we speak TLS to it there; None is plain DICOM.
    """

    ae_title: str
    addresses: tuple[str, ...] = ()
    may: tuple[Right, ...] = MODALITY_RIGHTS
    sop_classes: tuple[str, ...] = ()
    certificate: str = ""
    host: str = ""
    port: int = 0
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        if self.ae_title != "*":
            checked_ae_title(self.ae_title)
        for text in self.addresses:
            try:
                ipaddress.ip_network(text)
            except ValueError as problem:
                raise ValueError(f"{text!r} is no IP address or network: {problem}") from None
        if self.certificate:
            _wanted_certificate(self.certificate)
        if bool(self.host) != bool(self.port) or not 0 <= self.port <= 65535:
            raise ValueError(f"where {self.ae_title} is reached takes both host and port (1 to 65535)")
        if self.host and self.ae_title == "*":
            raise ValueError("everybody (*) is not reached at one host and port: give each its own AE title")

    def peer(self) -> Peer | None:
        """Where it is reached, if that is known."""
        return Peer(self.ae_title, self.ae_title, self.host, self.port, tls=self.tls) if self.host else None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller that was let in, and what it may do."""

    caller: Caller

    def may(self, right: Right) -> bool:
        """Whether it has this right."""
        return right in self.caller.may

    def may_store(self, sop_class_uid: str) -> bool:
        """Whether it may store instances of this class."""
        classes = self.caller.sop_classes
        return self.may("store") and (not classes or sop_class_uid in classes)

    def accepts(self, abstract_syntax: str, *, caller_is_scp: bool = False) -> bool:
        """Whether a presentation context is open to it.

        Parameters
        ----------
        abstract_syntax : str
            UID of a SOP class.
        caller_is_scp : bool
            The caller takes the SCP role for a storage class: it wants to be sent instances by C-GET.
        """
        right = right_for(abstract_syntax)
        if right is None:
            return True
        if right == "store":
            return self.may_store(abstract_syntax) or (caller_is_scp and self.may("retrieve"))
        return self.may(right)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A caller that is not let in.

    Attributes
    ----------
    reason : str
        For our log and audit trail, never for the peer.
    rejection : tuple of int
        Result, source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4).
    """

    reason: str
    rejection: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of a node.

    Attributes
    ----------
    ae_title : str
        Ours.
    callers : tuple of Caller
    check_called_ae : bool
        Refuse who calls another AE title than ours.
    """

    ae_title: str
    callers: tuple[Caller, ...]
    check_called_ae: bool = True

    def admit(
        self, calling_ae: str, called_ae: str, address: str, certificate: Certificate | None = None
    ) -> Admitted | Refusal:
        """Judge one request for an association.

        Parameters
        ----------
        calling_ae, called_ae : str
            As received; spaces at the ends do not count (PS3.5 6.2).
        address : str
            IP address of the peer.
        certificate : Certificate, optional
            What it showed on a TLS connection.
        """
        calling, called = calling_ae.strip(" "), called_ae.strip(" ")
        caller = self.caller(calling)
        if caller is None:
            return Refusal(
                f"calling AE title {calling!r} is not among the callers", CALLING_AE_NOT_RECOGNISED
            )
        if not _within(address, caller.addresses):
            return Refusal(
                f"{calling} may call from {', '.join(caller.addresses)}, not from {address}",
                CALLING_AE_NOT_RECOGNISED,
            )
        if caller.certificate and certificate is None:
            return Refusal(
                f"{calling} must show the certificate {caller.certificate}, and showed none (plain DICOM, or "
                "no client certificate)",
                CALLING_AE_NOT_RECOGNISED,
            )
        if caller.certificate and not _matches(certificate, caller.certificate):
            return Refusal(
                f"{calling} must show the certificate {caller.certificate}, and showed {certificate}",
                CALLING_AE_NOT_RECOGNISED,
            )
        if self.check_called_ae and called != self.ae_title:
            return Refusal(
                f"{calling} calls AE title {called!r}, and we are {self.ae_title}", CALLED_AE_NOT_RECOGNISED
            )
        return Admitted(caller)

    def caller(self, ae_title: str) -> Caller | None:
        """The rules of an AE title: its own, else those of everybody, else none."""
        named = {caller.ae_title: caller for caller in self.callers}
        return named.get(ae_title) or named.get("*")

    def peer(self, ae_title: str) -> Peer | None:
        """Where an AE title is reached: the destination of a C-MOVE, or of a commitment report."""
        return next((c.peer() for c in self.callers if c.ae_title == ae_title), None)


def everybody(ae_title: str, *, check_called_ae: bool = True) -> Access:
    """Rules that let everybody in; for a node that only this machine can reach."""
    return Access(ae_title, (Caller("*"),), check_called_ae)


def right_for(abstract_syntax: str) -> Right | None:
    """The right that a SOP class needs; None for C-ECHO.

    Examples
    --------
    >>> right_for("1.2.840.10008.5.1.4.1.2.2.1"), right_for("1.2.840.10008.5.1.4.1.2.1.3")
    ('query', 'retrieve')
    >>> right_for("1.2.840.10008.1.20.1"), right_for("1.2.840.10008.5.1.4.1.1.2")
    ('commit', 'store')
    """
    if abstract_syntax == _VERIFICATION:
        return None
    if abstract_syntax == _COMMITMENT:
        return "commit"
    if model := _QUERY_RETRIEVE.fullmatch(abstract_syntax):
        return "query" if model[1] == "1" else "retrieve"
    return "store"


def _within(address: str, networks: tuple[str, ...]) -> bool:
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(network) for network in networks)


def _wanted_certificate(text: str) -> str | frozenset[tuple[str, str]]:
    """A fingerprint, or attributes of a subject; ValueError if it is neither."""
    digits = text.lower().removeprefix("sha256:").replace(":", "").replace(" ", "")
    if _FINGERPRINT.fullmatch(digits):
        return digits
    parts = [part.split("=", 1) for part in re.split(r"(?<!\\),", text)]
    if not all(len(part) == 2 and part[0].strip() and part[1].strip() for part in parts):
        raise ValueError(
            f"{text!r} is no certificate: write its SHA-256 fingerprint (64 hexadecimal digits) or "
            'attributes of its subject, such as "CN=cbct1,O=Hospital"'
        )
    return frozenset((key.strip(), value.strip().replace("\\,", ",")) for key, value in parts)


def _matches(certificate: Certificate | None, wanted: str) -> bool:
    if certificate is None:
        return False
    what = _wanted_certificate(wanted)
    return certificate.sha256 == what if isinstance(what, str) else what <= set(certificate.subject)
