"""Numbers from exact landmarks: what was put in comes out, and the laws of frames and signs hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.geometry.angles import angle_in_plane_deg
from spine_node.parameters.catalogue import CATALOGUE, DEFINITIONS
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements, Parameter
from tests.anatomy.voxel_spine import (
    LEVELS,
    ROTATION,
    S1_SLOPE,
    SLOPE,
    TILT,
    WEDGE_SLOPE,
    WEDGE_TILT,
    moved_spine,
    voxel_spine,
)

SPINE = voxel_spine().truth
NUMBERS = st.tuples(*[st.floats(-500, 500)] * 3).map(np.array)
CORONAL_AND_AXIAL = {
    *("C7_CSVL", "PELVOBL", "PELVOBL_CREST", "PELVOBL_S1", "FHHD", "PELVIS_YAW"),
    *("T1_TILT", "L5_TILT", "S1_TILT", "AVT", "AVR_APEX", "AVR", "AVR_PROJAP", "AVR_PROJLR", "IVR"),
    *("TILT_SUP", "TILT_INF", "VB_WEDGE_COR", "DISC_ANG_C", "SLIP_LAT"),
}
SCANNERS = {"PELVIS_YAW"}
"""What is told against the scanner's axes changes when the patient turns."""


def value(measured: Measurements, key: str, level: str | None = None) -> float:
    parameter = measured.get(key, level)
    assert parameter is not None, [n.reason for n in measured.not_measured if n.key == key]
    return parameter.value


def same(first: Measurements, second: Measurements, *, tolerance: float = 1e-6) -> None:
    """Equal numbers of everything that is the patient's own."""
    ours, theirs = ([p for p in m.parameters if p.key not in SCANNERS] for m in (first, second))
    assert [(p.key, p.level, p.upper, p.apex, p.lower, p.side) for p in ours] == [
        (p.key, p.level, p.upper, p.apex, p.lower, p.side) for p in theirs
    ]
    for a, b in zip(ours, theirs, strict=True):
        assert a.value == pytest.approx(b.value, abs=tolerance), a.key
    assert [(c.key, c.value) for c in first.classes] == [(c.key, c.value) for c in second.classes]


def reasons(measured: Measurements) -> dict[tuple[str, str | None], str]:
    return {(n.key, n.level): n.reason for n in measured.not_measured}


def newly_missing(measured: Measurements) -> dict[str, set[str]]:
    """Keys by the reason they are missing for here and not on the whole spine."""
    before = reasons(measure(SPINE))
    found: dict[str, set[str]] = {}
    for place, reason in reasons(measured).items():
        if before.get(place) != reason:
            found.setdefault(reason, set()).add(place[0])
    return found


class TestWhatWasPutInComesOut:
    """Slopes, tilts and rotations are inputs of the test spine, in degrees, and come back to 0.01."""

    measured = measure(SPINE)

    def test_sacral_slope(self) -> None:
        assert value(self.measured, "SS") == pytest.approx(S1_SLOPE, abs=0.01)

    @pytest.mark.parametrize(("key", "level"), [("LL_L1S1", "L1"), ("LL_L4S1", "L4")])
    def test_lordosis(self, key: str, level: str) -> None:
        expected = S1_SLOPE - (SLOPE[level] - WEDGE_SLOPE / 2)
        assert value(self.measured, key) == pytest.approx(expected, abs=0.01)

    def test_kyphosis(self) -> None:
        expected = (SLOPE["T4"] - WEDGE_SLOPE / 2) - (SLOPE["T12"] + WEDGE_SLOPE / 2)
        assert value(self.measured, "TK_T4T12") == pytest.approx(expected, abs=0.01)

    def test_t1_slope(self) -> None:
        assert value(self.measured, "T1S") == pytest.approx(SLOPE["T1"] - WEDGE_SLOPE / 2, abs=0.01)

    def test_pelvic_tilt(self) -> None:
        """S1's centre lies 45 mm behind and 98 mm above the hip axis."""
        assert value(self.measured, "PT") == pytest.approx(np.degrees(np.arctan2(45, 98)), abs=0.01)

    def test_head_heights(self) -> None:
        assert value(self.measured, "FHHD") == pytest.approx(4.0, abs=0.01)
        assert value(self.measured, "PELVOBL") == pytest.approx(np.degrees(np.arctan2(4, 175)), abs=0.01)
        obliquity = self.measured.get("PELVOBL")
        assert obliquity is not None
        assert obliquity.side == "left"

    @pytest.mark.parametrize("level", LEVELS)
    def test_rotation(self, level: str) -> None:
        """A tilted and sloping vertebra keeps the rotation it was given: the local definition."""
        assert value(self.measured, "AVR", level) == pytest.approx(ROTATION[level], abs=0.01)

    def test_offsets(self) -> None:
        c7 = SPINE.vertebra("C7")
        assert c7 is not None
        assert SPINE.s1 is not None
        assert value(self.measured, "SVA") == pytest.approx(
            SPINE.s1.posterior_mm[1] - c7.body_centre_mm[1], abs=0.01
        )
        assert value(self.measured, "C7_CSVL") == pytest.approx(
            c7.body_centre_mm[0] - SPINE.s1.centre_mm[0], abs=0.01
        )

    def test_curves(self) -> None:
        """End vertebrae are the most tilted of the table, sides those of the bulges."""
        curves = [p for p in self.measured.parameters if p.key == "COBB"]
        assert [(c.upper, c.apex, c.lower, c.side) for c in curves[1:]] == [
            ("T5", "T8", "T10", "right"),
            ("T10", "L1", "L3", "left"),
        ]
        main = TILT["T5"] + WEDGE_TILT / 2 - (TILT["T10"] - WEDGE_TILT / 2)
        assert curves[1].value == pytest.approx(main, abs=0.01)

    def test_a_curve_carries_its_two_arms(self) -> None:
        """Four points, as viewers expect of a Cobb angle."""
        curve = self.measured.get("COBB")
        assert curve is not None
        assert [line.role for line in curve.lines] == ["arm", "arm"]
        assert [line.points_mm.shape for line in curve.lines] == [(2, 3), (2, 3)]

    def test_given_landmarks_have_no_uncertainty(self) -> None:
        assert {p.uncertainty for p in self.measured.parameters} == {None}


