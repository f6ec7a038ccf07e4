"""Whatever comes in, the bundled model does the right thing. One window of its net each: seconds."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.phantom.generate import generate
from spine_node.segmentation.bundle import DEFAULT_BUNDLE
from spine_node.segmentation.inference import BundleSegmenter
from tests.segmentation.strangers import stranger


@pytest.fixture(scope="module")
def segmenter() -> BundleSegmenter:
    return BundleSegmenter(DEFAULT_BUNDLE, device="cpu")


@pytest.fixture(scope="module")
def person() -> tuple[Volume, LabelMap]:
    """An adult at 2 mm."""
    phantom = generate(2_000_020, spacing_mm=2.0, field_of_view="lumbopelvic", clean=True)
    return phantom.volume, phantom.label_map


def about(volume: Volume, truth: LabelMap, value: int, half_mm: tuple[float, float, float]) -> Volume:
    """A field of this half size (z, y, x) about a structure."""
    middle = np.argwhere(truth.labels == value).mean(axis=0)
    half = np.array(half_mm) / volume.grid.spacing_mm
    low = np.maximum(np.rint(middle - half), 0).astype(int)
    high = np.minimum(np.rint(middle + half), volume.grid.shape).astype(int)
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.to_mm(low)
    values = volume.values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return Volume(Grid(values.shape, affine), values)


@pytest.mark.parametrize(
    "what", ["air", "white_noise", "cloudy_noise", "knee", "hand", "head", "ribs", "tins", "pelvis"]
)
def test_what_is_no_spine_is_refused(segmenter, what):
    """Never a vertebra where there is none: a node is sent knees and phantoms too."""
    with pytest.raises(SeriesRefused, match="no spine found"):
        segmenter.segment(stranger(what))


@pytest.mark.parametrize("half_mm", [(80, 60, 60), (60, 36, 36)])
def test_a_small_field_about_l3_is_believed(segmenter, person, half_mm):
    """A few vertebrae, the narrower with the processes cut away: found, and said to be uncounted."""
    volume, truth = person
    part = about(volume, truth, 22, half_mm)
    result = segmenter.segment(part)
    bodies = [v for v in np.unique(result.label_map.labels) if 1 <= v <= 25]
    assert len(bodies) >= 2
    assert any("sacrum is not in the field" in said for said in result.quality)
