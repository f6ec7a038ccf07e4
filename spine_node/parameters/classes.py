"""Classes that follow from parameters, each with its inputs and whether it lies near a cut.

All take what a standing film would show: numbers projected in the patient frame. Where the posture is
unknown or a femoral head is missing, classes of standing people are withheld, not guessed.

A class is derived for every draw of the landmarks; it is called borderline when more than 5 % of the
draws fall into another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import order
from spine_node.imaging.volume import FloatArray
from spine_node.parameters import coronal, pelvic, sagittal, segmental, vertebral
from spine_node.parameters.axial import vertebral_rotation
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.coronal import Found
from spine_node.parameters.model import Classification
from spine_node.parameters.pairs import from_the_side
from spine_node.parameters.view import PATIENT, Missing, Reading, View

BORDERLINE = 0.05
"""Part of the draws in another class from which a class is called borderline."""

BIG_CURVE_DEG = 30.0
STRUCTURAL_KYPHOSIS_DEG = 20.0
LISTHESIS_MM = 3.0
OLD_YEARS = 60

ANTEVERTED_PT_DEG = 7.0
"""Pelvic tilt of the anteverted type 3 was 4 (SD 3) degrees (Laouissat 2018)."""

LOWEST_UPPER_APEX, LOWEST_PROXIMAL_APEX, LOWEST_MAIN_APEX = "T9", "T5", "T11"
"""Apices down to here: thoracic (Schwab), proximal thoracic and main thoracic (Lenke)."""

LUMBAR_APICES = ("T12", "T13", "L1", "L2", "L3", "L4")


def _named(key: str, reading: Reading) -> tuple[str, float]:
    return key, reading.value


def _cut(
    key: str,
    reading: FloatArray,
    cuts: Sequence[float],
    names: Sequence[str],
    inputs: tuple[tuple[str, float], ...],
    *,
    level: str | None = None,
    remark: str = "",
) -> Classification:
    """The class between ascending cuts: a value equal to a cut lies above it."""
    drawn = np.searchsorted(np.asarray(cuts), reading, side="right")
    borderline = _mixed(np.array(names)[drawn])
    row = CLASS_DEFINITIONS[key]
    return Classification(
        key, names[int(drawn[0])], inputs, borderline, row.provisional, level=level, remark=remark
    )


def _mixed(kinds: NDArray[np.str_]) -> bool:
    """Whether too many draws are of another kind than the landmarks as they were located."""
    return len(kinds) > 1 and bool(np.mean(kinds[1:] != kinds[0]) > BORDERLINE)


def _need_posture(view: View) -> None:
    if view.frame != PATIENT:
        raise Missing("withheld: without both femoral heads the patient frame is not known")
    if view.spine.vertical.standing is None:
        raise Missing("withheld: the posture is not known, and the classes are those of standing people")
    if not view.spine.vertical.standing:
        raise Missing("withheld: the images are declared not standing")


def schwab_pi_ll(view: View) -> Classification:
    """PI minus LL, cuts at 10 and 20 degrees."""
    reading = sagittal.incidence_minus_lordosis(view)
    return _cut("SCHWAB_PI_LL", reading.values, (10, 20), ("0", "+", "++"), (_named("PI_LL", reading),))


def schwab_sva(view: View) -> Classification:
    """SVA, cuts at 40 and 95 mm."""
    reading = sagittal.sagittal_vertical_axis(view)
    return _cut("SCHWAB_SVA", reading.values, (40, 95), ("0", "+", "++"), (_named("SVA", reading),))


def schwab_pt(view: View) -> Classification:
    """PT, cuts at 20 and 30 degrees."""
    reading = from_the_side(pelvic.tilt_pair)(view)
    return _cut("SCHWAB_PT", reading.values, (20, 30), ("0", "+", "++"), (_named("PT", reading),))


def schwab_coronal(view: View) -> Classification:
    """Which regions have a curve above 30 degrees."""
    curves, _ = coronal.coronal_curves(view)
    angles = [(c, coronal.cobb(view, c)) for c in curves]
    draws = view.up.shape[0]
    thoracic, lumbar = np.zeros(draws, bool), np.zeros(draws, bool)
    for curve, angle in angles:
        high = order(curve.apex) <= order(LOWEST_UPPER_APEX)
        (thoracic if high else lumbar)[:] |= angle.values > BIG_CURVE_DEG
    kind = np.where(thoracic & lumbar, "D", np.where(thoracic, "T", np.where(lumbar, "L", "N")))
    borderline = _mixed(kind)
    inputs = tuple((f"COBB {c.upper}-{c.lower}", angle.value) for c, angle in angles)
    return Classification("SCHWAB_COR", str(kind[0]), inputs, borderline)


def roussouly(view: View) -> Classification:
    """Sacral slope, cuts at 35 and 45 degrees; below 35 by the foremost lumbar vertebra."""
    slope, tilt = (from_the_side(pair)(view) for pair in (pelvic.slope_pair, pelvic.tilt_pair))
    inputs = (_named("SS", slope), _named("PT", tilt))
    remark = ""
    if 35 <= slope.value <= 45 and tilt.value < ANTEVERTED_PT_DEG:
        remark = "with so little pelvic tilt the anteverted type 3 of Laouissat 2018 is possible"
    rough = _cut("ROUSSOULY", slope.values, (35, 45), ("low", "3", "4"), inputs, remark=remark)
    if rough.value != "low":
        return rough
    lumbar = [v.level for v in view.spine.vertebrae if v.level.startswith("L")]
    if not {"L4", "L5"} <= set(lumbar):
        raise Missing("the apex of the lordosis is not seen: L4 or L5 is missing")
    apex = min(lumbar, key=lambda level: float(view.turned(view.body(level))[0, 1]))
    value = "1" if order(apex) >= order("L5") else "2"
    depth = {level: float(view.turned(view.body(level))[0, 1]) for level in ("L4", "L5")}
    near = abs(depth["L4"] - depth["L5"]) < 2.0
    return Classification(
        "ROUSSOULY", value, inputs, rough.borderline or near, remark=f"apex of the lordosis: {apex}"
    )


def gap_parts(view: View) -> tuple[tuple[Classification, FloatArray], ...]:
    """The four parts of the GAP score and their points in every draw."""
    incidence = pelvic.pelvic_incidence(view)
    slope = from_the_side(pelvic.slope_pair)(view)
    lordosis = from_the_side(sagittal.region_pair("LL_L1S1"))(view)
    index = sagittal.lordosis_distribution(view)
    tilt = from_the_side(sagittal.global_tilt_pair)(view)
    pi = incidence.values
    rows = (
        ("GAP_RPV", slope.values - (0.59 * pi + 9), (-15, -7, 5), (3, 2, 0, 1), "SS", slope),
        ("GAP_RLL", lordosis.values - (0.62 * pi + 29), (-25, -14, 11), (3, 2, 0, 3), "LL_L1S1", lordosis),
        ("GAP_LDI", index.values, (40, 50, 80), (2, 1, 0, 3), "LDI", index),
        ("GAP_RSA", tilt.values - (0.48 * pi - 15), (-7, 10, 18), (1, 0, 1, 3), "GT", tilt),
    )
    parts = []
    for key, relative, cuts, points, name, reading in rows:
        inputs: tuple[tuple[str, float], ...] = (_named(name, reading),)
        if key != "GAP_LDI":
            inputs = (*inputs, _named("PI", incidence), (key, float(relative[0])))
        drawn = np.asarray(points)[np.searchsorted(np.asarray(cuts), relative, side="right")]
        parts.append((_cut(key, relative, cuts, [str(p) for p in points], inputs), drawn))
    return tuple(parts)


def gap(view: View, age_years: float | None) -> Classification:
    """The GAP category: needs the patient's age."""
    parts = gap_parts(view)
    points = np.sum([drawn for _, drawn in parts], axis=0)
    if age_years is None:
        raise Missing(
            f"the patient's age is not known: {points[0]} points without it, one more from {OLD_YEARS} years"
        )
    points = points + (age_years >= OLD_YEARS)
    inputs = (*((c.key, float(c.value)) for c, _ in parts), ("age", age_years), ("points", float(points[0])))
    names = ("proportioned", "moderately disproportioned", "severely disproportioned")
    return _cut("GAP", points.astype(np.float64), (3, 7), names, inputs)