class TestIdentities:
    def test_incidence_is_tilt_plus_slope_where_the_hips_are_level(self) -> None:
        left, right = SPINE.heads["left"], SPINE.heads["right"]
        level = replace(right, centre_mm=right.centre_mm * (1, 1, 0) + left.centre_mm * (0, 0, 1))
        measured = measure(replace(SPINE, heads={"left": left, "right": level}))
        assert value(measured, "PI") == pytest.approx(value(measured, "PT") + value(measured, "SS"), abs=1e-9)

    @settings(deadline=None)
    @given(st.floats(-12, 12))
    def test_incidence_does_not_know_how_the_pelvis_stands(self, degrees: float) -> None:
        """Tilting pelvis and spine in the frontal plane changes PT + SS, not the 3-D incidence."""
        lean = Rotation.from_euler("y", degrees, degrees=True)
        leaning = replace(moved_spine(SPINE, lean, np.zeros(3)), vertical=SPINE.vertical)
        assert value(measure(leaning), "PI") == pytest.approx(value(measure(SPINE), "PI"), abs=1e-6)

    def test_t1_pelvic_angle_is_the_angle_at_the_hips(self) -> None:
        t1 = SPINE.vertebra("T1")
        assert t1 is not None
        assert SPINE.s1 is not None
        hips = (SPINE.heads["left"].centre_mm + SPINE.heads["right"].centre_mm) / 2
        direct = angle_in_plane_deg(SPINE.s1.centre_mm - hips, t1.body_centre_mm - hips, [1, 0, 0])
        assert value(measure(SPINE), "TPA") == pytest.approx(direct, abs=1e-9)
        assert value(measure(SPINE), "TPA") == pytest.approx(
            value(measure(SPINE), "PT") + value(measure(SPINE), "T1SPI"), abs=1e-9
        )

    def test_incidence_minus_lordosis(self) -> None:
        measured = measure(SPINE)
        assert value(measured, "PI_LL") == pytest.approx(
            value(measured, "PI") - value(measured, "LL_L1S1"), abs=1e-9
        )


