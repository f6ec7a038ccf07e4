import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spine_node.errors import BundleRefused
from spine_node.segmentation.bundle import (
    DEFAULT_BUNDLE,
    INFERENCE,
    METADATA,
    WEIGHTS,
    WEIGHTS_OF,
    load_bundle,
    sha256_of,
    start_weights,
)
from spine_node.segmentation.plug import settings_digest


@pytest.fixture
def bundle(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def pair(tiny_pair, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_pair, tmp_path / "pair"))


def rewrite(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_bundle_that_is_whole_says_which_model_it_is(bundle):
    loaded = load_bundle(bundle)
    assert loaded.identity.sha256 == sha256_of(bundle / WEIGHTS)
    assert loaded.identity.name == "spinenet"
    assert not loaded.fine.network().training


def test_weights_that_lost_a_byte_are_refused(bundle):
    raw = bytearray((bundle / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (bundle / WEIGHTS).write_bytes(raw)
    with pytest.raises(BundleRefused, match=r"SHA-256 .* expected"):
        load_bundle(bundle)


def test_a_bundle_without_weights_is_refused(bundle):
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleRefused, match="without weights cannot segment"):
        load_bundle(bundle)


def test_a_bundle_without_a_channel_map_is_refused(bundle):
    rewrite(bundle / METADATA, lambda c: c["network_data_format"]["outputs"]["label_map"].pop("channel_def"))
    with pytest.raises(BundleRefused, match="no channel map"):
        load_bundle(bundle)


def test_swapped_sides_in_the_channel_map_are_refused(bundle):
    """The dangerous one: everything works, and left is right."""

    def swap(content):
        channels = content["network_data_format"]["outputs"]["label_map"]["channel_def"]
        channels["29"], channels["30"] = channels["30"], channels["29"]

    rewrite(bundle / METADATA, swap)
    with pytest.raises(BundleRefused, match="value 29 is 'hip_right' there and 'hip_left'"):
        load_bundle(bundle)


@pytest.mark.parametrize("spacing", [0, -2, 0.01, 50])
def test_a_spacing_that_no_net_works_at_is_refused(bundle, spacing):
    rewrite(bundle / METADATA, lambda c: c.update(spacing_mm=spacing))
    with pytest.raises(BundleRefused, match="says the fine net works at"):
        load_bundle(bundle)


@pytest.mark.parametrize("spacing", [None, "2", True])
def test_a_spacing_that_is_no_number_is_refused(bundle, spacing):
    rewrite(bundle / METADATA, lambda c: c.update(spacing_mm=spacing))
    with pytest.raises(BundleRefused, match="'spacing_mm'"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("key", "value"), [("name", "UNet"), ("semantic", 9), ("levels", 3), ("axes", "x,y,z")]
)
def test_another_architecture_is_refused_by_its_name(bundle, key, value):
    rewrite(bundle / METADATA, lambda c: c["network"].update({key: value}))
    with pytest.raises(BundleRefused, match=str(value)):
        load_bundle(bundle)


def test_weights_of_another_width_are_refused_when_the_net_is_built(bundle):
    rewrite(bundle / METADATA, lambda c: c["network"].update(widths=[8, 16]))
    with pytest.raises(BundleRefused, match="do not fit the architecture"):
        load_bundle(bundle).fine.network()


def test_a_window_that_the_net_cannot_halve_is_refused(bundle):
    rewrite(bundle / INFERENCE, lambda c: c.update(patch=[30, 32, 32]))
    with pytest.raises(BundleRefused, match="multiples of 4"):
        load_bundle(bundle)


def test_text_of_a_configuration_is_never_run(bundle, tmp_path):
    """A MONAI bundle may hold expressions that run when it is parsed; here they are only text."""
    proof = tmp_path / "ran"
    rewrite(
        bundle / INFERENCE, lambda c: c.update(patch=f"$__import__('pathlib').Path({str(proof)!r}).touch()")
    )
    with pytest.raises(BundleRefused):
        load_bundle(bundle)
    assert not proof.exists()


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleRefused, match="not a model bundle"):
        load_bundle(tmp_path)


def test_the_contract_of_segmenters_imports_no_torch():
    code = (
        "import sys, spine_node.segmentation.segmenter, spine_node.segmentation.bundle;"
        "sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bundle_of_two_nets_has_both_at_their_own_spacing(pair):
    loaded = load_bundle(pair)
    assert loaded.context is not None
    assert (loaded.fine.spacing_mm, loaded.context.spacing_mm) == (4.0, 6.0)
    assert (loaded.fine.patch, loaded.context.patch) == ((32, 32, 32), (16, 16, 16))
    assert not loaded.context.network().training


def test_the_identity_of_two_nets_is_what_sha256sum_says_of_both(pair):
    """Anybody can check it with the tools of any system."""
    names = [name.as_posix() for name in WEIGHTS_OF.values()]
    lines = subprocess.run(["sha256sum", *names], cwd=pair, capture_output=True, check=True).stdout
    said = subprocess.run(["sha256sum"], input=lines, capture_output=True, check=True).stdout
    assert said.decode().split()[0] == load_bundle(pair).identity.sha256


@pytest.mark.parametrize("role", ["fine", "context"])
def test_either_net_changed_by_a_byte_is_refused(pair, role):
    path = pair / WEIGHTS_OF[role]
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BundleRefused, match=rf"{path.name} are not those"):
        load_bundle(pair)


@pytest.mark.parametrize("role", ["fine", "context"])
def test_another_net_of_either_kind_is_another_model(pair, role):
    """Results name their model by this number: two models must not share it."""
    before = load_bundle(pair).identity.sha256
    path = pair / WEIGHTS_OF[role]
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    rewrite(pair / METADATA, lambda c: c["sha256"].update({WEIGHTS_OF[role].as_posix(): sha256_of(path)}))
    assert load_bundle(pair).identity.sha256 != before


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (METADATA, {"spacing_mm": 50}, "context net works at 50 mm"),
        (METADATA, {"spacing_mm": None}, "'spacing_mm'"),
        (METADATA, {"network": {"name": "UNet"}}, "UNet"),
        (INFERENCE, {"patch": [15, 16, 16]}, "for the context net; three multiples of 4"),
        (INFERENCE, {"overlap": 1}, "overlap of 1"),
    ],
)
def test_a_context_net_is_verified_as_the_fine_one_is(pair, name, change, said):
    rewrite(pair / name, lambda c: c["context"].update(change))
    with pytest.raises(BundleRefused, match=said):
        load_bundle(pair)


