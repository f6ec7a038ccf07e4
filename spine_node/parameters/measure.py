"""From landmarks to measurements: every row of the catalogues is measured, or it is said why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from spine_node.anatomy.landmarks import Spine
from spine_node.parameters import axial, classes, coronal, pelvic, sagittal
from spine_node.parameters.catalogue import CATALOGUE, DEFINITIONS, THREE_D
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.coronal import CURVE_READINGS, Found
from spine_node.parameters.definitions import Definition
from spine_node.parameters.model import Classification, Measurements, NotMeasured, Parameter
from spine_node.parameters.pairs import PairOf, from_the_front, from_the_side, in_space
from spine_node.parameters.remarks import remarks
from spine_node.parameters.segmental import SEGMENT_READINGS, segment_name
from spine_node.parameters.uncertainty import Z_95
from spine_node.parameters.vertebral import VERTEBRA_READINGS
from spine_node.parameters.view import Missing, Reading, View

_SIDE_PAIRS: dict[str, PairOf] = {
    "PT": pelvic.tilt_pair,
    "SS": pelvic.slope_pair,
    **{key: sagittal.region_pair(key) for key in sagittal.REGIONS},
    "T1S": sagittal.plate_pair("T1", "superior"),
    "C2S": sagittal.plate_pair("C2", "inferior"),
    "T1SPI": sagittal.inclination_pair("T1"),
    "T9SPI": sagittal.inclination_pair("T9"),
    "TPA": sagittal.t1_pelvic_pair,
    "GT": sagittal.global_tilt_pair,
    "ODHA": sagittal.dens_pair,
    "SSA": sagittal.spino_sacral_pair,
}
_FRONT_PAIRS: dict[str, PairOf] = {
    "T1_TILT": coronal.tilt_pair("T1"),
    "L5_TILT": coronal.tilt_pair("L5"),
    "S1_TILT": pelvic.s1_tilt_pair,
}
_ALL_PAIRS: dict[str, PairOf] = {"PI": pelvic.incidence_pair, **_SIDE_PAIRS, **_FRONT_PAIRS}


def _without_ribs(_: View) -> Reading:
    raise Missing("ribs are not segmented")


PER_SPINE: dict[str, Callable[[View], Reading]] = {
    "PI": pelvic.pelvic_incidence,
    **{key: from_the_side(pair) for key, pair in _SIDE_PAIRS.items()},
    **{key: from_the_front(pair) for key, pair in _FRONT_PAIRS.items()},
    **{key + THREE_D: in_space(pair) for key, pair in _ALL_PAIRS.items() if key + THREE_D in DEFINITIONS},
    "SSA_3D": in_space(sagittal.spino_sacral_pair_in_space),
    "PI_LL": sagittal.incidence_minus_lordosis,
    "LDI": sagittal.lordosis_distribution,
    "SVA": sagittal.sagittal_vertical_axis,
    "CSVA": sagittal.cervical_vertical_axis,
    "C7_CSVL": coronal.coronal_balance,
    "PELVOBL": pelvic.obliquity_by_heads,
    "PELVOBL_CREST": pelvic.obliquity_by_crests,
    "PELVOBL_S1": pelvic.obliquity_by_s1,
    "FHHD": pelvic.head_height_difference,
    "PELVIS_YAW": pelvic.pelvis_yaw,
    "TRUNK_SHIFT": _without_ribs,
}
"""Formula of each row that is measured once."""

PER_CURVE: dict[str, Callable[[View, Found], Reading]] = dict(CURVE_READINGS)
"""Formula of each row that is measured for each curve."""

PER_VERTEBRA: dict[str, Callable[[View, str], Reading]] = {
    "AVR": axial.vertebral_rotation,
    "AVR_PROJAP": axial.projected_anterior_rotation,
    "AVR_PROJLR": axial.projected_lateral_rotation,
    **VERTEBRA_READINGS,
}
"""Formula of each row that is measured for each vertebra."""

PER_SEGMENT: dict[str, Callable[[View, str, str], Reading]] = dict(SEGMENT_READINGS)
"""Formula of each row that is measured between two neighbours."""


def measure(spine: Spine, age_years: float | None = None) -> Measurements:
    """Every parameter and class of the catalogues on these landmarks, in the patient frame.

    What cannot be measured is listed with its reason. Without both femoral heads the patient frame is
    unknown: sagittal, coronal and axial values are then estimates, in the sacrum's own direction or the
    scanner's axes, `frame` and a sentence say so, and classes of standing people are withheld.

    Parameters
    ----------
    spine : Spine
    age_years : float, optional
        Of the patient; the GAP category needs it.
    """
    view = View(spine)
    found: list[Parameter] = []
    missing: list[NotMeasured] = []
    curves, said, no_curve = _curves(view)

    for row in CATALOGUE:
        if row.per == "curve" and no_curve is not None:
            missing.append(NotMeasured(row.key, no_curve))
            continue
        for level, read in _readings(row, view, curves):
            try:
                found.append(_parameter(row, read()))
            except Missing as reason:
                missing.append(NotMeasured(row.key, str(reason), level))

    derived, withheld = _classes(view, curves, age_years)
    return Measurements(
        frame=view.frame,
        vertical=spine.vertical.provenance,
        parameters=tuple(found),
        not_measured=(*missing, *withheld),
        quality=(*remarks(view, found, derived), *said, *spine.quality),
        classes=derived,
    )


def _readings(
    row: Definition, view: View, curves: list[Found]
) -> Iterator[tuple[str | None, Callable[[], Reading]]]:
    """For each place of a row: the level by which its absence is told, and what reads it."""
    if row.per == "spine":
        yield None, partial(PER_SPINE[row.key], view)
    elif row.per == "curve":
        for curve in curves:
            yield None, partial(PER_CURVE[row.key], view, curve)
    elif row.per == "vertebra":
        for level in _levels(view, row.regions):
            yield level, partial(PER_VERTEBRA[row.key], view, level)
    else:
        for upper, lower in view.segments:
            yield segment_name(upper, lower), partial(PER_SEGMENT[row.key], view, upper, lower)


def _curves(view: View) -> tuple[list[Found], list[str], str | None]:
    try:
        found, said = coronal.coronal_curves(view)
    except Missing as reason:
        return [], [], str(reason)
    return found, said, None


def _classes(
    view: View, curves: list[Found], age_years: float | None
) -> tuple[tuple[Classification, ...], tuple[NotMeasured, ...]]:
    derived: list[Classification] = []
    withheld: list[NotMeasured] = []
    for row in CLASSES:
        rules: list[tuple[str | None, Callable[[], Classification]]]
        if row.key == "GAP":
            rules = [(None, lambda: classes.gap(view, age_years))]
        elif row.per == "spine":
            rules = [(None, partial(classes.OF_SPINE[row.key], view))]
        elif row.per == "curve":
            rules = [(None, partial(classes.OF_CURVE[row.key], view, curve)) for curve in curves]
        elif row.per == "vertebra":
            of_level = classes.OF_VERTEBRA[row.key]
            rules = [(level, partial(of_level, view, level)) for level in _levels(view, row.regions)]
        else:
            rules = [
                (segment_name(*s), partial(classes.OF_SEGMENT[row.key], view, *s)) for s in view.segments
            ]
        for level, rule in rules:
            try:
                classes.allowed(view, row.key)
                derived.append(rule())
            except Missing as reason:
                withheld.append(NotMeasured(row.key, str(reason), level))
    return tuple(derived), tuple(withheld)


def _levels(view: View, regions: str) -> list[str]:
    return [v.level for v in view.spine.vertebrae if v.level[0] in regions]


def _parameter(row: Definition, reading: Reading) -> Parameter:
    uncertainty = Z_95 * reading.sigma
    return Parameter(
        key=row.key,
        value=reading.value,
        unit=row.unit,
        method=row.method,
        level=reading.level,
        upper=reading.upper,
        apex=reading.apex,
        lower=reading.lower,
        side=reading.side,
        uncertainty=uncertainty if uncertainty > 1e-9 else None,
        imprecise=row.tolerance is not None and uncertainty > row.tolerance,
        lines=reading.lines,
    )
