"""A second structure, from a config alone: what it takes to train, and what its bundle can do."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spine_node import cli
from spine_node.errors import BundleRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.nifti import read_label_map, write_label_map, write_volume
from spine_node.segmentation.bundle import load_bundle
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.structures import StructureSegmenter
from spine_node.training.export import export
from spine_node.training.recipe import load_recipe
from spine_node.training.train import train

CONFIG = Path(__file__).parents[2] / "config/train-lower-limb.toml"
LEGS = {"femur": (1, 2, 60.0), "tibia": (3, 4, -60.0)}
"""Left value, right value, height of the middle above the knee, mm."""


def legs(seed, sides=(1, -1), spacing_mm=6.0):
    """Two thick and two thin, darker cylinders in two round legs, LPS; the left one is at +x."""
    rng = np.random.default_rng(seed)
    grid = Grid((44, 28, 56), [[0, 0, 6, -165], [0, 6, 0, -81], [6, 0, 0, -129], [0, 0, 0, 1]])
    x, y, z = np.moveaxis(grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    labels, body = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, bool)
    for side in sides:
        middle = side * (80 + rng.uniform(-8, 8))
        body |= (x - middle) ** 2 + y**2 < 62**2
        for left, right, height in LEGS.values():
            radius = 26 if height > 0 else 17
            bone = ((x - middle) ** 2 + y**2 < radius**2) & (abs(z - height) < 50)
            labels[bone] = left if side > 0 else right
    bright = np.array([0, 900, 900, 450, 450])[labels]
    values = np.where(body, 40.0, -1000.0) + bright + rng.normal(0, 20, grid.shape)
    return Volume(grid, values.astype(np.float32)), LabelMap(grid, labels)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The shipped config, made small, and three labelled scans."""
    home = tmp_path_factory.mktemp("limb")
    for seed in range(3):
        (home / "legs" / f"case{seed}").mkdir(parents=True)
        volume, truth = legs(seed)
        write_volume(volume, home / "legs" / f"case{seed}" / "ct.nii.gz")
        write_label_map(truth, home / "legs" / f"case{seed}" / "labels.nii.gz")
    text = CONFIG.read_text()
    for key, value in {
        "minutes": "0.02",
        "spacing_mm": "8.0",
        "patch": "[16, 16, 16]\nbatch = 2\nlearning_rate = 0.01\nwarm_up_steps = 5\naverage = 0.9\n"
        "workers = 0\nprecision = 'float32'\n[architecture]\nwidths = [12, 24]\nstem_stride = 1",
        "path": f'"{home}/legs"',
        "validate": '["case2"]',
        "attribution": '"Legs of the Example Study"',
        "licence": '"CC BY 4.0"',
    }.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert count == 1, key
    (home / "train.toml").write_text(text)
    return home / "train.toml"


@pytest.fixture(scope="module")
def bundle(config):
    """Trained for some steps, however long they take."""
    recipe = replace(load_recipe(config), minutes=600)
    checkpoint = train(config.parent / "run", recipe, device="cpu", max_steps=120)
    export(checkpoint, config.parent / "bundle", command="pytest")
    return config.parent / "bundle"


def test_one_command_trains_and_writes_a_bundle(config, tmp_path):
    command = ["train", "--config", str(config), "--run", str(tmp_path / "run"), "--device", "cpu"]
    told = CliRunner().invoke(cli.app, [*command, "--out", str(tmp_path / "bundle")])
    assert told.exit_code == 0, told.output
    assert load_bundle(tmp_path / "bundle").identity.name == "lower-limb"


def dice(found, truth, value):
    a, b = found == value, truth == value
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_its_label_map_has_the_configs_values_on_their_sides(bundle, tmp_path):
    volume, truth = legs(7)
    write_volume(volume, tmp_path / "ct.nii.gz")
    command = ["segment", str(tmp_path / "ct.nii.gz"), "--model", str(bundle), "--device", "cpu"]
    told = CliRunner().invoke(cli.app, [*command, "--out", str(tmp_path / "labels.nii.gz")])
    assert told.exit_code == 0, told.output
    assert not list(tmp_path.glob("*naming.json"))
    found = read_label_map(tmp_path / "labels.nii.gz").labels
    assert set(np.unique(found)) == {0, 1, 2, 3, 4}
    for value in (1, 2, 3, 4):
        assert dice(found, truth.labels, value) > 0.5, value


def test_its_metadata_and_card_say_what_it_is_and_whose_data_it_saw(bundle):
    loaded = load_bundle(bundle)
    assert not loaded.is_spine
    assert loaded.identity.name == "lower-limb"
    assert loaded.scheme.channels == {
        0: "background", 1: "femur_left", 2: "femur_right", 3: "tibia_left", 4: "tibia_right",
    }  # fmt: skip
    card = (bundle / "docs/README.md").read_text()
    assert "100 %: Legs of the Example Study. Licence: CC BY 4.0." in card
    assert "| 4 | tibia_right |" in card
    assert "vertebra" not in card
    assert (bundle / "docs/curve.png").stat().st_size > 1000


def test_the_node_does_not_measure_with_it(bundle):
    with pytest.raises(BundleRefused, match="segments femur, tibia: the node measures spines"):
        BundleSegmenter(bundle)


def test_a_single_leg_is_told_by_its_place_and_that_is_said(bundle):
    volume, _ = legs(8, sides=(-1,))
    result = StructureSegmenter(bundle, "cpu").segment(volume)
    assert set(np.unique(result.label_map.labels)) <= {0, 2, 4}
    assert "only one side is in view" in result.quality[0]
