from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_node.parameters.curves import PLATEAU_DEG, Tilts, find_curves
from tests.anatomy.voxel_spine import LEVELS


def profile(tilts: np.ndarray, scatter: np.ndarray | None = None) -> list[Tilts]:
    """Vertebrae 25 mm apart with these tilts, their offsets following from the tilts."""
    scatter = np.zeros((len(tilts), 2)) if scatter is None else scatter
    offset = np.concatenate([[0], np.cumsum(np.tan(np.radians((tilts[1:] + tilts[:-1]) / 2)) * -25)])
    return [
        Tilts(LEVELS[i], t + s[0], t + s[1], offset[i], -25.0 * i)
        for i, (t, s) in enumerate(zip(tilts, scatter, strict=True))
    ]


def bump(upper: int, lower: int, angle: float) -> np.ndarray:
    """Straight, then a curve from `upper` to `lower` that a fractional curve on each side takes back."""
    levels = np.arange(len(LEVELS))
    middle, half = (upper + lower) / 2, (lower - upper) / 2
    inside = np.abs(levels - middle) <= half
    tilt = np.where(inside, -angle / 2 * np.sin(np.pi / 2 * (levels - middle) / half), 0.0)
    ends = angle / 2 * np.exp(-(((np.abs(levels - middle) - half) / 2.5) ** 2))
    return np.where(inside, tilt, np.where(levels < middle, ends, -ends))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(4, 8), st.floats(12, 80), st.sampled_from((1, -1)))
def test_a_curve_is_found_with_its_ends_apex_side_and_angle(
    upper: int, length: int, angle: float, side: int
) -> None:
    """A flat curve may end one level earlier, where the tilt is within half a degree of its largest."""
    lower = upper + length
    curves = find_curves(profile(side * bump(upper, lower, angle)))
    main = max(curves, key=lambda c: abs(c.signed_deg))
    steep = angle * (1 - np.cos(np.pi / length)) / 2 > PLATEAU_DEG
    assert main.upper - upper == lower - main.lower
    assert main.upper - upper in ((0,) if steep else (0, 1))
    assert main.signed_deg == pytest.approx(side * angle, abs=1e-6 if steep else 2 * PLATEAU_DEG)
    assert abs(main.apex - (upper + lower) / 2) <= 0.5


@pytest.mark.parametrize("seed", range(40))
def test_two_degrees_of_scatter_make_no_curve(seed: int) -> None:
    """A straight spine, each endplate off by 2 degrees RMS: the raw profile spans up to 10 degrees."""
    scatter = np.random.default_rng(seed).normal(0, 2.0, (len(LEVELS), 2))
    assert find_curves(profile(np.zeros(len(LEVELS)), scatter)) == ()


@pytest.mark.parametrize("seed", range(20))
def test_scatter_splits_no_curve_and_moves_its_ends_by_a_level(seed: int) -> None:
    tilts = bump(4, 10, 40)
    scatter = np.random.default_rng(seed).normal(0, 1.5, (len(LEVELS), 2))
    curves = find_curves(profile(tilts, scatter))
    assert len(curves) == len(find_curves(profile(tilts)))
    main = max(curves, key=lambda c: abs(c.signed_deg))
    assert abs(main.upper - 4) <= 1
    assert abs(main.lower - 10) <= 1
    assert main.signed_deg == pytest.approx(40, abs=6)


@settings(deadline=None)
@given(st.floats(-30, 30))
def test_a_lean_of_the_whole_spine_is_no_curve(lean: float) -> None:
    assert find_curves(profile(np.full(len(LEVELS), lean))) == ()


def test_nine_degrees_are_no_curve_and_eleven_are() -> None:
    assert find_curves(profile(bump(4, 10, 9))) == ()
    assert len(find_curves(profile(bump(4, 10, 11)))) == 1


def test_an_s_shape_is_two_curves_of_opposite_side_that_share_a_vertebra() -> None:
    levels = np.arange(len(LEVELS))
    tilts = 15 * np.sin(np.pi * (levels - 2) / 5.0) * (levels >= 2)
    first, second = (c for c in find_curves(profile(tilts)) if abs(c.signed_deg) > 25)
    assert np.sign(first.signed_deg) == -np.sign(second.signed_deg)
    assert abs(first.lower - second.upper) <= 1


def test_beside_a_straight_stretch_the_end_is_the_vertebra_next_to_the_curve() -> None:
    """Above the curve all lean the same, give or take 0.2 degrees: C7 is not its end vertebra."""
    tilts = np.concatenate([np.full(6, 10.0), [6, 0, -6, -10], np.full(8, -10.0)])
    tilts[0] += 0.2
    (curve,) = find_curves(profile(tilts))
    assert (curve.upper, curve.lower) == (5, 9)


def test_an_endplate_that_is_not_seen_is_passed_over() -> None:
    vertebrae = profile(bump(4, 10, 40))
    top = vertebrae[4]
    vertebrae[4] = Tilts(top.level, None, top.inferior_deg, top.offset_mm, top.height_mm)
    main = max(find_curves(vertebrae), key=lambda c: abs(c.signed_deg))
    assert main.upper in (3, 5)


def test_a_leaning_curve_has_its_apex_where_it_bulges() -> None:
    """Tilts from 1 to 30 degrees: the most horizontal vertebra is the first, the bulge is lower."""
    tilts = np.concatenate([np.zeros(2), np.linspace(1, -30, 8), np.full(8, -30.0)])
    (curve,) = find_curves(profile(tilts))
    assert curve.horizontal <= curve.upper + 1
    assert curve.apex == curve.furthest
    assert curve.upper < curve.apex < curve.lower


def test_unseen_upper_plates_at_the_end_of_the_field_do_not_hide_a_curve() -> None:
    """The first two vertebrae are cut: the curve is measured from the third."""
    tilts = np.concatenate([np.linspace(25, -18, 7), np.linspace(-15, 0, 5)])
    vertebrae = [
        Tilts(t.level, None if i < 2 else t.superior_deg, t.inferior_deg, t.offset_mm, t.height_mm)
        for i, t in enumerate(profile(tilts))
    ]
    main = max(find_curves(vertebrae), key=lambda c: abs(c.signed_deg))
    assert (main.upper, main.lower) == (2, 6)
    assert main.signed_deg == pytest.approx(tilts[2] - tilts[6])


def test_one_wedged_disc_is_no_curve() -> None:
    """20 degrees between two neighbours, straight above and below."""
    tilts = np.concatenate([np.full(8, 10.0), np.full(8, -10.0)])
    assert find_curves(profile(tilts)) == ()