def neutral_level(view: View, curve: Found) -> Classification:
    """The least rotated vertebra at and below the lower end."""
    below = _from(view, curve.lower)[:3]
    turns = {level: vertebral_rotation(view, level).value for level in below}
    level = min(turns, key=lambda k: abs(turns[k]))
    near = sorted(map(abs, turns.values()))
    borderline = len(near) > 1 and near[1] - near[0] < 1.0
    return _of_curve(
        "NEUTRAL_LEVEL", level, tuple((f"AVR {k}", v) for k, v in turns.items()), curve, borderline
    )


def stable_level(view: View, curve: Found) -> Classification:
    """The vertebra at and below the lower end that the central sacral vertical line bisects best."""
    line = float(view.turned(view.s1().centre)[0, 0])
    aside = {level: float(view.turned(view.body(level))[0, 0]) - line for level in _from(view, curve.lower)}
    level = min(aside, key=lambda k: abs(aside[k]))
    near = sorted(map(abs, aside.values()))
    borderline = len(near) > 1 and near[1] - near[0] < 1.0
    return _of_curve("STABLE_LEVEL", level, (("offset", aside[level]),), curve, borderline)


def lenke_major(view: View) -> Classification:
    """Region of the largest curve."""
    angles = _angles(view)
    curve, angle = max(angles, key=lambda pair: pair[1].value)
    others = [other.value for c, other in angles if c is not curve]
    borderline = bool(others and angle.value - max(others) < 3)
    inputs = tuple((f"COBB {c.upper}-{c.lower}", a.value) for c, a in angles)
    return Classification(
        "LENKE_MAJOR",
        _region(curve.apex),
        inputs,
        borderline,
        provisional=True,
        apex=curve.apex,
        upper=curve.upper,
        lower=curve.lower,
        remark="curve type 1 to 6 needs bending films",
    )


