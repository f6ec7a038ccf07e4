"""A net asked about a knee answers in vertebrae too: what it takes for one to be believed."""

import numpy as np
import pytest

from spine_node.segmentation.belief import beliefs
from spine_node.segmentation.classes import BODY, POSTERIOR, TISSUE_OF_VALUE
from spine_node.segmentation.instances import find_vertebrae
from tests.segmentation.perfect_net import perfect_heads
from tests.segmentation.toy_spine import SPACING_MM, toy_case


@pytest.fixture(scope="module")
def spine():
    _, truth = toy_case(5)
    heads = perfect_heads(truth, SPACING_MM)
    tissue = TISSUE_OF_VALUE[truth.labels]
    offset = heads.offset.numpy()
    return heads.semantic.numpy(), tissue, find_vertebrae(tissue, offset, SPACING_MM), offset


def test_every_vertebra_of_a_spine_is_believed(spine):
    assert (beliefs(*spine, SPACING_MM) > 2).all()


def test_bodies_whose_arches_a_narrow_field_cuts_away_are_still_believed(spine):
    semantic, tissue, vertebrae, offset = spine
    bare = np.where(tissue == POSTERIOR, 0, tissue)
    assert (beliefs(semantic, bare, vertebrae, offset, SPACING_MM) > 0).all()


def test_lumps_that_the_net_is_unsure_of_and_that_point_nowhere_are_not_believed(spine):
    """As in a pile of tins: something like bodies, votes that do not move, no arch."""
    semantic, tissue, vertebrae, offset = spine
    bare = np.where(tissue == POSTERIOR, 0, tissue)
    unsure = semantic.copy()
    unsure[BODY][tissue == BODY] = np.log(0.75)
    assert (beliefs(unsure, bare, vertebrae, np.zeros_like(offset), SPACING_MM) < 0).all()


@pytest.mark.parametrize("witness", ["arch", "votes", "sureness"])
def test_each_witness_counts(spine, witness):
    semantic, tissue, vertebrae, offset = spine
    before = beliefs(*spine, SPACING_MM)
    if witness == "arch":
        tissue = np.where(tissue == POSTERIOR, 0, tissue)
    elif witness == "votes":
        offset = np.zeros_like(offset)
    else:
        semantic = semantic - 0.3
    assert (beliefs(semantic, tissue, vertebrae, offset, SPACING_MM) < before).all()
