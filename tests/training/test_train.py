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

from spine_node.errors import BundleRefused, ConfigRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import load_bundle, start_weights
from spine_node.segmentation.classes import Structure
from spine_node.training import train as module
from spine_node.training.export import export
from spine_node.training.recipe import Recipe, Validation
from spine_node.training.samples import CaseStore
from spine_node.training.train import CHECKPOINT, CURVE, batch_on_gpu, read_checkpoint, train
from tests.training.toy_stream import ToyStream

SMALL = Recipe(
    architecture=Architecture(widths=(8, 16), fine=8),
    spacing_mm=8.0,
    patch=(24, 24, 24),
    # A long budget, so that a busy machine's clock does not bend the learning rate within these steps.
    minutes=600,
    learning_rate=4e-3,
    warm_up_steps=3,
    average=0.8,
    cases_at_start=2,
    save_every_s=0.2,
    workers=0,
    precision="float32",
    streams=(ToyStream(validate=1),),
    validation=Validation(every_minutes=0, patches=2),
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    CaseStore(folder, SMALL.streams, SMALL.spacing_mm, workers=0).refresh()
    return folder


@pytest.fixture
def run_dir(tmp_path, cases):
    (tmp_path / "cases").symlink_to(cases)
    return tmp_path


def run(folder, steps, recipe=SMALL, **options):
    return train(folder, recipe, device="cpu", max_steps=steps, **options)


def records(folder):
    return [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls(run_dir, precision):
    run(run_dir, 20, replace(SMALL, precision=precision))
    loss = [r["loss"] for r in records(run_dir)]
    assert len(loss) == 20
    assert np.mean(loss[-5:]) < 0.9 * np.mean(loss[:5])
    assert (run_dir / "curve.png").stat().st_size > 1000


def test_a_trunk_at_the_input_spacing_learns_and_becomes_a_bundle(run_dir):
    recipe = replace(SMALL, architecture=Architecture(widths=(8, 16), fine=8, stem_stride=1))
    export(run(run_dir, 30, recipe), run_dir / "bundle", command="pytest")
    loss = [r["loss"] for r in records(run_dir)]
    assert np.mean(loss[-8:]) < 0.9 * np.mean(loss[:8])
    assert load_bundle(run_dir / "bundle").fine.network().architecture == recipe.architecture


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


def test_data_that_shaped_the_weights_stay_in_the_card(run_dir):
    """Also when the run went on with other streams: who gave scans is owed a word."""
    run(run_dir, 2)
    other = replace(SMALL, streams=(ToyStream(name="others", validate=1),), weight_decay=0.5)
    checkpoint = run(run_dir, 3, other)
    export(checkpoint, run_dir / "bundle", command="pytest")
    data = json.loads((run_dir / "bundle/configs/metadata.json").read_text())["training"]["data"]
    assert len(data) == 2
    assert data[0].startswith("Until step 2, at 8 mm: ")
    assert read_checkpoint(checkpoint)["optimiser"]["param_groups"][0]["weight_decay"] == 0.5


@pytest.mark.parametrize("role", ["fine", "context"])
def test_a_run_starts_from_what_a_bundle_has_learned(run_dir, tmp_path_factory, role):
    recipe = replace(SMALL, role=role)
    bundle = run_dir / "bundle"
    export(run(run_dir, 12, recipe), bundle, command="pytest")
    later = tmp_path_factory.mktemp("later")
    (later / "cases").symlink_to(run_dir / "cases")
    further = replace(recipe, start=bundle, learning_rate=1e-9)
    checkpoint = run(later, 1, further)
    first, second = records(run_dir)[0]["loss"], records(later)[0]["loss"]
    assert second < 0.9 * first
    _, weights = start_weights(bundle, role)
    average = read_checkpoint(checkpoint)["average"]
    assert all(torch.allclose(average[key], value, atol=1e-5) for key, value in weights.items())
    export(checkpoint, later / "bundle", command="pytest")
    said = json.loads((later / "bundle/configs/metadata.json").read_text())
    data = (said if role == "fine" else said["context"])["training"]["data"]
    assert data[0].startswith(f"Started from the {role} net of {recipe.name} {recipe.version} (12 steps")
    assert len(data) == 2


def test_a_bundle_of_another_architecture_is_not_started_from(run_dir, tmp_path_factory):
    bundle = run_dir / "bundle"
    export(run(run_dir, 1), bundle, command="pytest")
    wider = replace(SMALL, start=bundle, architecture=Architecture(widths=(8, 24), fine=8))
    with pytest.raises(ConfigRefused, match="another architecture"):
        run(tmp_path_factory.mktemp("other"), 1, wider)
    with pytest.raises(BundleRefused, match="no context net"):
        run(tmp_path_factory.mktemp("role"), 1, replace(SMALL, start=bundle, role="context"))


def test_the_process_keeps_its_threads(run_dir):
    before = torch.get_num_threads()
    run(run_dir, 1, replace(SMALL, workers=1))
    assert torch.get_num_threads() == before


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
    deadline = time.monotonic() + 600
    while not (run_dir / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    at_kill = read_checkpoint(run_dir / CHECKPOINT)["step"]
    assert at_kill > 0
    export(run_dir / CHECKPOINT, run_dir / "bundle", command="killed")
    assert load_bundle(run_dir / "bundle").fine.network() is not None
    assert read_checkpoint(run(run_dir, at_kill + 2))["step"] == at_kill + 2
    assert [r["step"] for r in records(run_dir)] == list(range(1, at_kill + 3))


def test_the_budget_ends_the_run(run_dir):
    recipe = replace(SMALL, minutes=0.03)
    run(run_dir, None, recipe)
    assert read_checkpoint(run_dir / CHECKPOINT)["seconds"] >= 0.03 * 60
    steps = len(records(run_dir))
    run(run_dir, None, recipe)
    assert len(records(run_dir)) == steps


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, architecture=Architecture(widths=(4, 8), fine=4)),
        replace(SMALL, labels=tuple(Structure(f"bone{k}", value=k) for k in range(1, 6))),
        replace(SMALL, role="context"),
    ],
)
def test_a_checkpoint_of_another_net_is_refused(run_dir, other):
    run(run_dir, 1)
    with pytest.raises(ConfigRefused, match="another role, architecture or label list"):
        run(run_dir, 2, recipe=other)


