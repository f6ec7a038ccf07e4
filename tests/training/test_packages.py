"""A training machine may have little besides torch: what `python -m spine_node.training` may import."""

import json
import os
import subprocess
import sys
from pathlib import Path

from spine_node.segmentation.bundle import load_bundle

ROOT = Path(__file__).parents[2]

BLOCKED = (
    "monai pydicom pynetdicom highdicom nibabel cc3d trimesh sqlalchemy dbos structlog pydantic typer skimage"
)

ENTRY = f"""
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
runpy.run_module("spine_node.training", run_name="__main__", alter_sys=True)
"""

CONFIG = """
minutes = 0.03
spacing_mm = 8.0
patch = [16, 16, 16]
cases_at_start = 1
workers = 0
[architecture]
widths = [4, 8]
stem_stride = 1
[validation]
every_minutes = 0.05
patches = 2
[[streams]]
kind = "phantom"
count = 1
validate = 1
fields = { lumbopelvic = 1 }
"""


def test_phantoms_nets_and_bundles_need_none_of_the_nodes_packages(tmp_path):
    """Made, trained on, validated and exported without DICOM, MONAI, pydantic, structlog and the like."""
    (tmp_path / "train.toml").write_text(CONFIG)
    (tmp_path / "entry.py").write_text(ENTRY)
    command = [sys.executable, tmp_path / "entry.py", "--config", tmp_path / "train.toml", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--run", tmp_path / "run", "--out", tmp_path / "bundle"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").is_spine
    lines = [json.loads(line) for line in (tmp_path / "run/curve.jsonl").read_text().splitlines()]
    assert lines[-1]["dice"]


def test_a_config_that_cannot_be_used_ends_with_its_own_status(tmp_path):
    (tmp_path / "train.toml").write_text("minuts = 3")
    done = subprocess.run(
        [sys.executable, "-m", "spine_node.training", "--config", tmp_path / "train.toml"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "did you mean minutes?" in done.stderr
