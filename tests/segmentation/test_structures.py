import numpy as np
import pytest

from spine_node.errors import BundleRefused
from spine_node.imaging.volume import Grid
from spine_node.segmentation.canonical import Canonical
from spine_node.segmentation.classes import Scheme, Structure
from spine_node.segmentation.structures import StructureSegmenter, told_apart

SCHEME = Scheme.of([Structure("hip", left=1, right=2), Structure("sacrum", value=5)])
HIP, SACRUM = 1, 2


def told(kinds):
    affine = [[0, 0, 6, 0], [0, 6, 0, 0], [6, 0, 0, 0], [0, 0, 0, 1]]
    view = Canonical(Grid(kinds.shape, affine), kinds.astype(np.float32), np.ones(kinds.shape, bool))
    return told_apart(kinds, view, SCHEME)


@pytest.fixture
def pelvis():
    kinds = np.zeros((6, 6, 40), np.uint8)
    kinds[1:5, 1:5, 3:12] = kinds[1:5, 1:5, 26:37] = HIP
    kinds[1:5, 1:5, 15:22] = SACRUM
    return kinds


def test_left_is_where_lps_x_grows(pelvis):
    marks, quality = told(pelvis)
    assert set(np.unique(marks[..., 26:])) == {0, 1}
    assert set(np.unique(marks[..., :12])) == {0, 2}
    assert (marks[pelvis == SACRUM] == 5).all()
    assert quality == ()


def test_a_shifted_patient_keeps_the_sides(pelvis):
    """The midline is that of the bones, not of the image."""
    moved = np.pad(pelvis, ((0, 0), (0, 0), (60, 0)))
    assert np.array_equal(told(moved)[0][..., 60:], told(pelvis)[0])


def test_sides_that_touch_in_front_are_parted_at_the_midline(pelvis):
    pelvis[1, 1, 3:37] = HIP
    marks, _ = told(pelvis)
    assert (marks[4, 4, 26:37] == 1).all()
    assert (marks[4, 4, 3:12] == 2).all()


def test_nothing_found_is_nothing_labelled():
    marks, quality = told(np.zeros((4, 4, 4), np.uint8))
    assert not marks.any()
    assert quality == ()


def test_a_bundle_of_the_spine_is_not_taken_for_a_label_list(tiny_bundle):
    with pytest.raises(BundleRefused, match="is one of the spine"):
        StructureSegmenter(tiny_bundle)
