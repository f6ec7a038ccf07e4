import numpy as np
import pytest

from spine_node.segmentation.classes import BACKGROUND, BODY, TISSUES
from spine_node.segmentation.outline import settled_by_grey


def two_bodies(doubt):
    """Two bright bodies and a dark disc of two voxels; the net favours "body" there by `doubt` nats."""
    values = np.zeros((24, 14, 14), np.float32)
    body = np.zeros(values.shape, bool)
    body[3:11, 3:11, 3:11] = body[13:21, 3:11, 3:11] = True
    values[body] = 0.8
    disc = np.zeros(values.shape, bool)
    disc[11:13, 3:11, 3:11] = True
    semantic = np.full((len(TISSUES), *values.shape), -6.0, np.float32)
    semantic[BACKGROUND], semantic[BODY] = np.where(body, -6.0, 0.0), np.where(body, 0.0, -6.0)
    semantic[BODY][disc], semantic[BACKGROUND][disc] = -0.5, -0.5 - doubt
    parts = np.zeros(values.shape, np.uint8)
    parts[:12][body[:12] | disc[:12]] = 1
    parts[12:][body[12:] | disc[12:]] = 2
    return semantic, values, parts, body, disc


def settled(doubt, contrast=1.0):
    semantic, values, parts, body, disc = two_bodies(doubt)
    tissue = semantic.argmax(axis=0).astype(np.uint8)
    settled_by_grey(semantic, values * np.float32(contrast), parts, tissue)
    return semantic.argmax(axis=0) == BODY, body, disc


def test_a_dark_disc_that_the_net_took_for_bone_opens():
    found, body, _ = settled(doubt=1.0)
    assert np.array_equal(found, body)


def test_dark_marrow_deep_inside_and_just_under_the_shell_stays_bone():
    """A cyst or a streak is no hole: deep inside grey is not heard, under the shell it is closed over."""
    semantic, values, parts, body, _ = two_bodies(1.0)
    values[6:8, 6:8, 6:8] = values[4, 4:6, 4:6] = 0.0
    settled_by_grey(semantic, values, parts, np.where(parts > 0, BODY, BACKGROUND).astype(np.uint8))
    assert np.array_equal(semantic.argmax(axis=0) == BODY, body)


def test_grey_values_as_noisy_as_their_contrast_are_not_heard():
    semantic, values, parts, body, disc = two_bodies(1.0)
    noisy = values + np.random.default_rng(3).normal(0, 0.8, values.shape).astype(np.float32)
    settled_by_grey(semantic, noisy, parts, np.where(parts > 0, BODY, BACKGROUND).astype(np.uint8))
    assert np.array_equal(semantic.argmax(axis=0) == BODY, body | disc)


@pytest.mark.parametrize("contrast", [0.0, -1.0])
def test_without_contrast_of_bone_nothing_moves(contrast):
    found, body, disc = settled(doubt=1.0, contrast=contrast)
    assert np.array_equal(found, body | disc)
