"""One word or folder, one segmenter: what a config or a command names is what runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from spine_node.errors import BundleRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import (
    DEFAULT_BUNDLE,
    INFERENCE,
    METADATA,
    WEIGHTS,
    load_bundle,
    sha256_of,
)
from spine_node.segmentation.classes import Scheme, Structure
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.monai_bundle import MonaiSegmenter
from spine_node.segmentation.networks import SpineNet
from spine_node.segmentation.plug import identity_of, load_segmenter
from tests.segmentation.test_monai_bundle import rewrite, write_bundle


@pytest.fixture
def limb_bundle(tmp_path: Path) -> Path:
    """A bundle of the project's own kind with another label list, its net untrained."""
    folder = tmp_path / "limb"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    architecture = Architecture(widths=(4, 8), semantic=3, levels=0, fine=4)
    save_file(SpineNet(architecture).state_dict(), folder / WEIGHTS)
    labels = [{"name": "tibia", "left": 1, "right": 2}, {"name": "plate", "value": 3}]
    scheme = Scheme.of([Structure(**entry) for entry in labels])
    metadata = {
        "name": "limb",
        "version": "1",
        "spacing_mm": 3.0,
        "network": architecture.to_dict(),
        "labels": labels,
        "sha256": {str(WEIGHTS): sha256_of(folder / WEIGHTS)},
        "network_data_format": {"outputs": {"label_map": {"channel_def": scheme.channels}}},
    }
    (folder / METADATA).write_text(json.dumps(metadata))
    (folder / INFERENCE).write_text(json.dumps({"patch": [16, 16, 16], "overlap": 0.25}))
    return folder


def test_the_projects_bundle_goes_by_its_name() -> None:
    assert identity_of("spinenet") == load_bundle(DEFAULT_BUNDLE).identity


def test_a_bundle_of_the_projects_own_kind_is_loaded_as_one(tiny_bundle: Path) -> None:
    segmenter = load_segmenter(tiny_bundle, "cpu")
    assert isinstance(segmenter, BundleSegmenter)
    assert segmenter.identity == identity_of(tiny_bundle) == identity_of(str(tiny_bundle))


def test_a_bundle_of_monais_kind_is_loaded_as_one(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "theirs")
    segmenter = load_segmenter(str(bundle), "cpu")
    assert isinstance(segmenter, MonaiSegmenter)
    assert segmenter.identity == identity_of(bundle)


def test_neither_a_name_nor_a_folder_is_refused_with_the_names() -> None:
    with pytest.raises(BundleRefused, match="spinenet, totalsegmentator, totalsegmentator-fast"):
        load_segmenter("totalsegmenter")


def test_a_bundle_of_something_else_makes_label_maps_but_is_not_measured(
    limb_bundle: Path,
) -> None:
    segmenter = load_segmenter(limb_bundle, "cpu", any_structure=True)
    assert segmenter.identity == load_bundle(limb_bundle).identity
    for refuse in (load_segmenter, identity_of):
        with pytest.raises(BundleRefused, match="the node measures spines and cannot use it"):
            refuse(limb_bundle)


def test_a_monai_bundle_that_is_broken_is_refused_before_a_node_starts(tmp_path: Path) -> None:
    bundle = rewrite(write_bundle(tmp_path / "theirs"), "metadata", lambda c: c.pop("network_data_format"))
    with pytest.raises(BundleRefused, match="no channel map"):
        identity_of(bundle)


def test_the_receiving_process_knows_the_model_without_torch(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "theirs")
    code = (
        "import sys; from spine_node.segmentation.plug import identity_of; from pathlib import Path;"
        f"identity_of(Path({str(bundle)!r}));"
        "sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
