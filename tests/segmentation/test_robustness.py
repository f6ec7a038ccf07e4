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
    """A few vertebrae, the narrower without processes: all found, none invented, said to be uncounted."""
    volume, truth = person
    result = segmenter.segment(about(volume, truth, 22, half_mm))
    there = about(Volume(truth.grid, truth.labels), truth, 22, half_mm).values
    inside = {v: (there == v).sum() / (truth.labels == v).sum() for v in bodies(truth.labels)}
    found = bodies(result.label_map.labels)
    assert {v for v, share in inside.items() if share > 0.9} <= found
    assert found <= {v for v, share in inside.items() if share > 0.1}
    assert any("sacrum is not in the field" in said for said in result.quality)


@pytest.fixture(scope="module")
def field(person) -> Volume:
    """About L3, one window of the net."""
    return about(*person, 22, (80, 70, 70))


@pytest.fixture(scope="module")
def usual(segmenter, field) -> np.ndarray:
    return segmenter.segment(field).label_map.labels


def bodies(labels: np.ndarray) -> set[int]:
    return {int(v) for v in np.unique(labels) if 1 <= v <= 25}


@pytest.mark.parametrize(("order", "flips"), [((2, 0, 1), (1,)), ((1, 2, 0), (0, 2))])
def test_however_the_array_is_stored_the_labels_are_the_same(segmenter, field, usual, order, flips):
    affine = field.grid.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (field.grid.shape[axis] - 1)
        affine[:3, axis] *= -1
    values = np.flip(field.values, flips).transpose(order)
    grid = Grid(values.shape, affine[:, [*order, 3]])
    labels = segmenter.segment(Volume(grid, np.ascontiguousarray(values))).label_map.labels
    assert np.mean(labels == np.flip(usual, flips).transpose(order)) > 0.998


def test_thick_slices_show_the_same_vertebrae(segmenter, field, usual):
    """2 x 2 x 4 mm: neighbouring slices averaged."""
    count = field.grid.shape[0] // 2
    affine = field.grid.affine @ np.diag([2.0, 1, 1, 1])
    affine[:3, 3] = field.grid.to_mm([0.5, 0, 0])
    values = field.values[: 2 * count].reshape(count, 2, *field.grid.shape[1:]).mean(axis=1)
    thick = segmenter.segment(Volume(Grid(values.shape, affine), values.astype(np.float32))).label_map.labels
    assert bodies(thick) == bodies(usual)
    assert np.mean(thick == usual[: 2 * count : 2]) > 0.95


def test_rods_and_screws_leave_the_vertebrae_and_are_little_of_them(segmenter, field, usual):
    """Bright metal beside and through the pedicles of the middle of the field."""
    values = field.values.copy()
    z, y, x = np.indices(values.shape)
    middle = np.argwhere((usual >= 1) & (usual <= 25)).mean(axis=0)
    metal = np.zeros(values.shape, bool)
    for side in (-1, 1):
        metal |= (np.hypot(y - middle[1] - 20, x - middle[2] - side * 12) < 1.8) & (abs(z - middle[0]) < 30)
        for at in (-17, 0, 17):
            screw = np.hypot(z - middle[0] - at, x - middle[2] - side * 10) < 1.5
            metal |= screw & (y > middle[1] - 2) & (y < middle[1] + 20)
    values[metal] = 5000
    labels = segmenter.segment(Volume(field.grid, values)).label_map.labels
    # A level may be named otherwise in a field without the sacrum: as many bodies, in the same places.
    assert len(bodies(labels)) == len(bodies(usual))
    body = (usual >= 1) & (usual <= 25)
    found = (labels >= 1) & (labels <= 25)
    assert 2 * (body & found & ~metal).sum() / ((body & ~metal).sum() + (found & ~metal).sum()) > 0.85
    rods = metal & (y > middle[1] + 14)
    assert np.mean(found[rods]) < 0.1
