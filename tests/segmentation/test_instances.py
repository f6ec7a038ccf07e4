import numpy as np
import pytest
from scipy import ndimage

from spine_node.anatomy import levels
from spine_node.segmentation import borders
from spine_node.segmentation.classes import BACKGROUND, BODY, HEAD, HIP, POSTERIOR, SACRUM, TISSUE_OF_VALUE
from spine_node.segmentation.instances import find_vertebrae, pelvic_midline
from spine_node.segmentation.islands import corner_of_sacrum, holes, pelvis_below, without_islands
from tests.segmentation.perfect_net import perfect_heads
from tests.segmentation.toy_spine import SPACING_MM, toy_case


@pytest.fixture(scope="module")
def spine():
    _, truth = toy_case(3)
    return truth, TISSUE_OF_VALUE[truth.labels], perfect_heads(truth, SPACING_MM).offset.numpy()


def test_every_vertebra_is_found_once_from_the_head_down(spine):
    truth, tissue, offset = spine
    found = find_vertebrae(tissue, offset, SPACING_MM)
    values = [v for v in np.unique(truth.labels) if TISSUE_OF_VALUE[v] == BODY]
    assert len(found.centres) == len(values)
    expected = np.array([np.argwhere(truth.labels == v).mean(axis=0) for v in values])
    assert np.abs(found.centres - expected).max() < 0.5


def test_bodies_that_touch_are_told_apart_by_their_votes(spine):
    """Without a gap between them, connectedness alone would make one body of all."""
    _, tissue, offset = spine
    touching = ndimage.binary_closing(tissue == BODY, iterations=2)
    merged = np.where(touching, BODY, tissue).astype(np.uint8)
    count = len(find_vertebrae(tissue, offset, SPACING_MM).centres)
    assert ndimage.label(merged == BODY)[1] < count
    assert len(find_vertebrae(merged, offset, SPACING_MM).centres) == count


def test_posterior_elements_go_with_their_own_body(spine):
    truth, tissue, offset = spine
    found = find_vertebrae(tissue, offset, SPACING_MM)
    for index in range(1, len(found.centres) + 1):
        body = np.unique(truth.labels[(found.parts == index) & (tissue == BODY)])
        behind = truth.labels[(found.parts == index) & (tissue == POSTERIOR)]
        # Where two arches meet, the votes' own spacing decides: a voxel here or there.
        assert np.mean(behind == body[0] + levels.POSTERIOR_OFFSET) > 0.9


def test_a_speck_is_no_vertebra(spine):
    _, tissue, offset = spine
    speck = np.zeros_like(tissue)
    speck[10:12, 10:12, 10:12] = BODY
    assert len(find_vertebrae(speck, offset, SPACING_MM).centres) == 0


def test_something_like_a_body_far_from_the_spine_is_no_vertebra(spine):
    """An elbow at the height of L1 must not come between T12 and L2."""
    _, tissue, offset = spine
    beside = tissue.copy()
    beside[44:50, 20:26, 2:8] = BODY
    votes = offset.copy()
    inside = np.moveaxis(np.indices((3, 3, 3)), 0, -1) * 2.0 + 0.5
    votes[:, 22:25, 10:13, 1:4] = np.moveaxis((2.5 - inside) * SPACING_MM, -1, 0)
    expected = find_vertebrae(tissue, offset, SPACING_MM).centres
    assert find_vertebrae(beside, votes, SPACING_MM).centres == pytest.approx(expected)


def test_islands_of_bone_are_dropped_and_the_bones_stay(spine):
    _, tissue, _ = spine
    dirty = tissue.copy()
    dirty[2:4, 2:4, 2:4] = HEAD
    dirty[90:92, 2:4, 2:4] = SACRUM
    assert np.array_equal(without_islands(dirty, SPACING_MM), tissue)


def test_a_corner_of_s1_that_looks_like_a_body_is_sacrum(spine):
    """And one that lies alone is nobody's."""
    truth, tissue, offset = spine
    mistaken = tissue.copy()
    top = np.argwhere(truth.labels == levels.SACRUM)[:, 0].max()
    corner = (tissue == SACRUM) & (np.indices(tissue.shape)[0] >= top - 1)
    mistaken[corner] = BODY
    mistaken[5:7, 5:7, 5:7] = BODY
    parts = find_vertebrae(tissue, offset, SPACING_MM).parts
    assert np.array_equal(corner_of_sacrum(mistaken, parts), corner)


