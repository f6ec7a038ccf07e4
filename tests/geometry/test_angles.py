from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spine_node.geometry.angles import angle_between_deg, angle_in_plane_deg, coronal_tilt_deg, slope_deg
from spine_node.geometry.directions import DegenerateGeometry

SAGITTAL = np.array([1.0, 0.0, 0.0])  # normal points to the patient's left


def leaning_forward(degrees: float) -> np.ndarray:
    return np.array([0.0, -np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])


def test_leaning_forward_is_positive() -> None:
    """A cranial normal that tips anteriorly turns positively about the left axis."""
    assert angle_in_plane_deg([0, 0, 1], [0, -1, 1], SAGITTAL) == pytest.approx(45.0)


def test_a_plate_that_faces_forward_has_a_positive_slope() -> None:
    assert slope_deg(leaning_forward(40)) == pytest.approx(40)


def test_a_plate_that_leans_left_has_a_positive_tilt() -> None:
    assert coronal_tilt_deg([np.sin(np.radians(12)), 0, np.cos(np.radians(12))]) == pytest.approx(12)


def test_slope_and_tilt_do_not_mix() -> None:
    """Each is a projection: leaning to the side does not change the slope of the projected normal."""
    normal = [np.tan(np.radians(12)), -np.tan(np.radians(40)), 1]
    assert (slope_deg(normal), coronal_tilt_deg(normal)) == pytest.approx((40, 12))


@settings(deadline=None)
@given(st.floats(-179, 179), st.tuples(*[st.floats(-3, 3)] * 3))
def test_moving_the_patient_changes_nothing(degrees: float, rotvec: tuple[float, ...]) -> None:
    """Turning patient and plane together leaves the angle alone."""
    move = Rotation.from_rotvec(rotvec)
    moved = angle_in_plane_deg(
        move.apply([0, 0, 1]), move.apply(leaning_forward(degrees)), move.apply(SAGITTAL)
    )
    assert moved == pytest.approx(degrees, abs=1e-6)


@settings(deadline=None)
@given(st.floats(-89, 89))
def test_what_lies_across_the_plane_does_not_count(sideways: float) -> None:
    tilted = leaning_forward(30) + np.tan(np.radians(sideways)) * SAGITTAL
    assert angle_in_plane_deg([0, 0, 1], tilted, SAGITTAL) == pytest.approx(30, abs=1e-6)


def test_an_angle_in_space_has_no_sign_and_reaches_180_degrees() -> None:
    assert angle_between_deg([0, 0, 1], [0, 0, -2]) == pytest.approx(180)
    assert angle_between_deg([0, 0, 1], leaning_forward(-1e-4)) == pytest.approx(1e-4, rel=1e-6)


def test_no_trace_in_the_plane_is_refused_with_the_reason() -> None:
    with pytest.raises(DegenerateGeometry, match="parallel to the plane normal"):
        angle_in_plane_deg(SAGITTAL, [0, 0, 1], SAGITTAL)
