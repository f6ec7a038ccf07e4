import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from spine_node.segmentation.bundle import load_bundle
from spine_node.segmentation.networks import Architecture
from spine_node.training.export import export
from spine_node.training.samples import make_case
from spine_node.training.train import CHECKPOINT, CURVE, Recipe, read_checkpoint, train
from tests.segmentation.toy_spine import toy_case

SMALL = Recipe(
    architecture=Architecture(widths=(8, 16, 24), fine=8),
    spacing_mm=6.0,
    patch=(32, 32, 32),
    learning_rate=4e-3,
    warm_up_steps=3,
    average=0.8,
    cases=2,
    cases_at_start=2,
    save_every_s=0.2,
)


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "cases").mkdir()
    for seed in range(2):
        make_case(seed, tmp_path / "cases", SMALL.spacing_mm, toy_case)
    return tmp_path


def run(folder, steps, recipe=SMALL, **options):
    # A long budget, so that a busy machine's clock does not bend the learning rate within these steps.
    return train(folder, minutes=600, workers=0, device="cpu", recipe=recipe, max_steps=steps, **options)


def records(folder):
    return [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]


def test_the_loss_falls(run_dir):
    run(run_dir, 20)
    loss = [r["loss"] for r in records(run_dir)]
    assert len(loss) == 20
    assert np.mean(loss[-5:]) < 0.9 * np.mean(loss[:5])
    assert (run_dir / "curve.png").stat().st_size > 1000


def test_a_trunk_at_the_input_spacing_learns_and_becomes_a_bundle(run_dir):
    recipe = replace(
        SMALL, architecture=Architecture(widths=(8, 16), fine=8, stem_stride=1), patch=(18, 18, 18)
    )
    export(run(run_dir, 12, recipe), run_dir / "bundle", version="0", command="pytest")
    loss = [r["loss"] for r in records(run_dir)]
    assert np.mean(loss[-4:]) < 0.9 * np.mean(loss[:4])
    assert load_bundle(run_dir / "bundle").network().architecture == recipe.architecture


def test_a_resumed_run_goes_on_where_it_was(run_dir):
    """Steps, time and weights continue; the curve has every step once."""
    before = read_checkpoint(run(run_dir, 4))
    after = read_checkpoint(run(run_dir, 6))
    assert (before["step"], after["step"]) == (4, 6)
    assert after["seconds"] > before["seconds"]
    assert [r["step"] for r in records(run_dir)] == [1, 2, 3, 4, 5, 6]


def test_a_run_cut_in_two_learns_what_an_unbroken_one_learns(run_dir, tmp_path_factory):
    """Same seed, same steps: only the clock differs, and with it the learning rate by a hair."""
    other = tmp_path_factory.mktemp("unbroken")
    (other / "cases").symlink_to(run_dir / "cases")
    run(run_dir, 3)
    cut = read_checkpoint(run(run_dir, 6))["network"]
    whole = read_checkpoint(run(other, 6))["network"]
    for name, weights in whole.items():
        assert torch.allclose(cut[name], weights, atol=5e-3), name


def test_a_new_start_forgets(run_dir):
    run(run_dir, 4)
    assert read_checkpoint(run(run_dir, 2, resume=False))["step"] == 2
    assert [r["step"] for r in records(run_dir)] == [1, 2]


def test_a_killed_run_leaves_a_checkpoint_that_can_be_used_and_resumed(run_dir):
    """SIGKILL in the midst of training; what it wrote is whole."""
    code = (
        "import sys; from pathlib import Path; from tests.training.test_train import run;"
        "run(Path(sys.argv[1]), 100000)"
    )
    victim = subprocess.Popen([sys.executable, "-c", code, str(run_dir)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run_dir / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    at_kill = read_checkpoint(run_dir / CHECKPOINT)["step"]
    assert at_kill > 0
    export(run_dir / CHECKPOINT, run_dir / "bundle", version="0", command="killed")
    assert load_bundle(run_dir / "bundle").network() is not None
    assert read_checkpoint(run(run_dir, at_kill + 2))["step"] == at_kill + 2
    assert [r["step"] for r in records(run_dir)] == list(range(1, at_kill + 3))


def test_the_budget_ends_the_run(run_dir):
    begun = time.monotonic()
    train(run_dir, minutes=0.03, workers=0, device="cpu", recipe=SMALL)
    assert time.monotonic() - begun < 30
    assert read_checkpoint(run_dir / CHECKPOINT)["seconds"] >= 0.03 * 60


def test_a_checkpoint_of_another_architecture_is_refused(run_dir):
    run(run_dir, 1)
    other = Recipe(architecture=Architecture(widths=(4, 8), fine=4), spacing_mm=6.0, patch=(32, 32, 32))
    with pytest.raises(ValueError, match="another architecture"):
        run(run_dir, 2, recipe=other)


def test_training_without_any_case_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no training case"):
        run(tmp_path, 1)
