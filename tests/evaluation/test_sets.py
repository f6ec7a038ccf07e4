import subprocess
import sys

import pytest

from spine_node.errors import ConfigRefused
from spine_node.evaluation.sets import WHAT, chosen
from tests.evaluation.test_references import write_scan


def test_sets_are_chosen_by_name_or_by_folder(tmp_path):
    write_scan(tmp_path / "a")
    none = {"real": None, "standing": None, "templates": None}
    assert chosen([], none, count=2, spacing_mm=3).keys() == {"synthetic"}
    assert chosen([], none | {"real": tmp_path}, count=2, spacing_mm=3).keys() == {"real"}
    both = chosen(["stress", "synthetic"], none | {"standing": tmp_path}, count=2, spacing_mm=3)
    assert {name: len(cases) for name, cases in both.items()} == {"stress": 2, "synthetic": 2, "standing": 1}
    with pytest.raises(ConfigRefused, match="there is no set 'rael'"):
        chosen(["rael"], none, count=2, spacing_mm=3)


def test_scans_that_were_trained_on_are_a_set_of_their_own(tmp_path):
    for name in ("a", "b"):
        write_scan(tmp_path / name)
    folders = {"real": tmp_path}
    sets = chosen([], folders, count=1, spacing_mm=3, trained_on=["a"])
    assert {name: [(c.group, c.name) for c in cases] for name, cases in sets.items()} == {
        "real": [("real", "b")],
        "trained": [("trained", "a")],
    }
    assert chosen([], folders, count=1, spacing_mm=3, trained_on=["a", "b"]).keys() == {"trained"}
    with pytest.raises(ConfigRefused, match="no scan is called c"):
        chosen([], folders, count=1, spacing_mm=3, trained_on=["c"])


def test_a_folder_without_scans_ends_the_command_before_any_model_is_read(tmp_path):
    """Exit status 3, the reason on stderr, nothing written."""
    command = [
        sys.executable,
        "-m",
        "spine_node",
        "evaluate",
        "--real",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 3
    assert "holds no scan to evaluate on" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


def test_every_set_says_what_it_is():
    assert WHAT.keys() == {"synthetic", "stress", "templates", "real", "crop", "standing", "trained"}
    assert all("not the truth" in WHAT[name] for name in ("real", "crop", "standing"))
