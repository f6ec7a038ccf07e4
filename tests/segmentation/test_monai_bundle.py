"""Bundles of others, made here, small and real: the code that loads and runs them is the node's own."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from safetensors.torch import save_file

from spine_node.errors import BundleRefused, SeriesRefused
from spine_node.imaging.volume import Grid, Volume
from spine_node.segmentation.monai_bundle import MonaiSegmenter, scaled, target_grid
from spine_node.segmentation.monai_config import load_monai_bundle

CHANNELS = {"0": "background", "1": "spleen", "2": "vertebrae_L5", "3": "sacrum", "4": "hip_left"}

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "@classes",
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 0,
}


def write_bundle(folder: Path, *, torch_file: bool = False) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    torch.manual_seed(0)
    net = UNet(3, 1, len(CHANNELS), channels=[4, 8], strides=[2], num_res_units=0)
    biases = [p for p in net.parameters() if p.shape == (len(CHANNELS),)]
    assert len(biases) == 1
    biases[0].data[2] = 50  # random but for one thing: it sees L5 everywhere
    weights = folder / "models" / ("model.pt" if torch_file else "model.safetensors")
    if torch_file:
        torch.save(net.state_dict(), weights)
    else:
        save_file(net.state_dict(), weights)
    metadata: dict[str, Any] = {
        "name": "somebody's net",
        "version": "0.3.1",
        "sha256": {f"models/{weights.name}": hashlib.sha256(weights.read_bytes()).hexdigest()},
        "network_data_format": {"outputs": {"pred": {"channel_def": CHANNELS}}},
    }
    inference: dict[str, Any] = {
        "imports": ["$import os"],
        "device": "$torch.device('cuda:0')",
        "classes": len(CHANNELS),
        "network_def": NETWORK,
        "network": "$@network_def.to(@device)",
        "pixdim": [3.0, 3.0, 3.0],
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
                {"_target_": "monai.transforms.ScaleIntensityRanged", "keys": "image", "a_min": -200,
                 "a_max": 1300, "b_min": 0.0, "b_max": 1.0, "clip": True},
            ],
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.25},
    }  # fmt: skip
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def rewrite(bundle: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = bundle / "configs" / f"{name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return bundle


def refused(bundle: Path, match: str) -> None:
    with pytest.raises(BundleRefused, match=match):
        MonaiSegmenter(bundle, "cpu")


def test_a_whole_bundle_says_which_model_it_is_and_what_it_sees(bundle: Path) -> None:
    found = load_monai_bundle(bundle)
    assert (found.identity.name, found.identity.version) == ("somebody's net", "0.3.1")
    assert found.identity.sha256 == hashlib.sha256(found.weights.read_bytes()).hexdigest()
    assert found.values == {2: 24, 3: 26, 4: 29}
    assert (found.spacing_mm, found.axcodes, found.roi_size) == ((3.0, 3.0, 3.0), "RAS", (16, 16, 16))
    assert found.arguments["out_channels"] == 5
    assert found.quality == ()


class Corner(torch.nn.Module):
    """Stands where the net does: calls dense what is above 0.5, L5 on its array's first half, else sacrum."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        dense = (image[:, 0] > 0.5).float()
        half = (image[:, 0] > 0.8).float()
        none = torch.zeros_like(dense)
        return 20 * torch.stack([1 - dense, none, dense - half, half, none], dim=1)


@pytest.mark.parametrize("flipped", [False, True])
def test_structures_land_where_they_are_whatever_the_grid(bundle: Path, flipped: bool) -> None:
    """An asymmetric thing on an oblique-ordered grid comes back in its own voxels."""
    segmenter = MonaiSegmenter(bundle, "cpu")
    segmenter._network = Corner()
    values = np.full((30, 26, 22), -500.0, np.float32)
    values[4:14, 5:15, 3:11] = 800  # scaled to 0.67: L5
    values[18:28, 12:22, 9:19] = 1300  # scaled to 1: the sacrum
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -3.0], [0, 3.0, 0], [3.0, 0, 0]] if flipped else np.diag([3.0] * 3))
    affine[:3, 3] = [12, -40, 7]
    found = segmenter.segment(Volume(Grid(values.shape, affine), values))
    inside = (slice(5, 13), slice(6, 14), slice(4, 10))
    assert (found.label_map.labels[inside] == 24).all()
    assert (found.label_map.labels[19:27, 13:21, 10:18] == 26).all()
    assert (found.label_map.labels == 24).sum() == pytest.approx(800, rel=0.25)
    assert found.label_map.grid is not None
    assert found.model == segmenter.identity


