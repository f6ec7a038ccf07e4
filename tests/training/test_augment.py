import numpy as np
import pytest
import torch

from spine_node.segmentation.classes import BODY, IGNORED, POSTERIOR, TISSUE_OF_VALUE
from spine_node.segmentation.networks import OFFSET_UNIT_MM
from spine_node.training import augment
from spine_node.training.augment import random_patch, repaint
from spine_node.training.samples import case_of
from tests.segmentation.toy_spine import SPACING_MM, toy_case

SIZE = (40, 32, 36)


@pytest.fixture(scope="module")
def case():
    return case_of(*toy_case(1), SPACING_MM)


def patches(case, count=12, strength=1.0):
    return [
        random_patch(case, np.random.default_rng(seed), SIZE, SPACING_MM, augment=strength)
        for seed in range(count)
    ]


def test_image_and_labels_are_turned_together(case):
    """Bone stays bright under its label: were one turned and not the other, they would part."""
    for patch in patches(case):
        bone = (patch.tissue > 0) & (patch.tissue != IGNORED)
        inner = -torch.nn.functional.max_pool3d(-bone[None].float(), 3, 1, 1)[0] > 0
        if inner.sum() > 200:
            assert patch.image[0][inner].median() > patch.image[0][patch.tissue == 0].median() + 0.2


def test_every_voxel_of_a_whole_body_points_at_its_centre(case, monkeypatch):
    """Also in a patch that was turned, stretched and mirrored: the votes of a body meet."""
    monkeypatch.setattr(augment, "SMALL_FIELD", 0.0)  # would cut bodies
    tried = 0
    for patch in patches(case, 20):
        half = patch.tissue[::2, ::2, ::2]
        where = torch.nonzero(half == BODY)
        here = (where * 2 + 0.5).numpy() * SPACING_MM
        votes = here + patch.offset[:, half == BODY].T.numpy() * OFFSET_UNIT_MM
        levels = patch.level[half == BODY].numpy()
        for level in np.unique(levels):
            mine = levels == level
            inside = (where[mine].numpy() > 1).all() and (where[mine].numpy() < np.array(SIZE) / 2 - 2).all()
            if inside and mine.sum() > 20:
                tried += 1
                assert votes[mine].std(axis=0).max() < 0.01
                assert votes[mine].mean(axis=0) == pytest.approx(here[mine].mean(axis=0), abs=4.5)
    assert tried > 10


def test_offsets_exist_exactly_on_vertebrae(case):
    for patch in patches(case, 4):
        half = patch.tissue[::2, ::2, ::2]
        vertebra = (half == BODY) | (half == POSTERIOR)
        assert torch.equal(torch.isfinite(patch.offset[0]), vertebra)


def test_a_small_field_is_mirrored_at_its_faces_and_unknown_beyond(case, monkeypatch):
    monkeypatch.setattr(augment, "SMALL_FIELD", 1.0)
    monkeypatch.setattr(augment, "repaint", lambda image, _rng: image)
    seen = 0
    for patch in patches(case, 6):
        known = torch.nonzero(patch.tissue != IGNORED)
        low, high = known.min(dim=0).values, known.max(dim=0).values + 1
        inner = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        assert (patch.tissue[inner] != IGNORED).all()
        around = [(int(a), int(n - b)) for a, b, n in zip(low, high, SIZE, strict=True)]
        mirrored = np.pad(patch.image[0][inner].numpy(), around, mode="symmetric")
        assert np.array_equal(patch.image[0].numpy(), mirrored)
        assert not torch.isfinite(patch.offset[:, patch.tissue[::2, ::2, ::2] == IGNORED]).any()
        seen += int(sum(map(sum, around)) > 0)
    assert seen > 3


def test_without_augmentation_a_patch_is_a_plain_window(case):
    patch = patches(case, 1, 0.0)[0]
    values, found = case.values, False
    block = patch.image[0, 10:14, 10:14, 10:14].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(values, block.shape)
    found = bool((np.abs(windows - block).max(axis=(3, 4, 5)) < 0.2).any())
    assert found


def test_the_same_random_numbers_give_the_same_patch(case):
    one, other = (random_patch(case, np.random.default_rng(9), SIZE, SPACING_MM) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.tissue, other.tissue)


def test_what_nobody_annotated_stays_unknown(case):
    labels = case.labels.copy()
    labels[: len(labels) // 2] = IGNORED
    unknown = type(case)(case.grey, labels, case.centres)
    shares = [float((p.tissue == IGNORED).float().mean()) for p in patches(unknown, 6)]
    assert max(shares) > 0.2
    assert TISSUE_OF_VALUE[IGNORED] == IGNORED


def test_repainting_keeps_shapes_and_range(case):
    image = torch.from_numpy(case.values[:32, :32, :32].copy())
    for seed in range(20):
        painted = repaint(image, np.random.default_rng(seed))
        assert painted.shape == image.shape
        assert torch.isfinite(painted).all()
        assert painted.abs().max() <= 3
        coherence = np.corrcoef(painted.numpy().ravel(), image.numpy().ravel())[0, 1]
        assert coherence > 0.3


def test_a_quarter_of_the_augmentation_repaints_a_quarter_of_the_patches(case, monkeypatch):
    repainted = []
    monkeypatch.setattr(augment, "repaint", lambda image, rng: repainted.append(1) or image)
    for strength, low, high in ((0.0, 0, 0), (0.25, 4, 18), (1.0, 40, 40)):
        repainted.clear()
        patches(case, 40, strength)
        assert low <= len(repainted) <= high
