"""Parameters of the view from above: the rotation of each vertebra, and of one against the next.

A vertebra's attitude in the patient frame is taken apart as lateral tilt, then sagittal tilt, then axial
rotation (R = Ry Rx Rz, as Stokes 1994): the last is the turn in its own transverse plane, which neither
tilt changes. Other definitions differ by more than 10 degrees in a tilted apex.
"""

from __future__ import annotations

import numpy as np

from spine_node.geometry.angles import angle_in_plane_deg
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line
from spine_node.parameters.pairs import side_of
from spine_node.parameters.view import S1, SCANNER, Missing, Reading, View, both

AXIS_LENGTH_MM = 40.0
"""How far the anterior axis is drawn."""


def vertebral_rotation(view: View, level: str) -> Reading:
    """Turn of the body to the left, in the vertebra's own transverse plane."""
    axes = view.own_axes(level)
    values = angle_in_plane_deg(-view.axes[:, :, 1], -axes[:, :, 1], axes[:, :, 2])
    return Reading(values, (_anterior(view, level),), level=level, side=side_of(float(values[0])))


def projected_anterior_rotation(view: View, level: str) -> Reading:
    """Turn of the anterior axis as seen from above."""
    values = angle_in_plane_deg(-view.axes[:, :, 1], -view.own_axes(level)[:, :, 1], view.up)
    return Reading(values, (_anterior(view, level),), level=level, side=side_of(float(values[0])))


def projected_lateral_rotation(view: View, level: str) -> Reading:
    """Turn of the left-right axis as seen from above."""
    axes = view.own_axes(level)
    values = angle_in_plane_deg(view.left, axes[:, :, 0], view.up)
    centre = view.vertebra(level).body_centre_mm
    ends = np.stack(
        [centre - AXIS_LENGTH_MM / 2 * axes[0, :, 0], centre + AXIS_LENGTH_MM / 2 * axes[0, :, 0]]
    )
    return Reading(values, (Line("axis", ends),), level=level, side=side_of(float(values[0])))


def intervertebral_rotation(view: View, upper: str, lower: str) -> Reading:
    """Axial turn of the upper vertebra in the axes of the lower one, to the left."""
    relative = _relative(view, upper, lower)
    # of Ry Rx Rz the middle row is (cos x sin z, cos x cos z, -sin x)
    values = np.degrees(np.arctan2(relative[:, 1, 0], relative[:, 1, 1]))
    return Reading(
        values,
        (_anterior(view, upper), _anterior(view, lower)),
        level=f"{upper}/{lower}",
        side=side_of(float(values[0])),
    )


def helical_rotation(view: View, upper: str, lower: str) -> Reading:
    """Whole turn of the upper vertebra against the lower one."""
    relative = _relative(view, upper, lower)
    skew = np.stack(
        [
            relative[:, 2, 1] - relative[:, 1, 2],
            relative[:, 0, 2] - relative[:, 2, 0],
            relative[:, 1, 0] - relative[:, 0, 1],
        ],
        axis=-1,
    )
    trace = relative[:, 0, 0] + relative[:, 1, 1] + relative[:, 2, 2]
    values = np.degrees(np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1))
    return Reading(values, (_anterior(view, upper), _anterior(view, lower)), level=f"{upper}/{lower}")


def _relative(view: View, upper: str, lower: str) -> FloatArray:
    """Attitude of the upper vertebra in the axes of the lower one, shape (n, 3, 3)."""
    below, above = both(lambda: _axes(view, lower), lambda: _axes(view, upper))
    return np.asarray(np.swapaxes(below, 1, 2) @ above)


def _axes(view: View, level: str) -> FloatArray:
    if level != S1:
        return view.own_axes(level)
    if view.frame == SCANNER:
        raise Missing(
            "where S1 faces is not known: a femoral head is missing and the sacrum shows no symmetry"
        )
    return view.local_axes(level)


def _anterior(view: View, level: str) -> Line:
    if level == S1:
        centre, axes = view.s1().centre[0], view.local_axes(level)[0]
    else:
        centre, axes = view.vertebra(level).body_centre_mm, view.own_axes(level)[0]
    return Line("axis", np.stack([centre, centre - AXIS_LENGTH_MM * axes[:, 1]]))