def test_a_context_net_without_its_windows_is_refused(pair):
    rewrite(pair / INFERENCE, lambda c: c.pop("context"))
    with pytest.raises(BundleRefused, match="'context'"):
        load_bundle(pair)


def test_a_context_net_that_the_metadata_forgot_is_refused(pair):
    """Otherwise a bundle half copied would work, with other results."""
    rewrite(pair / METADATA, lambda c: c.pop("context"))
    with pytest.raises(BundleRefused, match="names no context net"):
        load_bundle(pair)


def test_a_context_net_alone_is_refused_with_what_is_missing(pair):
    rewrite(pair / METADATA, lambda c: c.pop("network"))
    with pytest.raises(BundleRefused, match=r"a context net only: .* nothing in it draws outlines"):
        load_bundle(pair)


def test_a_training_can_start_from_either_net(pair):
    loaded = load_bundle(pair)
    for role, net in (("fine", loaded.fine), ("context", loaded.context)):
        architecture, weights = start_weights(pair, role)
        assert architecture == net.architecture
        assert all(value.equal(weights[name]) for name, value in net.network().state_dict().items())


def test_a_training_cannot_start_from_a_net_that_is_not_there(bundle):
    with pytest.raises(BundleRefused, match="holds no context net: there is nothing to start from"):
        start_weights(bundle, "context")


def test_the_same_weights_under_other_settings_are_another_model(tmp_path: Path) -> None:
    """After a corrected channel map a series that is sent again is analysed again."""
    folder = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    before = settings_digest(folder)
    assert before == settings_digest(folder) == settings_digest(DEFAULT_BUNDLE)
    metadata = folder / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"version"', '"Version"', 1))
    assert settings_digest(folder) != before
