"""deploy/spine-node.service: a plain user, an install that it cannot change (test_bar.py runs one)."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "spine-node.service"


def setting(key: str) -> str:
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(UNIT)
    return unit["Service"][key]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "spine-node"),
        ("UMask", "0077"),
        ("NoNewPrivileges", "true"),
        ("ProtectSystem", "strict"),
        ("ReadWritePaths", "/var/lib/spine-node"),
        ("ProtectHome", "true"),
        ("PrivateTmp", "true"),
        ("CapabilityBoundingSet", ""),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("Restart", "always"),
    ],
)
def test_the_unit_gives_the_node_no_more_than_it_needs(key: str, value: str) -> None:
    assert setting(key) == value


@pytest.mark.systemd
def test_systemd_finds_the_unit_well_protected() -> None:
    """Its own measure: 0 is nothing exposed, 10 everything; below 3 is what it calls OK."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