def lenke_lumbar(view: View) -> Classification:
    """How far the lumbar apex stands from the central sacral vertical line."""
    _angles(view)
    line = view.turned(view.s1().centre)[:, 0]
    seen = [v.level for v in view.spine.vertebrae if v.level in LUMBAR_APICES]
    if not seen:
        raise Missing("no vertebra from T12 to L4 is seen")
    aside = {level: np.abs(view.turned(view.body(level))[:, 0] - line) for level in seen}
    apex = max(seen, key=lambda level: float(aside[level][0]))
    right, left = view.canal(apex, "w")
    pedicles = np.abs(view.turned(left - right)[:, 0]) / 2
    plate = view.superior(apex)
    body = np.abs(view.turned(plate.left - plate.right)[:, 0]) / 2
    kind = np.where(aside[apex] < pedicles, "A", np.where(aside[apex] < body, "B", "C"))
    inputs = tuple(
        (name, float(values[0]))
        for name, values in (("offset", aside[apex]), ("half canal", pedicles), ("half body", body))
    )
    return Classification(
        "LENKE_LUMBAR",
        str(kind[0]),
        inputs,
        _mixed(kind),
        provisional=True,
        apex=apex,
    )


def lenke_sagittal(view: View) -> Classification:
    """Kyphosis T5-T12, cuts at 10 and 40 degrees."""
    _angles(view)
    reading = from_the_side(sagittal.region_pair("TK_T5T12"))(view)
    return _cut("LENKE_SAGITTAL", reading.values, (10, 40), ("-", "N", "+"), (_named("TK_T5T12", reading),))


def lenke_kyphosis(view: View) -> Classification:
    """Regions that are structural by kyphosis alone."""
    _angles(view)
    upper, lower = (from_the_side(sagittal.region_pair(key))(view) for key in ("TK_T2T5", "TLK_T10L2"))
    high, low = (r.values >= STRUCTURAL_KYPHOSIS_DEG for r in (upper, lower))
    kind = np.where(high & low, "PT and TL/L", np.where(high, "PT", np.where(low, "TL/L", "none")))
    inputs = (_named("TK_T2T5", upper), _named("TLK_T10L2", lower))
    borderline = _mixed(kind)
    return Classification("LENKE_KYPHOSIS", str(kind[0]), inputs, borderline, provisional=True)


