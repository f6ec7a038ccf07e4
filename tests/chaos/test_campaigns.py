"""The kill campaign itself, short, and that its laws see what they are to see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.chaos.laws import digest_of, judge
from tests.chaos.site import Site
from tests.chaos.studies import Phantom


def test_a_node_killed_while_studies_stream_in_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.chaos.kill",
        "--kills",
        "6",
        "--seed",
        "11",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^(\d+) kills done", done.stdout, re.MULTILINE)[1]) >= 6  # type: ignore[index]
    assert "BROKEN" not in done.stdout


def test_the_laws_see_what_they_are_to_see(tmp_path: Path) -> None:
    """An instance that is gone, and one with other bytes, at a node that has seen nothing."""
    phantom = Phantom(tmp_path)
    site = Site(tmp_path / "site", phantom.labels)
    try:
        few = phantom.study("few")
        gone, kept, changed = few.paths[:3]
        folder = site.inbox / "done" / few.series_uid
        folder.mkdir(parents=True)
        (folder / kept.name).write_bytes(kept.read_bytes())
        (folder / changed.name).write_bytes(changed.read_bytes()[:-2] + b"zz")
        verdicts = judge(site, [few], {p.stem: p for p in (gone, kept, changed)}, {})
    finally:
        site.stop()
    broken = {verdict.law: verdict.broken for verdict in verdicts if verdict.broken}
    lost, strange = broken["acknowledged instances are kept, byte for byte"]
    assert gone.stem in lost
    assert changed.stem in strange
    assert "is not in the ledger" in broken["every study ends as it must, with its reason"][0]
    assert digest_of(gone) != digest_of(kept)