def test_streams_that_show_nothing_say_so(tmp_path):
    with pytest.raises(ConfigRefused, match=r"no case in .* shows anything to learn: of 1"):
        run(tmp_path, 1, replace(SMALL, streams=(ToyStream(count=1, empty=(0,)),)))


def test_looking_at_held_out_cases_changes_nothing_of_the_training(run_dir, tmp_path_factory):
    """Validation after every step or never: the same weights to the last bit."""
    other = tmp_path_factory.mktemp("often")
    (other / "cases").symlink_to(run_dir / "cases")
    plain = read_checkpoint(run(run_dir, 3, replace(SMALL, minutes=1e9)))["network"]
    often = replace(SMALL, minutes=1e9, validation=Validation(every_minutes=1e-9, patches=2))
    seen = read_checkpoint(run(other, 3, often))["network"]
    assert all(torch.equal(seen[name], weights) for name, weights in plain.items())
    dice = [r["dice"] for r in records(other)]
    assert len(dice) == 3
    assert 0 <= dice[-1]["vertebral_body"] <= 1


def test_patches_made_ahead_by_threads_teach_the_same(run_dir, tmp_path_factory, monkeypatch):
    """As beside a GPU: a step's batch follows from its number, whoever makes it and when."""
    other = tmp_path_factory.mktemp("ahead")
    (other / "cases").symlink_to(run_dir / "cases")
    steady = replace(SMALL, minutes=1e9, batch=2)
    inline = read_checkpoint(run(run_dir, 4, steady))["network"]
    monkeypatch.setattr(module, "_patch_threads", lambda *_: 2)
    ahead = read_checkpoint(run(other, 4, steady))["network"]
    assert all(torch.equal(ahead[name], weights) for name, weights in inline.items())


def test_a_resumed_run_says_that_it_is_one(run_dir, capsys):
    run(run_dir, 2)
    assert "resumed" not in capsys.readouterr().err
    run(run_dir, 3)
    assert "after step 2" in " ".join(capsys.readouterr().err.split())


def test_the_summary_says_what_the_time_went_on(run_dir):
    run(run_dir, 5)
    (line,) = (run_dir / "summary.json").read_text().splitlines()
    summary = json.loads(line)
    assert summary["steps"] == 5
    assert summary["patches_per_s"] == pytest.approx(summary["steps_per_s"], rel=0.01)
    assert 0 < summary["share"]["learning"] < sum(summary["share"].values()) <= 1.01
    assert "CPU" in summary["device"]


def test_a_gpu_that_is_not_there_is_said_in_words(run_dir, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigRefused, match="sees no GPU on this machine"):
        train(run_dir, SMALL, device="cuda")


def test_a_larger_gpu_takes_more_patches_until_enough():
    sizes = [batch_on_gpu(Recipe(), gib * 2**30) for gib in (1, 8, 24, 80)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == 16
    assert batch_on_gpu(replace(Recipe(), batch_gpu=3), 2**30) == 3