class TestLaws:
    @settings(max_examples=25, deadline=None)
    @given(st.tuples(*[st.floats(-3, 3)] * 3), NUMBERS)
    def test_moving_everything_changes_nothing(self, rotvec: tuple[float, ...], shift: np.ndarray) -> None:
        same(measure(moved_spine(SPINE, Rotation.from_rotvec(rotvec), shift)), measure(SPINE))

    @settings(max_examples=25, deadline=None)
    @given(st.floats(-180, 180))
    def test_turning_on_the_spot_changes_nothing(self, degrees: float) -> None:
        """Patients stand turned in the scanner: in its frame a curve of 33 degrees would read 36."""
        turn = Rotation.from_euler("z", degrees, degrees=True)
        same(measure(moved_spine(SPINE, turn, np.zeros(3))), measure(SPINE))

    def test_the_mirror_image_flips_coronal_and_axial_signs_and_no_others(self) -> None:
        here, there = measure(SPINE), measure(mirrored(SPINE))
        swapped = {"VBH_LEFT": "VBH_RIGHT", "VBH_RIGHT": "VBH_LEFT"}
        for a in here.parameters:
            same_place = (a.level, a.upper, a.apex, a.lower)
            b = next(
                p
                for p in there.parameters
                if p.key == swapped.get(a.key, a.key) and (p.level, p.upper, p.apex, p.lower) == same_place
            )
            sign = -1 if a.key in CORONAL_AND_AXIAL else 1
            assert b.value == pytest.approx(sign * a.value, abs=1e-9), a.key
            if a.side is not None:
                assert {a.side, b.side} == {"left", "right"}, a.key

    def test_leaning_forward_moves_only_what_knows_the_vertical(self) -> None:
        """Incidence, lordosis, kyphosis and the T1 pelvic angle are the body's own."""
        lean = Rotation.from_euler("x", 10, degrees=True)
        leaning = measure(replace(moved_spine(SPINE, lean, np.zeros(3)), vertical=SPINE.vertical))
        upright = measure(voxel_spine(curve=0).truth)
        leaning_straight = measure(
            replace(moved_spine(voxel_spine(curve=0).truth, lean, np.zeros(3)), vertical=SPINE.vertical)
        )
        assert value(leaning, "SVA") > value(measure(SPINE), "SVA") + 50
        assert value(leaning_straight, "PT") == pytest.approx(value(upright, "PT") - 10, abs=0.1)
        assert value(leaning_straight, "SS") == pytest.approx(value(upright, "SS") + 10, abs=0.1)
        for key in ("PI", "LL_L1S1", "TK_T4T12", "TPA"):
            assert value(leaning_straight, key) == pytest.approx(value(upright, key), abs=0.1), key


class TestWhatIsMissing:
    def test_the_reason_reaches_every_parameter_that_needs_it(self) -> None:
        reason = "right femoral head is not in the label map"
        spine = replace(SPINE, heads={"left": SPINE.heads["left"]}, missing={"femoral_head_right": reason})
        measured = measure(spine)
        needed = {"PI", "PT", "PI_LL", "T1SPI", "T9SPI", "TPA", "GT", "PELVOBL", "FHHD"}
        in_space = {f"{key}_3D" for key in needed} & set(DEFINITIONS)
        assert {n.key for n in measured.not_measured if n.reason == reason} == needed | in_space
        assert measured.frame == "SCANNER"
        assert any("estimates in the scanner's own axes" in sentence for sentence in measured.quality)

    def test_a_cut_endplate_takes_its_angle_with_it_and_leaves_the_others(self) -> None:
        reason = "T4 superior endplate is cut by the field's edge"
        vertebrae = tuple(replace(v, superior=None) if v.level == "T4" else v for v in SPINE.vertebrae)
        measured = measure(replace(SPINE, vertebrae=vertebrae, missing={"T4.superior": reason}))
        assert newly_missing(measured)[reason] == {
            *("TK_T4T12", "TK_T4T12_3D", "SLOPE_SUP", "TILT_SUP", "EPW_SUP", "EPD_SUP"),
            *("VBH_ANT", "VBH_MID", "VBH_POST", "VBH_LEFT", "VBH_RIGHT", "VB_WEDGE_SAG", "VB_WEDGE_COR"),
            *("VBR_AP", "VBR_MP", "VBR_PP", "VB_HLOSS", "HLOSS_GRADE"),
            *("DH_ANT", "DH_MID", "DH_POST", "DISC_ANG_S", "DISC_ANG_C", "DISC_ANG_3D", "DHI", "DHI_FARFAN"),
            *("SLIP_MM", "SLIP_PCT", "SLIP_LAT", "SLIP_VERT", "MEYERDING"),
        }
        assert value(measured, "LL_L1S1") == value(measure(SPINE), "LL_L1S1")

    def test_a_cut_body_has_no_centroid(self) -> None:
        measured = measure(replace(SPINE, missing={"C7.body": "C7 body is cut by the field's edge"}))
        missing = newly_missing(measured)["C7 body is cut by the field's edge"]
        assert missing == {"SVA", "C7_CSVL", "GT", "GT_3D", "SSA", "SSA_3D", "AVT", "VB_VOL", "V_VOL"}

    def test_rotation_is_missed_level_by_level(self) -> None:
        vertebrae = tuple(replace(v, axes=None) if v.level == "T8" else v for v in SPINE.vertebrae)
        measured = measure(replace(SPINE, vertebrae=vertebrae, missing={"T8.axes": "no posterior elements"}))
        missing = newly_missing(measured)
        assert missing["no posterior elements"] == {
            *("AVR", "AVR_PROJAP", "AVR_PROJLR", "AVR_APEX", "IVR", "IVR_HELICAL", "TORSION"),
            *("CANAL_AP", "CANAL_W"),
        }
        assert value(measured, "VBH_MID", "T8") == pytest.approx(value(measure(SPINE), "VBH_MID", "T8"))

    def test_three_vertebrae_show_no_curve(self) -> None:
        measured = measure(replace(SPINE, vertebrae=SPINE.vertebrae[-3:]))
        reason = next(n.reason for n in measured.not_measured if n.key == "COBB")
        assert reason == "only 3 vertebrae from C7 to L5 show an endplate, 4 are needed"

    def test_every_row_is_measured_or_said_to_be_missing(self) -> None:
        nothing = measure(Spine((), None, {}, Vertical()))
        assert nothing.parameters == ()
        once = {row.key for row in (*CATALOGUE, *CLASSES) if row.per == "spine"}
        curves = {row.key for row in CATALOGUE if row.per == "curve"}
        assert {n.key for n in nothing.not_measured} == once | curves


