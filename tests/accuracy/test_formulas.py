"""The formulas on exact landmarks: two engineers' truths of the whole panel agree to 0.01 degrees and mm.

The people, their landmarks and the truth of this folder know nothing of `spine_node.parameters`.
"""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.parameters.measure import measure
from tests.accuracy.comparison import CURVE_KEYS, compare, panel_of
from tests.accuracy.frames import Array
from tests.accuracy.landmarks import Marks, PlateMarks, marks
from tests.accuracy.skeleton import standing

PEOPLE = range(6)

SURFACES = ("VBH_", "VBR_", "VB_HLOSS", "DH_", "DHI")
"""Read between surfaces, which landmarks hold as points: they are compared where plates are flat."""

OF_VOXELS = ("VB_VOL", "V_VOL", "CANAL_", "VB_MEAN")


def spine_of(exact: Marks) -> Spine:
    """The landmarks as the package holds them, where the person stands in the scanner."""

    def at(point: Array) -> Array:
        return exact.world(point)

    def plate(p: PlateMarks | None) -> Endplate | None:
        if p is None:
            return None
        edges = (p.anterior_edge, p.posterior_edge, p.left_edge, p.right_edge)
        return Endplate(at(p.centre), exact.frame @ p.normal, 0.0, *(at(edge) for edge in edges))

    vertebrae = tuple(
        Vertebra(level, at(v.centroid), plate(v.superior), plate(v.inferior), exact.frame @ v.axes)
        for level, v in sorted(exact.vertebrae.items(), key=lambda item: -item[1].centroid[2])
    )
    return Spine(
        vertebrae,
        plate(exact.s1),
        {side: FemoralHead(side, at(centre), 24.0, 0.0) for side, centre in exact.heads.items()},
        Vertical(exact.frame[:, 2], "phantom", standing=True),
        dens_tip_mm=at(exact.dens_tip),
        crests_mm={side: at(point) for side, point in exact.crests.items()},
    )


@pytest.mark.parametrize("seed", PEOPLE)
def test_every_number_is_its_truth(seed: int) -> None:
    skeleton, exact, values = panel_of(seed)
    spine = spine_of(exact)
    everything = frozenset(bone for value in values for bone in value.needs)
    measured = measure(spine)
    case = compare(spine, measured, exact, values, everything)
    flat = skeleton.person.family == "plain"
    wanted = [
        e
        for e in case.errors
        if not e.key.startswith(OF_VOXELS)
        and (flat or not e.key.startswith(SURFACES))
        and " " not in e.key  # landmarks themselves: they were put in
    ]
    assert len({e.key for e in wanted}) > 60
    if measured.get("COBB") is not None:  # a curve is read at the ends it was given
        assert {e.key for e in wanted} >= set(CURVE_KEYS)
    off = {(e.key, e.where): e.error for e in wanted if abs(e.error) > 0.01}
    assert not off


def test_the_people_differ() -> None:
    """Both sides, small and large curves and incidences are among those compared."""
    found = [measure(spine_of(marks(standing(seed)))) for seed in PEOPLE]
    curves = [p for m in found for p in m.parameters if p.key == "COBB"]
    assert {p.side for p in curves} == {"left", "right"}
    assert max(p.value for p in curves) > 50
    incidence = [p.value for m in found for p in m.parameters if p.key == "PI"]
    assert np.ptp(incidence) > 20
