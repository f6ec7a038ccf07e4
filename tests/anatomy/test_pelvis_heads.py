"""Femoral heads in whatever of the femur somebody labelled: the centre is that of the ball."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_node.anatomy.femur import keep_heads
from spine_node.anatomy.heads import fit_head
from spine_node.anatomy.landmarks import FemoralHead
from spine_node.anatomy.levels import FEMORAL_HEAD_LEFT
from spine_node.geometry.directions import unit
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CENTRE, RADIUS = np.array([1.3, -0.7, 0.4]), 23.4
NECK = unit([0.7, 0.15, -0.7])
BEND = CENTRE + 45 * NECK
KNEE = BEND + np.array([-8.0, 0.0, -200.0])
CENTRE_MM = 0.3
WHOLE_FEMUR = 33


def rod(p: Array, start: Array, end: Array, radius: float) -> Mask:
    along = end - start
    t = np.clip(((p - start) @ along) / (along @ along), 0, 1)
    return np.asarray(np.linalg.norm(p - start - t[..., None] * along, axis=-1) < radius)


def ellipsoid(p: Array, centre: Array, half: tuple[float, float, float]) -> Mask:
    return np.asarray(np.linalg.norm((p - centre) / half, axis=-1) < 1)


def ball(p: Array, radius: float = RADIUS) -> Mask:
    return np.asarray(np.linalg.norm(p - CENTRE, axis=-1) < radius)


def cap(p: Array, polar_deg: float) -> Mask:
    return np.asarray(ball(p) & ((CENTRE - p) @ NECK > RADIUS * np.cos(np.radians(polar_deg))))


def upper_femur(p: Array) -> Mask:
    neck = rod(p, CENTRE, BEND, 0.68 * RADIUS)
    trochanter = ellipsoid(p, BEND + np.array([6.0, 8.0, 4.0]), (14, 18, 22))
    return np.asarray(ball(p) | neck | trochanter | rod(p, BEND, KNEE, 14.5))


def whole_femur(p: Array) -> Mask:
    condyles = [ellipsoid(p, KNEE + np.array([s * 22.0, 6.0, -8.0]), (19, 27, 22)) for s in (-1, 1)]
    return np.asarray(upper_femur(p) | condyles[0] | condyles[1])


def implant(p: Array) -> Mask:
    """A ball of 32 mm, its stem, and a metal cup around it that touches it at one place."""
    away = np.linalg.norm(p - CENTRE, axis=-1)
    cup = (away > 22) & (away < 27) & ((CENTRE - p) @ NECK > -4)
    return np.asarray((away < 16) | cup | rod(p, CENTRE, BEND, 7.0) | rod(p, CENTRE, CENTRE - 24 * NECK, 3.0))


def head_of(
    inside: object,
    spacing_mm: float | tuple[float, float, float] = 1.0,
    *,
    low: tuple[float, float, float] = (-36.0, -36.0, -36.0),
    high: tuple[float, float, float] = (36.0, 36.0, 36.0),
    noise_mm: float = 0.0,
) -> tuple[FemoralHead | None, str]:
    label_map = voxelised(inside, spacing_mm, low, high, FEMORAL_HEAD_LEFT, noise_mm)
    return fit_head("left", cut_out(label_map, FEMORAL_HEAD_LEFT, boxes(label_map)[FEMORAL_HEAD_LEFT]))


def voxelised(
    inside: object,
    spacing_mm: float | tuple[float, float, float],
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    value: int,
    noise_mm: float = 0.0,
) -> LabelMap:
    assert callable(inside)
    spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=float), 3)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array(low) + 0.37 * spacing
    size = np.ceil((np.array(high) - low) / spacing).astype(int)
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), affine)
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    if noise_mm:
        waves = np.sin(points[..., [1, 2, 0]] / 2.3 + 0.7) + np.sin(points[..., [2, 0, 1]] / 3.1 + 1.9)
        points = points + noise_mm * waves
    return LabelMap(grid, (inside(points) * value).astype(np.uint8))


UPPER = {"low": (-36.0, -36.0, -150.0), "high": (80.0, 50.0, 36.0)}
WHOLE = {"low": (-36.0, -40.0, -275.0), "high": (80.0, 50.0, 36.0)}

PARTS = {
    "ball": (ball, {}),
    "ball cut by the field": (ball, {"low": (-36.0, -36.0, -6.0)}),
    "half ball": (lambda p: cap(p, 90.0), {}),
    "ball without its lower half": (lambda p: ball(p) & (p[..., 2] > -4.0), {}),
    "ball and neck": (lambda p: ball(p) | rod(p, CENTRE, BEND, 0.7 * RADIUS), UPPER),
    "upper femur": (upper_femur, UPPER),
    "whole femur": (whole_femur, WHOLE),
}


@pytest.mark.parametrize("spacing", [1.0, (0.8, 0.8, 2.0)], ids=["1 mm", "2 mm slices"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_centre_is_that_of_the_ball(part: tuple[object, dict[str, tuple]], spacing: float) -> None:
    inside, field = part
    head, reason = head_of(inside, spacing, **field)
    assert head is not None, reason
    assert reason == ""
    assert np.linalg.norm(head.centre_mm - CENTRE) < CENTRE_MM
    assert head.radius_mm == pytest.approx(RADIUS, abs=0.3)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_smooth_noise_moves_it_by_less_than_twice_the_bar(part: tuple[object, dict[str, tuple]]) -> None:
    inside, field = part
    head, reason = head_of(inside, **field, noise_mm=0.5)
    assert head is not None, reason
    assert np.linalg.norm(head.centre_mm - CENTRE) < 2 * CENTRE_MM
    assert head.residual_mm > 0.2


def test_a_head_out_of_round_says_so_and_its_residual_is_not_trimmed() -> None:
    half = (1.09 * RADIUS, RADIUS, 0.91 * RADIUS)
    head, said = head_of(lambda p: ellipsoid(p, CENTRE, half))
    assert head is not None
    assert np.linalg.norm(head.centre_mm - CENTRE) < CENTRE_MM
    assert "out of round" in said
    # RMS of the radius of such an ellipsoid: 0.09 R (1/5 ... 4/15) about 1.0 mm
    assert head.residual_mm == pytest.approx(1.0, abs=0.2)


def test_an_implant_with_its_cup_is_not_taken_for_a_head_without_a_word() -> None:
    head, said = head_of(implant, **UPPER)
    assert head is None or np.linalg.norm(head.centre_mm - CENTRE) < CENTRE_MM
    assert "cup or an implant" in said


def test_a_small_cap_is_refused_with_what_is_seen_of_it() -> None:
    head, reason = head_of(lambda p: cap(p, 55.0))
    assert head is None
    assert "of its sphere is seen" in reason


def test_a_box_is_no_head() -> None:
    head, reason = head_of(lambda p: (np.abs(p) < (20, 24, 30)).all(axis=-1))
    assert head is None
    assert "not round" in reason


def test_a_whole_femur_gives_its_head_also_without_a_hip_bone() -> None:
    """Other makers label femora, not heads; the hip bone may be absent or on the other side."""
    label_map = voxelised(whole_femur, 1.5, WHOLE["low"], WHOLE["high"], WHOLE_FEMUR)
    kept, quality = keep_heads(label_map, {"femur_left": WHOLE_FEMUR, "femur_right": 34})
    assert quality == ()
    assert WHOLE_FEMUR not in kept.labels
    blob = cut_out(kept, FEMORAL_HEAD_LEFT, boxes(kept)[FEMORAL_HEAD_LEFT])
    head, _ = fit_head("left", blob)
    assert head is not None
    assert np.linalg.norm(head.centre_mm - CENTRE) < 2 * CENTRE_MM
