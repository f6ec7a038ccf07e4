"""Structured logs on stderr: one line an event, by job and UID, never a patient's name."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import structlog

IDENTITY_KEYS = frozenset({"PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "patient"})
"""Keys that no log line may carry; the value is replaced, so that a slip stays private."""


def _without_identity(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    for key in IDENTITY_KEYS & event.keys():
        event[key] = "(withheld)"
    return event


_encoder = json.JSONEncoder(default=repr)
"""Made once: there is a line for every instance that comes."""


def _as_json(event: dict[str, Any], **_options: Any) -> str:
    return _encoder.encode(event)


class _Stderr:
    """Whatever `sys.stderr` is when a line is written: it may have been replaced, and the old one closed."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(level: str = "INFO", *, json_lines: bool | None = None) -> None:
    """Send structured logs to stderr.

    Parameters
    ----------
    level : str
        A name of the `logging` module.
    json_lines : bool, optional
        One JSON object a line; by default exactly when stderr is not a terminal.
    """
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_identity,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_as_json) if as_json else structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> Any:
    """A structured logger: `logger("scp").info("instance_received", sop_instance_uid=uid)`."""
    return structlog.get_logger(module=name)
