"""Classes follow from numbers: at their cuts, with their inputs, and not where they must be withheld."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS, CLASSES
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from tests.anatomy.voxel_spine import voxel_spine

STANDING = Vertical(provenance="declared standing", standing=True)
SPINE = replace(voxel_spine().truth, vertical=STANDING)


def leaning(forward_mm: float) -> Spine:
    """The spine above the pelvis, carried forward."""
    by = np.array([0.0, -forward_mm, 0.0])
    return replace(SPINE, vertebrae=tuple(carried(v, by) for v in SPINE.vertebrae))


def carried(v: Vertebra, by: np.ndarray) -> Vertebra:
    return replace(
        v,
        body_centre_mm=v.body_centre_mm + by,
        superior=plate(v.superior, by),
        inferior=plate(v.inferior, by),
    )


def plate(p: Endplate | None, by: np.ndarray) -> Endplate | None:
    edges = ("centre_mm", "anterior_mm", "posterior_mm", "left_mm", "right_mm")
    return p and replace(p, **{name: getattr(p, name) + by for name in edges})


def with_height(level: str, anterior: float) -> Spine:
    """One vertebra whose superior plate tips forward until its front has this part of its height."""

    def crushed(v: Vertebra) -> Vertebra:
        assert v.superior is not None
        assert v.inferior is not None
        depth = float(np.linalg.norm(v.superior.anterior_mm - v.superior.posterior_mm))
        height = float(np.linalg.norm(v.superior.centre_mm - v.inferior.centre_mm))
        back = (v.superior.posterior_mm - v.superior.anterior_mm) / depth
        tip = np.arctan(height * (1 - anterior) / depth)
        normal = np.cos(tip) * v.inferior.normal - np.sin(tip) * back
        low = v.superior.posterior_mm - depth * (np.cos(tip) * back + np.sin(tip) * v.inferior.normal)
        middle = (low + v.superior.posterior_mm) / 2
        return replace(
            v,
            superior=replace(
                v.superior,
                normal=normal / np.linalg.norm(normal),
                centre_mm=middle,
                anterior_mm=low,
                left_mm=v.superior.left_mm + middle - v.superior.centre_mm,
                right_mm=v.superior.right_mm + middle - v.superior.centre_mm,
            ),
        )

    return replace(SPINE, vertebrae=tuple(crushed(v) if v.level == level else v for v in SPINE.vertebrae))


def kind(measured: Measurements, key: str, level: str | None = None) -> str:
    found = measured.get_class(key, level)
    assert found is not None, [n.reason for n in measured.not_measured if n.key == key]
    return found.value


@pytest.mark.parametrize(("share", "expected"), [(0.3, "0"), (0.7, "+"), (1.2, "++")])
def test_leaning_forward_raises_the_modifier_of_the_sagittal_vertical_axis(
    share: float, expected: str
) -> None:
    upright = measure(SPINE).get("SVA")
    assert upright is not None
    measured = measure(leaning(95 * share - upright.value))
    assert kind(measured, "SCHWAB_SVA") == expected
    found = measured.get_class("SCHWAB_SVA")
    assert found is not None
    assert dict(found.inputs)["SVA"] == pytest.approx(95 * share, abs=0.01)


def test_every_class_is_one_of_its_row_and_carries_its_inputs() -> None:
    measured = measure(SPINE, age_years=50)
    assert {c.key for c in measured.classes} >= {"SCHWAB_PT", "ROUSSOULY", "GAP", "LENKE_MAJOR", "MEYERDING"}
    for c in measured.classes:
        row = CLASS_DEFINITIONS[c.key]
        allowed = {value for value, _ in row.values}
        assert c.value in allowed or allowed == {"level"}, c
        assert c.inputs, c
        assert c.provisional == row.provisional


def test_the_gap_points_are_summed_and_sixty_years_add_one() -> None:
    young, old = (measure(SPINE, age_years=age).get_class("GAP") for age in (59.9, 60.0))
    assert young is not None
    assert old is not None
    inputs = dict(young.inputs)
    parts = [inputs[key] for key in ("GAP_RPV", "GAP_RLL", "GAP_LDI", "GAP_RSA")]
    assert inputs["points"] == sum(parts)
    assert dict(old.inputs)["points"] == sum(parts) + 1


def test_without_an_age_the_gap_category_is_not_guessed() -> None:
    measured = measure(SPINE)
    assert measured.get_class("GAP") is None
    reason = next(n.reason for n in measured.not_measured if n.key == "GAP")
    assert "age is not known" in reason
    assert measured.get_class("GAP_LDI") is not None


@pytest.mark.parametrize(
    ("vertical", "words"),
    [
        (Vertical(), "the posture is not known"),
        (Vertical(provenance="declared supine", standing=False), "declared not standing"),
    ],
)
def test_classes_of_standing_people_are_withheld_from_others(vertical: Vertical, words: str) -> None:
    measured = measure(replace(SPINE, vertical=vertical))
    withheld = {row.key for row in CLASSES if row.posture}
    assert not withheld & {c.key for c in measured.classes}
    assert {n.key for n in measured.not_measured if words in n.reason} >= withheld - {"NEUTRAL_LEVEL"}
    assert {c.key for c in measured.classes} >= {"MEYERDING", "HLOSS_GRADE"}, "grades know no posture"


def test_classes_are_withheld_where_a_head_is_missing() -> None:
    measured = measure(replace(SPINE, heads={"left": SPINE.heads["left"]}))
    assert not {row.key for row in CLASSES if row.posture} & {c.key for c in measured.classes}
    assert any("both femoral heads" in n.reason for n in measured.not_measured if n.key == "SCHWAB_PT")


@pytest.mark.parametrize(("anterior", "grade"), [(0.9, "0"), (0.62, "2"), (0.45, "3")])
def test_a_wedged_vertebra_is_graded_and_said(anterior: float, grade: str) -> None:
    measured = measure(with_height("T11", anterior))
    assert kind(measured, "HLOSS_GRADE", "T11") == grade
    assert any("T11 has lost" in sentence for sentence in measured.quality) == (grade != "0")


@pytest.mark.parametrize(
    ("forward_mm", "grade"), [(2.0, "0"), (5.0, "I"), (12.0, "II"), (20.0, "III"), (29.0, "IV")]
)
def test_a_slip_is_graded_in_quarters_of_the_plate_below(forward_mm: float, grade: str) -> None:
    """L4 and all above it slip along L5's plate, which is 34 mm deep."""
    l5 = SPINE.vertebra("L5")
    assert l5 is not None
    assert l5.superior is not None
    ahead = l5.superior.anterior_mm - l5.superior.posterior_mm
    before = measure(SPINE).get("SLIP_MM", "L4/L5")
    assert before is not None
    by = ahead / np.linalg.norm(ahead) * (forward_mm - before.value)
    slipped = replace(
        SPINE, vertebrae=tuple(v if v.level == "L5" else carried(v, by) for v in SPINE.vertebrae)
    )
    measured = measure(slipped)
    slip = measured.get("SLIP_MM", "L4/L5")
    assert slip is not None
    assert slip.value == pytest.approx(forward_mm, abs=0.1)
    assert kind(measured, "MEYERDING", "L4/L5") == grade


def test_a_value_at_a_cut_is_borderline_and_one_far_from_it_is_not() -> None:
    """Heads that scatter by a millimetre know pelvic tilt to some tenths of a degree."""

    def tilted(degrees: float) -> Spine:
        tilt = measure(SPINE).get("PT")
        assert tilt is not None
        assert SPINE.s1 is not None
        middle = (SPINE.heads["left"].centre_mm + SPINE.heads["right"].centre_mm) / 2
        away = SPINE.s1.centre_mm - middle
        turn = np.radians(tilt.value - degrees)
        _, y, z = away
        moved = np.array([away[0], y * np.cos(turn) - z * np.sin(turn), y * np.sin(turn) + z * np.cos(turn)])
        by = -(moved - away)
        heads = {
            side: FemoralHead(side, h.centre_mm + by, h.radius_mm, 1.0) for side, h in SPINE.heads.items()
        }
        return replace(SPINE, heads=heads)

    for degrees, borderline in ((20.0, True), (25.0, False)):
        measured = measure(tilted(degrees))
        tilt = measured.get("PT")
        assert tilt is not None
        assert tilt.value == pytest.approx(degrees, abs=0.05)
        found = measured.get_class("SCHWAB_PT")
        assert found is not None
        assert found.borderline is borderline
