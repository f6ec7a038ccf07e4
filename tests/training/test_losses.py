import pytest
import torch
from torch.nn import functional

from spine_node.segmentation.classes import BODY, IGNORED, LEVEL_CLASSES, TISSUES
from spine_node.segmentation.networks import Heads
from spine_node.training.batches import Batch
from spine_node.training.losses import EDGE_WEIGHT, _edge_weight, soft_dice_loss, total_loss


def spine_loss(heads, tissue, offset, level):
    return total_loss(heads, Batch(tissue[:, None].float(), tissue, offset, level))


@pytest.fixture
def truth():
    tissue = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    tissue[0, 2:6, 2:6, 2:6] = BODY
    level = torch.full((1, 4, 4, 4), IGNORED)
    level[0, 1:3, 1:3, 1:3] = 20
    offset = torch.full((1, 3, 4, 4, 4), torch.nan)
    offset[0, :, 1:3, 1:3, 1:3] = 0.4
    return tissue, offset, level


def heads_for(tissue, offset, level, sure=12.0):
    semantic = torch.movedim(functional.one_hot(tissue.clamp(max=5), len(TISSUES)).float(), -1, 1) * sure
    names = torch.movedim(functional.one_hot(level.clamp(max=26), len(LEVEL_CLASSES)).float(), -1, 1) * sure
    return Heads(semantic, offset.nan_to_num(), names)


def test_the_right_answer_costs_less_than_any_wrong_one(truth):
    right, parts = spine_loss(heads_for(*truth), *truth)
    assert parts["outline"] < 1e-3
    assert parts["overlap"] < 0.01
    assert parts["offset"] == 0
    for wrong in (
        Heads(-heads_for(*truth).semantic, heads_for(*truth).offset, heads_for(*truth).level),
        Heads(heads_for(*truth).semantic, heads_for(*truth).offset + 1, heads_for(*truth).level),
        Heads(heads_for(*truth).semantic, heads_for(*truth).offset, heads_for(*truth).level.roll(3, 1)),
    ):
        assert spine_loss(wrong, *truth)[0] > right + 0.1


def test_one_level_off_costs_less_than_five(truth):
    tissue, offset, level = truth
    near, far = (
        spine_loss(heads_for(tissue, offset, level.where(level == IGNORED, level + shift)), *truth)
        for shift in (1, 5)
    )
    assert near[1]["level"] < far[1]["level"]


def test_unknown_voxels_teach_nothing(truth):
    tissue, offset, level = truth
    tissue = tissue.clone()
    tissue[..., 4:] = IGNORED
    semantic = torch.randn(1, len(TISSUES), 8, 8, 8, requires_grad=True)
    spine_loss(Heads(semantic, offset.nan_to_num(), torch.zeros(1, 27, 4, 4, 4)), tissue, offset, level)[
        0
    ].backward()
    assert semantic.grad[..., 4:].abs().max() == 0
    assert semantic.grad[..., :4].abs().max() > 0


def test_a_patch_without_any_vertebra_has_a_finite_loss():
    tissue = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    empty = (tissue, torch.full((1, 3, 4, 4, 4), torch.nan), torch.full((1, 4, 4, 4), IGNORED))
    total, parts = spine_loss(heads_for(*empty), *empty)
    assert torch.isfinite(total)
    assert parts["offset"] == parts["level"] == 0


def test_dice_is_that_of_the_counts():
    """Half of a body claimed, nothing else: 2 * 4 / (4 + 8)."""
    tissue = torch.zeros(1, 2, 2, 4, dtype=torch.int64)
    tissue[..., :2] = BODY
    chance = torch.zeros(1, len(TISSUES), 2, 2, 4)
    chance[:, BODY, :, :, :1] = 1
    chance[:, 0, :, :, 1:] = 1
    assert 1 - float(soft_dice_loss(chance, tissue)) == pytest.approx((2 * 4 + 1) / (4 + 8 + 1))


def test_a_slip_at_an_endplate_costs_more_than_one_in_soft_tissue():
    tissue = torch.zeros(1, 24, 24, 24, dtype=torch.int64)
    tissue[0, 2:8, 2:8, 2:8] = BODY
    rest = (torch.full((1, 3, 12, 12, 12), torch.nan), torch.full((1, 12, 12, 12), IGNORED))
    costs = []
    for slip in (8, 20):
        said = tissue.clone()
        said[0, slip, 4, 4] = BODY
        costs.append(spine_loss(heads_for(said, *rest), tissue, *rest)[1]["outline"])
    assert costs[0] > 3 * costs[1]


def test_without_levels_there_is_only_the_outline(truth):
    tissue = truth[0].clamp(max=1)
    semantic = torch.movedim(functional.one_hot(tissue, 2).float(), -1, 1) * 12
    right, parts = total_loss(Heads(semantic), Batch(tissue[:, None].float(), tissue))
    assert set(parts) == {"outline", "overlap"}
    assert total_loss(Heads(-semantic), Batch(tissue[:, None].float(), tissue))[0] > right + 0.1


def test_the_surface_is_two_voxels_to_either_side():
    tissue = torch.zeros(1, 12, 12, 12, dtype=torch.int64)
    tissue[0, 4:, :, :] = BODY
    tissue[0, :, 11, :] = IGNORED
    along = _edge_weight(tissue, (BODY,))[0, :, 4, 5]
    assert along.tolist() == [1, 1, *[EDGE_WEIGHT] * 4, *[1] * 6]
    assert (_edge_weight(torch.full((1, 6, 6, 6), BODY), (BODY,)) == 1).all()
