"""The phantom's truth against the node's measuring core on its exact label maps, at 1.5 mm voxels.

Tolerances in degrees and mm; curves and rotations of severe scoliosis are read from bodies and arches a
few dozen voxels wide that lie across the grid. So is T1's endplate: for the curve of 45 degrees T1S comes
out 1.6 to 2.6 degrees low, as the noise of the grid falls.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from spine_node.anatomy.locate import locate
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.phantom.generate import generate
from spine_node.phantom.order import Order

TOLERANCE = {"AVR": 2.5, "COBB": 3.0, "TK_T4T12": 2.5, "T1S": 3.0, "SVA": 1.5, "C7_CSVL": 1.0, "FHHD": 0.5}
OTHERWISE_DEG = 2.0


class Asked(NamedTuple):
    """The main curve of a person, as it was ordered."""

    side: str
    apices: tuple[str, ...]
    angle_deg: float


PEOPLE = {
    "right thoracic 45": (Order(curve_deg=45, PI_deg=60).person(3), Asked("right", ("T7", "T8", "T9"), 45)),
    "left thoracolumbar 90": (
        Order(curve_deg=90, curve_side="left", curve_apex="L1").person(4),
        Asked("left", ("T12", "L1", "L2"), 90),
    ),
}


@pytest.fixture(scope="module", params=PEOPLE)
def case(request: pytest.FixtureRequest) -> tuple[Measurements, Measurements, Asked]:
    """Truth, what is measured on the label map, and the curve that was asked for."""
    person, asked = PEOPLE[request.param]
    phantom = generate(50, spacing_mm=1.5, clean=True, spec=person)
    return phantom.truth, measure(locate(phantom.label_map)), asked


def test_every_value_of_a_scoliotic_person_is_found(case: tuple[Measurements, Measurements, Asked]):
    true, found, _ = case
    wrong = []
    for p in (p for p in true.parameters if p.level not in ("C1", "C2")):
        same = [q for q in found.parameters if q.key == p.key and p.level in (None, q.level)]
        if p.key == "COBB":
            same = [q for q in same if q.side == p.side]
        off = min((abs(q.value - p.value) for q in same), default=float("inf"))
        if off > TOLERANCE.get(p.key, OTHERWISE_DEG) and not (p.key == "COBB" and p.value < 13):
            wrong.append(f"{p.key} {p.level or p.apex or ''}: {[q.value for q in same]}, truth {p.value:.2f}")
    assert not wrong, "\n".join(wrong)


def test_the_curve_that_was_asked_for_is_measured(case: tuple[Measurements, Measurements, Asked]):
    _, found, asked = case
    main = max((p for p in found.parameters if p.key == "COBB"), key=lambda p: p.value)
    assert main.side == asked.side
    assert main.apex in asked.apices
    assert main.value == pytest.approx(asked.angle_deg, abs=5)