def meyerding(view: View, upper: str, lower: str) -> Classification:
    """Grade of a forward slip."""
    per_cent = segmental.slip_percent(view, upper, lower)
    slip = segmental.slip(view, upper, lower)
    graded = np.where(slip.values < LISTHESIS_MM, -1.0, per_cent.values)
    inputs = (_named("SLIP_MM", slip), _named("SLIP_PCT", per_cent))
    remark = ""
    if slip.value <= -LISTHESIS_MM:
        remark = f"slipped backwards by {-slip.value:.1f} mm: not graded"
    return _cut(
        "MEYERDING",
        graded,
        (0, 25, 50, 75, 100),
        ("0", "I", "II", "III", "IV", "V"),
        inputs,
        level=per_cent.level,
        remark=remark,
    )


def height_loss_grade(view: View, level: str) -> Classification:
    """Grade of a vertebra's height loss."""
    loss = vertebral.height_loss(view, level)
    return _cut(
        "HLOSS_GRADE",
        loss.values,
        (20, 25, 40),
        ("0", "1", "2", "3"),
        (_named("VB_HLOSS", loss),),
        level=level,
    )


def stenosis(view: View, level: str) -> Classification:
    """Narrowing of a lumbar canal."""
    depth = vertebral.canal_depth(view, level)
    return _cut(
        "STENOSIS",
        depth.values,
        (10, 12),
        ("absolute", "relative", "none"),
        (_named("CANAL_AP", depth),),
        level=level,
    )


def _angles(view: View) -> list[tuple[Found, Reading]]:
    curves, _ = coronal.coronal_curves(view)
    if not curves:
        raise Missing("there is no coronal curve of 10 degrees")
    return [(curve, coronal.cobb(view, curve)) for curve in curves]


def _region(apex: str) -> str:
    if order(apex) <= order(LOWEST_PROXIMAL_APEX):
        return "PT"
    return "MT" if order(apex) <= order(LOWEST_MAIN_APEX) else "TL/L"


def _from(view: View, level: str) -> list[str]:
    return [v.level for v in view.spine.vertebrae if order(v.level) >= order(level)]


def _of_curve(
    key: str, level: str, inputs: tuple[tuple[str, float], ...], curve: Found, borderline: bool
) -> Classification:
    return Classification(
        key, level, inputs, borderline, upper=curve.upper, apex=curve.apex, lower=curve.lower
    )


def _gap_part(k: int) -> Callable[[View], Classification]:
    return lambda view: gap_parts(view)[k][0]


OF_SPINE: dict[str, Callable[[View], Classification]] = {
    "SCHWAB_COR": schwab_coronal,
    "SCHWAB_PI_LL": schwab_pi_ll,
    "SCHWAB_SVA": schwab_sva,
    "SCHWAB_PT": schwab_pt,
    "ROUSSOULY": roussouly,
    "GAP_RPV": _gap_part(0),
    "GAP_RLL": _gap_part(1),
    "GAP_LDI": _gap_part(2),
    "GAP_RSA": _gap_part(3),
    "LENKE_MAJOR": lenke_major,
    "LENKE_LUMBAR": lenke_lumbar,
    "LENKE_SAGITTAL": lenke_sagittal,
    "LENKE_KYPHOSIS": lenke_kyphosis,
}
OF_CURVE: dict[str, Callable[[View, Found], Classification]] = {
    "NEUTRAL_LEVEL": neutral_level,
    "STABLE_LEVEL": stable_level,
}
OF_VERTEBRA: dict[str, Callable[[View, str], Classification]] = {
    "HLOSS_GRADE": height_loss_grade,
    "STENOSIS": stenosis,
}
OF_SEGMENT: dict[str, Callable[[View, str, str], Classification]] = {"MEYERDING": meyerding}
"""Rule of each row of the class catalogue; GAP, which needs an age, is called by `classify`."""


def allowed(view: View, key: str) -> None:
    """Raises `Missing` where a class of standing people must be withheld."""
    if CLASS_DEFINITIONS[key].posture:
        _need_posture(view)
