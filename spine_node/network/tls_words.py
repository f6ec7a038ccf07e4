"""What OpenSSL reports of a handshake, in words that say who has to do what. Pure."""

from __future__ import annotations

import ssl

PLAIN_PEER = "the peer speaks plain DICOM on this port, not TLS"
CLOSED = "the peer closed the connection in the TLS handshake: perhaps it speaks plain DICOM on this port"

_VERIFY = {  # X509_verify_cert_error codes (openssl-verification-options(1))
    3: "no list of revoked certificates (crl) of its authority is at hand",
    9: "its certificate is not valid yet (is a clock wrong?)",
    10: "its certificate has expired",
    12: "the list of revoked certificates (crl) has expired",
    18: "its certificate is signed by itself, and not among those of our ca",
    19: "the authority that signed its certificate is not among those of our ca",
    20: "the authority that signed its certificate is not among those of our ca",
    21: "the authority that signed its certificate is not among those of our ca",
    23: "its certificate has been revoked",
    62: "its certificate is for another host name (server_name says which name is expected)",
    64: "its certificate is for another IP address (server_name says which name is expected)",
}

_REASONS = {
    "WRONG_VERSION_NUMBER": PLAIN_PEER,
    "HTTP_REQUEST": "an HTTP request arrived, not TLS",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the caller showed no certificate",
    "UNSUPPORTED_PROTOCOL": "the peer speaks only TLS older than 1.2, which is refused",
    "NO_SHARED_CIPHER": "no cipher suite in common: the peer has none of the BCP 195 profile",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer wants a certificate of ours ([tls] certificate and key)",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority that signed our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer says that our certificate has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not accept our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "the peer does not let our certificate in",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer refuses TLS 1.2 and 1.3, and nothing older is spoken",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake: it has no cipher suite in common, or "
    "wants a certificate of ours",
    "UNEXPECTED_EOF_WHILE_READING": CLOSED,
}


def tls_words(problem: OSError) -> str:
    """Why TLS failed.

    Examples
    --------
    >>> tls_words(TimeoutError())
    'the TLS handshake was not done in time'
    """
    if isinstance(problem, ssl.SSLCertVerificationError):
        words = _VERIFY.get(problem.verify_code)
        return words or f"its certificate is not believed: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        reason = problem.reason or ""
        return _REASONS.get(reason) or f"TLS failed: {reason.lower().replace('_', ' ') or problem}"
    if isinstance(problem, TimeoutError):
        return "the TLS handshake was not done in time"
    if isinstance(problem, ConnectionResetError | BrokenPipeError):
        return CLOSED
    return problem.strerror or str(problem)