def test_the_real_net_runs_through_windows(bundle: Path) -> None:
    """Nothing is stood in for: weights from the file, MONAI's net, MONAI's windows."""
    values = np.random.default_rng(0).normal(300, 400, (40, 30, 50)).astype(np.float32)
    said: list[float] = []
    volume = Volume(Grid((40, 30, 50), np.diag([2.0, 2, 2, 1])), values)
    found = MonaiSegmenter(bundle, "cpu").segment(volume, lambda done, _words: said.append(done))
    assert found.label_map.grid is volume.grid
    assert (found.label_map.labels == 24).all()
    assert said == sorted(said)
    assert said[-1] == 1


def test_a_volume_without_a_vertebra_is_refused(bundle: Path) -> None:
    segmenter = MonaiSegmenter(bundle, "cpu")
    segmenter._network = Corner()
    empty = Volume(Grid((20, 20, 20), np.diag([3.0, 3, 3, 1])), np.full((20, 20, 20), -900.0, np.float32))
    with pytest.raises(SeriesRefused, match="somebody's net sees no vertebra"):
        segmenter.segment(empty)


def test_axes_are_those_that_monai_means() -> None:
    """RAS: the first array axis runs to the right, so LPS x falls along it."""
    grid = target_grid(Grid((10, 20, 30), np.eye(4)), "RAS", (1.0, 2.0, 3.0))
    assert grid.affine[:3, :3].tolist() == [[-1, 0, 0], [0, -2, 0], [0, 0, 3]]
    assert grid.to_mm((0, 0, 0))[0] == pytest.approx(9)
    assert target_grid(grid, "SPL", (1, 1, 1)).affine[:3, :3].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_grey_values_are_scaled_as_monai_scales_them() -> None:
    image = np.array([[[-200.0, 550.0, 5000.0]]], np.float32)
    arguments = {"a_min": -200, "a_max": 1300, "b_min": 0.0, "b_max": 1.0, "clip": True}
    assert scaled(image, "ScaleIntensityRanged", arguments).ravel().tolist() == [0, 0.5, 1]
    with pytest.raises(BundleRefused, match="ScaleIntensityRanged of the bundle cannot be used"):
        scaled(image, "ScaleIntensityRanged", {"minimum": 3})


def test_a_wrong_checksum_is_refused(bundle: Path) -> None:
    path = bundle / "models" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    refused(bundle, r"SHA-256 .* expected .* only partly copied")


def test_a_checksum_beside_the_weights_counts_too(bundle: Path) -> None:
    rewrite(bundle, "metadata", lambda c: c.pop("sha256"))
    (bundle / "models" / "model.safetensors.sha256").write_text("0" * 64 + "  model.safetensors\n")
    refused(bundle, "expected 0000000000000000")


def test_a_bundle_without_a_checksum_says_so_in_every_report(bundle: Path) -> None:
    rewrite(bundle, "metadata", lambda c: c.pop("sha256"))
    found = load_monai_bundle(bundle)
    assert found.identity.sha256 == hashlib.sha256(found.weights.read_bytes()).hexdigest()
    assert "names no checksum" in found.quality[0]


def test_a_missing_channel_map_is_refused_with_what_to_add(bundle: Path) -> None:
    rewrite(bundle, "metadata", lambda c: c.pop("network_data_format"))
    refused(bundle, r'no channel map.*"spine_node": \{"label_map"')
    rewrite(
        bundle,
        "metadata",
        lambda c: c.update(spine_node={"label_map": {"2": "L5", "3": "sacrum", "4": "liver"}}),
    )
    refused(bundle, "'liver': no structure of ours")
    rewrite(
        bundle,
        "metadata",
        lambda c: c.update(spine_node={"label_map": {"1": "L4 body", "4": "L4_posterior"}}),
    )
    assert load_monai_bundle(bundle).values == {1: 23, 4: 123}


def test_a_net_of_other_organs_is_refused(bundle: Path) -> None:
    rewrite(
        bundle, "metadata", lambda c: c.update(spine_node={"label_map": {"0": "background", "1": "sacrum"}})
    )
    refused(bundle, "names no vertebra")


def test_the_channel_map_of_another_net_is_refused(bundle: Path) -> None:
    outputs = {"pred": {"channel_def": CHANNELS | {"5": "vertebrae_L4"}}}
    rewrite(bundle, "metadata", lambda c: c.update(network_data_format={"outputs": outputs}))
    refused(bundle, "names 6 channels, but its net has 5")


