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
from tests.accuracy.landmarks import Marks, PlateMarks

PEOPLE = range(6)

SURFACES = ("VBH_", "VBR_", "VB_HLOSS", "DH_", "DHI")
"""Read between surfaces, which landmarks hold as points: they are compared where plates are flat."""

OF_VOXELS = ("VB_VOL", "V_VOL", "CANAL_", "VB_MEAN")


def spine_of(marks: Marks) -> Spine:
    """The landmarks as the package holds them, where the person stands in the scanner."""

    def at(point: Array) -> Array:
        return marks.world(point)

    def plate(p: PlateMarks | None) -> Endplate | None:
        if p is None:
            return None
        edges = (p.anterior_edge, p.posterior_edge, p.left_edge, p.right_edge)
        return Endplate(at(p.centre), marks.frame @ p.normal, 0.0, *(at(edge) for edge in edges))

    vertebrae = tuple(
        Vertebra(level, at(v.centroid), plate(v.superior), plate(v.inferior), marks.frame @ v.axes)
        for level, v in sorted(marks.vertebrae.items(), key=lambda item: -item[1].centroid[2])
    )
    return Spine(
        vertebrae,
        plate(marks.s1),
        {side: FemoralHead(side, at(centre), 24.0, 0.0) for side, centre in marks.heads.items()},
        Vertical(marks.frame[:, 2], "phantom", standing=True),
        dens_tip_mm=at(marks.dens_tip),
        crests_mm={side: at(point) for side, point in marks.crests.items()},
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
    """Both families, both sides, small and large curves are among those compared."""
    found = [measure(spine_of(panel_of(seed)[1])) for seed in PEOPLE]
    curves = [p for m in found for p in m.parameters if p.key == "COBB"]
    assert {p.side for p in curves} == {"left", "right"}
    assert max(p.value for p in curves) > 50
    incidence = [p.value for m in found for p in m.parameters if p.key == "PI"]
    assert np.ptp(incidence) > 20