class TestQuality:
    def test_an_unknown_posture_is_said(self) -> None:
        assert measure(SPINE).quality[0].startswith("Posture unverified")
        standing = replace(SPINE, vertical=Vertical(provenance="declared standing", standing=True))
        assert not any("osture" in sentence for sentence in measure(standing).quality)
        lying = replace(SPINE, vertical=Vertical(provenance="declared supine", standing=False))
        assert "do not compare with standing norms" in measure(lying).quality[0]

    def test_incidence_that_is_not_tilt_plus_slope_is_said(self) -> None:
        """A left head found 40 mm too high: 13 degrees of obliquity."""
        left = SPINE.heads["left"]
        high = FemoralHead("left", left.centre_mm + np.array([0, 0, 60]), left.radius_mm, 0.0)
        sentences = measure(replace(SPINE, heads={"left": high, "right": SPINE.heads["right"]})).quality
        assert any(sentence.startswith("PI differs from PT + SS by") for sentence in sentences)

    def test_a_straight_spine_is_said_to_be_straight(self) -> None:
        straight = measure(voxel_spine(curve=0).truth)
        assert not [p for p in straight.parameters if p.key == "COBB"]
        assert "No coronal curve of 10 degrees or more between C7 and L5." in straight.quality

    def test_a_curve_at_the_end_of_what_is_seen_may_go_on(self) -> None:
        seen = tuple(v for v in SPINE.vertebrae if v.level in LEVELS[LEVELS.index("T8") :])
        sentences = measure(replace(SPINE, vertebrae=seen)).quality
        assert any("T8 is the last vertebra seen, the curve may reach further" in s for s in sentences)


def mirrored(spine: Spine) -> Spine:
    """The patient seen in a mirror: x changes sign, left and right change places."""
    flip = np.array([-1.0, 1.0, 1.0])

    def plate(p: Endplate | None) -> Endplate | None:
        return p and Endplate(
            p.centre_mm * flip,
            p.normal * flip,
            p.residual_mm,
            p.anterior_mm * flip,
            p.posterior_mm * flip,
            p.right_mm * flip,
            p.left_mm * flip,
        )

    def axes(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else np.column_stack([-a[:, 0] * flip, a[:, 1] * flip, a[:, 2] * flip])

    other = {"left": "right", "right": "left"}
    return replace(
        spine,
        vertebrae=tuple(
            Vertebra(v.level, v.body_centre_mm * flip, plate(v.superior), plate(v.inferior), axes(v.axes))
            for v in spine.vertebrae
        ),
        s1=plate(spine.s1),
        heads={
            other[side]: FemoralHead(other[side], h.centre_mm * flip, h.radius_mm, h.residual_mm)
            for side, h in spine.heads.items()
        },
    )


def test_a_parameter_without_a_number_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="use NotMeasured with its reason"):
        Parameter("PI", float("nan"), "deg", "")


def test_the_arms_of_an_angle_show_that_angle() -> None:
    """Seen in the patient frame, the lines of a projected angle enclose the number: viewers draw them."""
    measured = measure(SPINE)
    for key, across in (("COBB", 0), ("LL_L1S1", 1), ("TK_T4T12", 1)):
        for p in (p for p in measured.parameters if p.key == key):
            slants = []
            for line in p.lines:
                step = line.points_mm[1] - line.points_mm[0]
                assert step[1 - across] == pytest.approx(0, abs=1e-9), "it lies in the plane of the view"
                slants.append(np.degrees(np.arctan2(step[2], step[across])))
            assert abs(slants[0] - slants[1]) == pytest.approx(abs(p.value), abs=1e-6), key