def test_a_hole_in_a_bone_is_marrow_and_the_canal_is_none(spine):
    _, tissue, _ = spine
    bored = tissue.copy()
    inner = tuple(np.argwhere(tissue == HEAD)[(tissue == HEAD).sum() // 2])
    bored[inner] = BACKGROUND
    assert np.argwhere(holes(bored)).tolist() == [list(inner)]
    assert holes(bored)[inner] == HEAD
    open_behind = tissue.copy()
    body = np.argwhere(tissue == BODY)
    open_behind[body[0, 0], :, body[0, 2]] = BACKGROUND
    assert not holes(open_behind).any()


def test_votes_of_one_body_that_fall_apart_are_joined(spine, monkeypatch):
    """A net that is not sure points to two places in one body."""
    truth, tissue, offset = spine
    expected = find_vertebrae(tissue, offset, SPACING_MM).centres
    torn = offset.copy()
    body = np.argwhere(truth.labels == levels.VERTEBRA_VALUES["L2"])
    low, high = body.min(axis=0) // 2, body.max(axis=0) // 2 + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    above = np.indices(offset.shape[1:])[0][box] * 2 + 0.5 > body[:, 0].mean()
    torn[(0, *box)] += np.where(above, 9.0, -9.0)
    found = find_vertebrae(tissue, torn, SPACING_MM).centres
    assert np.abs(found - expected).max() * SPACING_MM < 3
    monkeypatch.setattr(borders, "JOIN", np.inf)
    assert len(find_vertebrae(tissue, torn, SPACING_MM).centres) == len(expected) + 1


def test_a_border_that_votes_put_into_a_body_returns_to_the_disc(spine):
    """Grey values show the disc where the net shows none."""
    truth, tissue, offset = spine
    merged = ndimage.binary_closing(tissue == BODY, iterations=2)
    values = np.where(tissue == BODY, 0.4, 0.0).astype(np.float32)
    all_body = np.where(merged & (tissue != POSTERIOR), BODY, tissue).astype(np.uint8)
    leaning = offset.copy()
    leaning[0] += 4.0
    found = find_vertebrae(all_body, leaning, SPACING_MM, values)
    assert len(found.centres) == len(find_vertebrae(tissue, offset, SPACING_MM).centres)
    for index in range(1, len(found.centres) + 1):
        inside = (found.parts == index) & (tissue == BODY)
        counts = np.unique(truth.labels[inside], return_counts=True)[1]
        assert counts.max() > 0.97 * counts.sum()


def test_every_body_is_one_piece_and_every_arch_has_a_body(spine):
    """Also with specks of the net's about."""
    _, tissue, offset = spine
    rng = np.random.default_rng(1)
    dirty = tissue.copy()
    dirty[(rng.random(tissue.shape) < 0.01) & (tissue == BACKGROUND)] = BODY
    found = find_vertebrae(dirty, offset, SPACING_MM)
    for index in range(1, len(found.centres) + 1):
        part = found.parts == index
        assert ndimage.label(part & (dirty == BODY))[1] == 1
    assert found.parts.max() == len(found.centres)


def test_a_shoulder_that_looks_like_a_hip_is_none(spine):
    _, tissue, offset = spine
    centres = find_vertebrae(tissue, offset, SPACING_MM).centres
    assert np.array_equal(pelvis_below(tissue, centres, SPACING_MM), tissue)
    shoulder = tissue.copy()
    shoulder[-30:-18, 10:18, 2:10] = HIP
    assert np.array_equal(pelvis_below(shoulder, centres, SPACING_MM), tissue)


def side_counts(tissue, midline, kind):
    where = np.argwhere(tissue == kind)
    left = midline.left_of(where) > 0
    return where[left][:, 2].mean(), where[~left][:, 2].mean(), left.mean()


@pytest.mark.parametrize("hidden", [(), (HEAD,), (HEAD, SACRUM)])
def test_left_is_left_whatever_tells_it(spine, hidden):
    """+x is the patient's left; heads, else the sacrum, else the lowest vertebra show the middle."""
    _, tissue, offset = spine
    seen = np.where(np.isin(tissue, hidden), 0, tissue).astype(np.uint8)
    midline = pelvic_midline(seen, find_vertebrae(tissue, offset, SPACING_MM).centres[-1], SPACING_MM)
    left, right, share = side_counts(seen, midline, HIP)
    assert left > tissue.shape[2] / 2 > right
    assert share == pytest.approx(0.5, abs=0.01)


def test_one_femoral_head_is_named_by_the_sacrum(spine):
    _, tissue, offset = spine
    one = tissue.copy()
    one[..., tissue.shape[2] // 2 :][one[..., tissue.shape[2] // 2 :] == HEAD] = 0
    midline = pelvic_midline(one, find_vertebrae(tissue, offset, SPACING_MM).centres[-1], SPACING_MM)
    assert (midline.left_of(np.argwhere(one == HEAD)) < 0).all()
