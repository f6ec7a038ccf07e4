"""Two nets, one bundle: each is exported, and exported again, without touching the other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from spine_node.errors import BundleRefused, ConfigRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import CARD, INFERENCE, METADATA, WEIGHTS_OF, load_bundle, start_weights
from spine_node.segmentation.classes import Structure
from spine_node.segmentation.plug import identity_of
from spine_node.training.export import export
from spine_node.training.recipe import Recipe
from tests.training.toy_stream import ToyStream
from tests.training.untrained import untrained_checkpoint

FINE = Recipe(
    version="1.0.0",
    architecture=Architecture(widths=(4, 8), fine=4),
    spacing_mm=2.0,
    patch=(16, 16, 16),
    streams=(ToyStream(count=1),),
)
CONTEXT = replace(FINE, version="1.1.0", spacing_mm=4.0, patch=(8, 8, 8))
NETS = {"fine": FINE, "context": CONTEXT}


@pytest.fixture
def put(tmp_path):
    """Exports a new random net of a role into the one bundle folder."""

    def export_one(role: str, seed: int = 0, **changes):
        recipe = replace(NETS[role], **changes)
        checkpoint = untrained_checkpoint(tmp_path / role / "checkpoint.pt", recipe, role, seed)
        export(
            checkpoint, tmp_path / "bundle", command=f"train {role} {seed}", remarks=f"about {role} {seed}"
        )
        return tmp_path / "bundle"

    return export_one


def content(bundle):
    return [json.loads((bundle / name).read_text()) for name in (METADATA, INFERENCE)]


@pytest.mark.parametrize("order", [("fine", "context"), ("context", "fine")])
def test_two_nets_make_a_bundle_in_either_order(put, order):
    for role in order:
        bundle = put(role)
    loaded = load_bundle(bundle)
    assert loaded.context is not None
    assert (loaded.fine.spacing_mm, loaded.context.spacing_mm) == (2.0, 4.0)
    assert (loaded.fine.patch, loaded.context.patch) == ((16, 16, 16), (8, 8, 8))


@pytest.mark.parametrize("role", ["fine", "context"])
def test_what_the_card_said_besides_stays_when_nothing_new_is_said(put, tmp_path, role):
    put("fine")
    bundle = put("context")
    checkpoint = untrained_checkpoint(tmp_path / "again" / "checkpoint.pt", NETS[role], role, 5)
    export(checkpoint, bundle, command="train further")
    card = (bundle / CARD).read_text()
    assert f"about {role} 0" in card
    assert "spine-node train --config CONFIG --start BUNDLE" in card


@pytest.mark.parametrize(("again", "stays"), [("fine", "context"), ("context", "fine")])
def test_one_net_trained_again_leaves_the_other_as_it_was(put, again, stays):
    put("fine")
    bundle = put("context")
    kept = (bundle / WEIGHTS_OF[stays]).read_bytes()
    _, before = start_weights(bundle, again)
    identity = load_bundle(bundle).identity
    put(again, seed=1)
    assert (bundle / WEIGHTS_OF[stays]).read_bytes() == kept
    _, after = start_weights(bundle, again)
    assert not before["semantic.weight"].equal(after["semantic.weight"])
    assert load_bundle(bundle).identity.sha256 != identity.sha256
    metadata, _ = content(bundle)
    trained = {"fine": metadata["training"], "context": metadata["context"]["training"]}
    assert trained[again]["command"] == f"train {again} 1"
    assert trained[stays]["command"] == f"train {stays} 0"


def test_the_bundle_has_the_version_of_what_was_exported_last(put):
    put("fine")
    assert load_bundle(put("context")).identity.version == "1.1.0"


def test_the_card_tells_of_both_nets(put):
    put("fine")
    card = (put("context") / CARD).read_text()
    for said in (
        "train fine 0",
        "train context 0",
        "about fine 0",
        "about context 0",
        "2 mm voxels",
        "4 mm voxels",
    ):
        assert said in card
    for name in WEIGHTS_OF.values():
        assert f"SHA-256 of `{name.as_posix()}`" in card


def test_a_card_of_one_net_does_not_speak_of_two(put):
    assert "context net" not in (put("fine") / CARD).read_text()


def test_a_context_net_alone_says_what_is_missing(put):
    """And is not taken for somebody else's bundle."""
    bundle = put("context")
    assert "No fine net" in (bundle / CARD).read_text()
    for load in (load_bundle, identity_of):
        with pytest.raises(BundleRefused, match="a context net only"):
            load(bundle)


def test_the_channel_map_is_the_same_with_one_net_and_with_two(put):
    one = content(put("fine"))[0]["network_data_format"]
    assert content(put("context"))[0]["network_data_format"] == one


LEGS = (Structure("femur", left=1, right=2),)


def test_a_context_net_is_of_the_spine(put):
    with pytest.raises(ConfigRefused, match="a label list of its own has none"):
        put("context", labels=LEGS)


def test_nets_of_two_label_lists_do_not_make_a_bundle(put):
    bundle = put("context")
    before = content(bundle)
    with pytest.raises(ConfigRefused, match="another label list"):
        put("fine", labels=LEGS)
    assert content(bundle) == before
