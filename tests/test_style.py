"""The house rules that a machine can check: floors, style, types, fast starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_imports_point_down() -> None:
    """The floors of pyproject.toml, exhaustive: a stray top-level module fails too."""
    _run(str(TOOLS / "lint-imports"), "--no-cache")


def test_the_style_is_kept() -> None:
    _run(str(TOOLS / "ruff"), "check", "--no-cache", ".")


def test_the_layout_is_kept() -> None:
    _run(str(TOOLS / "ruff"), "format", "--check", "--no-cache", ".")


def test_the_core_four_are_typed_strictly() -> None:
    _run(str(TOOLS / "mypy"), "--no-incremental")


@pytest.mark.parametrize(
    "module", ["spine_node.cli", "spine_node.network.scp", "spine_node.node", "spine_node.demo"]
)
def test_what_starts_first_starts_without_the_heavy_packages(module: str) -> None:
    """The receiving process must be up in a second, and --help at once."""
    heavy = {"torch", "monai", "highdicom", "matplotlib", "trimesh", "skimage"}
    code = f"import sys, {module}; print(*sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_every_command_teaches(tmp_path: Path) -> None:
    """--help of the whole and of each command, without a config and outside the repository."""
    help_text = subprocess.run(
        [sys.executable, "-m", "spine_node", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    for command in (
        "serve",
        "studies",
        "study",
        "retry",
        "forget",
        "analyse",
        "segment",
        "measure",
        "phantom",
        "train",
        "evaluate",
        "annotate",
        "check",
        "demo",
        "report",
        "print",
    ):
        assert command in help_text
        own = subprocess.run(
            [sys.executable, "-m", "spine_node", command, "--help"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        ).stdout  # fmt: skip
        assert len(own) > 300, f"the help of {command} teaches nothing:\n{own}"
