"""DICOM over TLS after the BCP 195 profile (PS3.15 B.12): TLS 1.2 and 1.3, never less, never plain instead.

Whoever calls the TLS port shows a certificate too, unless [tls] client_certificates is off. Files are read
again when they change, so that a renewed certificate needs no restart; passwords of keys are read when
they are needed, and kept nowhere. `tls_words` puts what OpenSSL reports into words.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spine_node.errors import ConfigRefused
from spine_node.logs import logger
from spine_node.network.access import Certificate
from spine_node.network.peer import ClientTls, ServerTls
from spine_node.network.tls_words import tls_words

SUITES = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
"""For TLS 1.2: those that RFC 9325 4.2 recommends, all with forward secrecy. TLS 1.3 has only good ones."""

log = logger("tls")


class ServerContext:
    """The context of the TLS port, made anew when one of its files has changed.

    Raises
    ------
    ConfigRefused
        If a file cannot be used when it is first read. A later one that cannot is logged, and the files
        read before stay in use: a certificate and its key are seldom replaced in the same instant.
    """

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._stamp = _stamp(tls.files)
        self._context = server_context(tls)

    def __call__(self) -> ssl.SSLContext:
        """What to speak with now."""
        stamp = _stamp(self._tls.files)
        if stamp != self._stamp:
            try:
                self._context, self._stamp = server_context(self._tls), stamp
                log.info("certificate_renewed", certificate=self._tls.files.certificate)
            except ConfigRefused as problem:
                log.error("certificate_not_renewed", reason=str(problem))
        return self._context


class PeerContext(ssl.SSLContext):
    """A client's context, for one connection, that remembers why it failed; pynetdicom only logs it."""

    problem: OSError | None = None

    @property
    def reason(self) -> str:
        """In words; empty if nothing failed."""
        return "" if self.problem is None else tls_words(self.problem)


class _PeerSocket(ssl.SSLSocket):
    """Tells its context of failures: of the handshake, and (TLS 1.3) of a certificate refused after it."""

    def connect(self, address: Any) -> None:
        self._remembering(super().connect, address)

    def recv(self, *wanted: Any) -> bytes:
        received: bytes = self._remembering(super().recv, *wanted)
        return received

    def _remembering(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as problem:
            if isinstance(self.context, PeerContext):
                self.context.problem = problem
            raise


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """What the TLS port speaks with; ConfigRefused if a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply_profile(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_own(context, tls.files)
    if tls.files.ca:
        # Also where certificates are not demanded: a caller's rule may ask for one.
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_certificates else ssl.CERT_OPTIONAL
        _load_authorities(context, tls.files)
    elif tls.client_certificates:
        raise ConfigRefused("[tls] client_certificates needs ca: whose certificates are believed")
    return context


def client_context(tls: ClientTls) -> PeerContext:
    """What one connection to a peer speaks with; ConfigRefused if a file cannot be used."""
    context = PeerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _PeerSocket
    _apply_profile(context)
    _load_authorities(context, tls)
    if tls.certificate:
        _load_own(context, tls)
    return context


def certificate_of(connection: ssl.SSLSocket) -> Certificate | None:
    """The certificate that the peer showed and one of our authorities signed; None when it showed none."""
    der, said = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not der or not said:
        return None
    subject = tuple((_SHORT.get(key, key), value) for rdn in said.get("subject", ()) for key, value in rdn)
    return Certificate(hashlib.sha256(der).hexdigest(), subject)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What an operator wants to know of a certificate file: its first certificate.

    Attributes
    ----------
    subject, issuer : str
        As RFC 4514 writes them.
    sha256 : str
        What `certificate` of [[callers]] of another node would be.
    expires : datetime
        UTC.
    days_left : float
        Until then; negative when it is over.
    """

    subject: str
    issuer: str
    sha256: str
    expires: datetime
    days_left: float


def certificate_facts(path: str) -> CertificateFacts:
    """Read a certificate file.

    Raises
    ------
    ConfigRefused
        If it holds no certificate in PEM.
    """
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
    except (OSError, ValueError) as problem:
        raise ConfigRefused(f"{path} holds no certificate in PEM: {problem}") from problem
    expires = certificate.not_valid_after_utc
    return CertificateFacts(
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        hashlib.sha256(certificate.public_bytes(_der())).hexdigest(),
        expires,
        (expires - datetime.now(UTC)).total_seconds() / 86400,
    )


def expiry_warning(facts: CertificateFacts, warn_days: float) -> str:
    """Words for an operator when a certificate is over, or soon will be; else empty."""
    if facts.days_left < 0:
        return f"EXPIRED {-facts.days_left:.0f} days ago: peers refuse us until it is renewed"
    if facts.days_left < warn_days:
        return f"EXPIRES in {facts.days_left:.0f} days, on {facts.expires:%Y-%m-%d}: renew it"
    return ""


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def _apply_profile(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(SUITES))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_own(context: ssl.SSLContext, tls: ClientTls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: _password(tls))
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise ConfigRefused(f"[tls] key {tls.key} does not belong to {tls.certificate}") from problem
        raise ConfigRefused(
            f"[tls] certificate {tls.certificate} and key {tls.key} cannot be used: not in PEM, or the key's "
            f"password is wrong ({problem.reason or problem})"
        ) from problem
    except OSError as problem:
        raise ConfigRefused(
            f"[tls] certificate {tls.certificate} or key {tls.key} cannot be read: {problem.strerror}"
        ) from problem


def _load_authorities(context: ssl.SSLContext, tls: ClientTls) -> None:
    for path in filter(None, (tls.ca, tls.crl)):
        try:
            context.load_verify_locations(path)
        except (ssl.SSLError, OSError) as problem:
            words = problem.strerror if not isinstance(problem, ssl.SSLError) else "it is not in PEM"
            raise ConfigRefused(f"[tls] {path} cannot be used: {words}") from problem
    if tls.crl:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _password(tls: ClientTls) -> str:
    """The password of the key, from its file or variable. Without one OpenSSL would ask on a terminal."""
    if tls.key_password_variable:
        if tls.key_password_variable not in os.environ:
            raise ConfigRefused(f"[tls] key_password_variable {tls.key_password_variable} is not set")
        return os.environ[tls.key_password_variable]
    if tls.key_password_file:
        try:
            return Path(tls.key_password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as problem:
            raise ConfigRefused(
                f"[tls] key_password_file {tls.key_password_file} cannot be read: {problem.strerror}"
            ) from problem
    raise ConfigRefused(
        f"[tls] key {tls.key} has a password: name key_password_file or key_password_variable"
    )


def _stamp(files: ClientTls) -> tuple[tuple[int, int], ...]:
    found = []
    for path in (files.certificate, files.key, files.ca, files.crl):
        try:
            status = os.stat(path)
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
}
"""As openssl and RFC 4514 write them; others keep the long name."""
