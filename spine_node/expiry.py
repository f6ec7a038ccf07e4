"""Warns once a day, in the log, that our certificate will soon be over."""

from __future__ import annotations

import time

from spine_node.config import TlsSettings
from spine_node.errors import ConfigRefused
from spine_node.logs import logger
from spine_node.network.tls import certificate_facts, expiry_warning

LOOK_EVERY_S = 86400.0

log = logger("tls")


class CertificateWatch:
    """Looks at the certificate of [tls] at the start of the node and once a day."""

    def __init__(self, tls: TlsSettings) -> None:
        self._tls, self._next = tls, 0.0

    def look(self) -> None:
        """Warn, if it is time to; does nothing most of the time."""
        if not self._tls.certificate or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_EVERY_S
        try:
            facts = certificate_facts(self._tls.certificate)
        except ConfigRefused as problem:
            log.error("certificate_unreadable", reason=str(problem))
            return
        if warning := expiry_warning(facts, self._tls.warn_days):
            write = log.error if facts.days_left < 0 else log.warning
            write("certificate_expiry", certificate=self._tls.certificate, reason=warning)
