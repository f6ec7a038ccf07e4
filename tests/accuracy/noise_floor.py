"""What surface noise alone does to the plates: no measurement can be nearer to the unspoilt truth."""

from __future__ import annotations

import numpy as np

from tests.accuracy.bodies import Body
from tests.accuracy.dimensions import LABELS
from tests.accuracy.pelvis import Sacrum
from tests.accuracy.skeleton import Skeleton
from tests.accuracy.voxels import Roughness


def plate_turns_deg(skeleton: Skeleton, rough: Roughness) -> dict[str, float]:
    """By plate: how far its least-squares plane turns when the surface moves as the noise says, degrees.

    To first order: a surface moves along its normal by minus the displacement's component there.
    """
    turns = {}
    for level in (*skeleton.levels, "S1"):
        shape = (skeleton.sacrum if level == "S1" else skeleton.bodies[level]).shape
        field = rough.displacement(LABELS[level], shape.box)
        if isinstance(shape, Sacrum):
            plates = {"": shape.plate}
        else:
            assert isinstance(shape, Body)
            plates = {" inferior": shape.inferior}
            if level != "C2":
                plates[" superior"] = shape.superior
        for name, plate in plates.items():
            x, y, weight = plate.outline.nodes()
            x, y = x * plate.a, y * plate.b
            moved = -plate.normal @ np.stack(field(x, y, plate.surface(x, y)))
            terms = np.column_stack([x, y, np.ones_like(x)])
            weighed = terms * weight[:, None]
            slope_x, slope_y, _ = np.linalg.solve(weighed.T @ terms, weighed.T @ moved)
            turns[level + name] = float(np.degrees(np.hypot(slope_x, slope_y)))
    return turns