@pytest.mark.parametrize("pixdim", [[0.01, 3, 3], [3, 3], "thick", [30.0, 30.0, 30.0], None])
def test_a_wrong_spacing_is_refused(bundle: Path, pixdim: object) -> None:
    rewrite(bundle, "inference", lambda c: c.update(pixdim=pixdim))
    refused(bundle, r"0.5 to 8 mm can be used")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("TopologySearch", "not built here"),
        ("os.system", "'os.system', which is not built here"),
        ("somebody.nets.UNet", "only AttentionUnet"),
    ],
)
def test_an_unknown_network_is_refused_by_its_name(bundle: Path, target: str, said: str) -> None:
    rewrite(bundle, "inference", lambda c: c["network_def"].update(_target_=target))
    refused(bundle, said)


def test_an_unknown_preparation_is_refused_by_its_name(bundle: Path) -> None:
    step = {"_target_": "HistogramNormalized", "keys": "image"}
    rewrite(bundle, "inference", lambda c: c["preprocessing"]["transforms"].append(step))
    refused(bundle, "prepares images with HistogramNormalized")


@pytest.mark.parametrize("step", ["@extra", "$monai.transforms.Lambdad('image', f)"])
def test_a_preparation_that_is_no_plain_entry_is_refused_not_skipped(bundle: Path, step: str) -> None:
    rewrite(bundle, "inference", lambda c: c["preprocessing"]["transforms"].append(step))
    refused(bundle, "what that does is not known here")


@pytest.mark.parametrize("form", ["x", {"outputs": ["pred"]}])
def test_a_misshapen_channel_map_is_refused_as_a_missing_one(bundle: Path, form: object) -> None:
    rewrite(bundle, "metadata", lambda c: c.update(network_data_format=form))
    refused(bundle, "has no channel map")


def test_unscaled_grey_values_are_refused(bundle: Path) -> None:
    rewrite(bundle, "inference", lambda c: c["preprocessing"]["transforms"].pop())
    refused(bundle, "does not say how grey values are scaled")


def test_structures_that_may_overlap_are_refused(bundle: Path) -> None:
    last = {"transforms": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]}
    rewrite(bundle, "inference", lambda c: c.update(postprocessing=last))
    refused(bundle, "ends in a sigmoid")


def test_weights_of_another_net_are_refused(bundle: Path) -> None:
    rewrite(bundle, "inference", lambda c: c["network_def"].update(channels=[8, 16]))
    refused(bundle, "do not fit the network that the bundle names")


def test_weights_as_torch_saves_them_are_read(tmp_path: Path) -> None:
    segmenter = MonaiSegmenter(write_bundle(tmp_path / "bundle", torch_file=True), "cpu")
    assert sum(p.numel() for p in segmenter._network.parameters()) > 100


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_a_weights_file_with_code_in_it_is_refused_unrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle", torch_file=True)
    rewrite(bundle, "metadata", lambda c: c.pop("sha256"))
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Bomb()}, bundle / "models" / "model.pt")
    refused(bundle, "holds more than weights")
    assert not (tmp_path / "exploded").exists()


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", torch_file=True)
    rewrite(bundle, "metadata", lambda c: c.pop("sha256"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(bundle / "models" / "model.pt"))
    refused(bundle, "TorchScript program")


def test_expressions_of_the_model_zoo_are_told_with_what_to_add(bundle: Path, tmp_path: Path) -> None:
    """The zoo's whole-body CT net chooses its spacing by Python. It is not run; three lines replace it."""
    proof = tmp_path / "ran"
    expression = f"$__import__('pathlib').Path({str(proof)!r}).touch() or [1.5] * 3"
    rewrite(bundle, "inference", lambda c: c.update(pixdim=expression))
    refused(bundle, r'never run as code. Add "spine_node": \{"spacing_mm"')
    rewrite(bundle, "metadata", lambda c: c.update(spine_node={"spacing_mm": 1.5}))
    assert load_monai_bundle(bundle).spacing_mm == (1.5, 1.5, 1.5)
    assert not proof.exists()
    rewrite(bundle, "inference", lambda c: c["network_def"].update(out_channels="$4 + 1"))
    refused(bundle, r"network_def is the expression '\$4 \+ 1'.*Write it as a plain value")


def test_a_reference_to_nothing_is_refused(bundle: Path) -> None:
    rewrite(bundle, "inference", lambda c: c.update(pixdim="@displayable_configs#spacing"))
    refused(bundle, "refers to @displayable_configs#spacing, which is not there")


def test_a_bundle_in_yaml_is_told_what_is_read(bundle: Path) -> None:
    (bundle / "configs" / "inference.json").rename(bundle / "configs" / "inference.yaml")
    refused(bundle, "as YAML: only JSON is read")
