"""Fractures, and other numbers of vertebrae: what is lost is lost where it says, and the truth knows."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.phantom import skeleton, truth
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.skeleton import Bone
from spine_node.phantom.variants import (
    GRADES,
    LEVELS_DOWN,
    NUMBERS,
    Fracture,
    described,
    draw_fractures,
    draw_levels,
)


def t8(fracture: Fracture | None = None) -> Bone:
    spec = standing_spec(TK_deg=44, fractures={"T8": fracture} if fracture else {})
    return next(b for b in skeleton.build(spec).bones if b.level == "T8")


def heights_mm(bone: Bone) -> np.ndarray:
    """Of the drawn body: in front, in the middle and behind, as a reader measures them for Genant."""
    body, step = bone.body, 0.25
    X, Y, Z = body.axes.T
    affine = np.eye(4)
    affine[:3, :3] = step * np.stack([Z, Y, X], axis=1)
    affine[:3, 3] = body.middle_mm - 25 * Z - 25 * Y
    inside = body.distance(Lattice((200, 200, 1), affine)).numpy()[:, :, 0] < 0
    columns = np.flatnonzero(inside.any(axis=0))
    at = np.quantile(columns, [0.1, 0.5, 0.9]).astype(int)
    return np.array([inside[:, c].sum() * step for c in at])


@pytest.mark.parametrize(
    ("kind", "lost"), [("wedge", (1, 0.5, 0)), ("biconcave", (0, 1, 0)), ("crush", (1, 1, 1))]
)
def test_each_kind_loses_its_height_where_genant_says(kind: str, lost: tuple[float, float, float]):
    """Front, middle, back: a share of the loss, within a tenth of the height."""
    whole, broken = heights_mm(t8()), heights_mm(t8(Fracture(kind, 0.35)))  # type: ignore[arg-type]
    assert 1 - broken / whole == pytest.approx(0.35 * np.array(lost), abs=0.1)


def test_a_wedge_makes_its_body_kyphotic_and_keeps_the_kyphosis_asked_for():
    plain = standing_spec(TK_deg=44)
    spec = standing_spec(TK_deg=44, fractures={"T8": Fracture("wedge", 0.35)})
    wedge = [
        next(s.slope_superior_deg - s.slope_inferior_deg for s in one.segments if s.level == "T8")
        for one in (plain, spec)
    ]
    assert wedge[1] - wedge[0] == pytest.approx(np.degrees(np.arctan(0.35 * 18.6 / 27.9)), abs=1.0)
    found = truth.measure(skeleton.landmarks(skeleton.build(spec), np.eye(4))).get("TK_T4T12")
    assert found is not None
    assert found.value == pytest.approx(44, abs=0.01)


@pytest.mark.parametrize(("loss", "grade"), [(0.1, 0), (0.22, 1), (0.3, 2), (0.5, 3)])
def test_grades_are_those_of_genant(loss: float, grade: int):
    assert Fracture("crush", loss).grade == grade


def test_fractures_come_with_age_in_all_kinds_and_grades():
    rng = np.random.default_rng(1)
    young, old = ([draw_fractures(rng, LEVELS_DOWN, age) for _ in range(400)] for age in (30, 78))
    assert sum(map(bool, old)) > 3 * sum(map(bool, young)) > 0
    drawn = [f for one in old for f in one.values()]
    assert {f.kind for f in drawn} == {"wedge", "biconcave", "crush"}
    assert {f.grade for f in drawn} == set(GRADES)


def test_numbers_of_vertebrae_differ_as_often_as_stated():
    rng = np.random.default_rng(1)
    drawn = [draw_levels(rng) for _ in range(4000)]
    for name, share in NUMBERS.items():
        has = [(name in one) if "no" not in name else (name.removeprefix("no ") not in one) for one in drawn]
        assert np.mean(has) == pytest.approx(share, abs=0.01)
    assert sum(one == LEVELS_DOWN for one in drawn) / len(drawn) == pytest.approx(0.89, abs=0.02)


def test_a_caption_names_what_is_unusual():
    assert described((*LEVELS_DOWN, "L6"), {"T8": Fracture("wedge", 0.3)}) == ("L6", "T8 wedge grade 2")
    assert described(tuple(x for x in LEVELS_DOWN if x != "T12"), {}) == ("no T12",)
