"""Parameters of the view from above: the rotation of each vertebra."""

from __future__ import annotations

import numpy as np

from spine_node.geometry.angles import angle_in_plane_deg
from spine_node.parameters.model import Line
from spine_node.parameters.pelvic import side_of
from spine_node.parameters.view import Reading, View

AXIS_LENGTH_MM = 40.0
"""How far the anterior axis is drawn."""


def vertebral_rotation(view: View, level: str) -> Reading:
    """Turn of the body to the left, in the vertebra's own transverse plane."""
    axes, centre = view.vertebra_axes(level), view.vertebra(level).body_centre_mm
    anterior, cranial = -axes[:, 1], axes[:, 2]
    value = angle_in_plane_deg(-view.axes[:, 1], anterior, cranial)
    line = Line("axis", np.stack([centre, centre + AXIS_LENGTH_MM * anterior]))
    return Reading(value, None, (line,), level=level, side=side_of(value))
