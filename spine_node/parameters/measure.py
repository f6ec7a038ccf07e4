"""From landmarks to measurements: every row of the catalogue is measured, or it is said why not."""

from __future__ import annotations

from collections.abc import Callable

from spine_node.anatomy.landmarks import Spine
from spine_node.parameters import axial, coronal, pelvic, sagittal
from spine_node.parameters.catalogue import CATALOGUE, Definition
from spine_node.parameters.model import Measurements, NotMeasured, Parameter
from spine_node.parameters.uncertainty import Z_95
from spine_node.parameters.view import SCANNER, Missing, Reading, View

IDENTITY_TOLERANCE_DEG = 1.5
"""PI differs from PT + SS by 0.6 degrees at 10 degrees of obliquity; more points to a wrong landmark."""

PER_SPINE: dict[str, Callable[[View], Reading]] = {
    "PI": pelvic.pelvic_incidence,
    "PT": pelvic.pelvic_tilt,
    "SS": pelvic.sacral_slope,
    "LL_L1S1": sagittal.lordosis_l1_s1,
    "LL_L4S1": sagittal.lordosis_l4_s1,
    "PI_LL": sagittal.incidence_minus_lordosis,
    "TK_T4T12": sagittal.kyphosis_t4_t12,
    "T1S": sagittal.t1_slope,
    "SVA": sagittal.sagittal_vertical_axis,
    "T1SPI": sagittal.t1_spinopelvic_inclination,
    "TPA": sagittal.t1_pelvic_angle,
    "C7_CSVL": coronal.coronal_balance,
    "PELVOBL": pelvic.pelvic_obliquity,
    "FHHD": pelvic.head_height_difference,
}
"""Formula of each row that is measured once."""

PER_VERTEBRA: dict[str, Callable[[View, str], Reading]] = {"AVR": axial.vertebral_rotation}
"""Formula of each row that is measured for each vertebra."""

PER_CURVE: dict[str, Callable[[View], tuple[list[Reading], list[str]]]] = {"COBB": coronal.coronal_curves}
"""Formula of each row that is measured for each curve, with sentences for the report."""


def measure(spine: Spine) -> Measurements:
    """Every parameter of the catalogue on these landmarks, in the patient frame.

    What cannot be measured is listed with its reason. Without both femoral heads the patient frame is
    unknown: sagittal, coronal and axial values are then those of the scanner's axes, `frame` is
    "SCANNER" and a sentence says so.
    """
    view = View(spine)
    parameters: list[Parameter] = []
    missing: list[NotMeasured] = []
    sentences: list[str] = []

    for row in CATALOGUE:
        if row.per == "vertebra":
            for vertebra in spine.vertebrae:
                try:
                    parameters.append(_parameter(row, PER_VERTEBRA[row.key](view, vertebra.level)))
                except Missing as reason:
                    missing.append(NotMeasured(row.key, str(reason), vertebra.level))
            continue
        try:
            if row.per == "curve":
                readings, said = PER_CURVE[row.key](view)
                parameters += [_parameter(row, reading) for reading in readings]
                sentences += said
            else:
                parameters.append(_parameter(row, PER_SPINE[row.key](view)))
        except Missing as reason:
            missing.append(NotMeasured(row.key, str(reason)))

    return Measurements(
        frame=view.frame,
        vertical=spine.vertical.provenance,
        parameters=tuple(parameters),
        not_measured=tuple(missing),
        quality=(*_circumstances(view), *_identity(parameters), *sentences, *spine.quality),
    )


def _parameter(row: Definition, reading: Reading) -> Parameter:
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
        uncertainty=Z_95 * reading.sigma if reading.sigma else None,
        lines=reading.lines,
    )


def _circumstances(view: View) -> list[str]:
    """What the reader must know before comparing any value with a norm."""
    said = []
    if view.frame == SCANNER:
        said.append(
            "A femoral head is missing, so the direction the patient faces is unknown: sagittal, coronal "
            "and axial values are estimates in the scanner's own axes."
        )
    standing = view.spine.vertical.standing
    if standing is None:
        said.append("Posture unverified: nothing in the images says that the patient stood.")
    elif not standing:
        said.append("The images are declared not standing: do not compare with standing norms.")
    return said


def _identity(parameters: list[Parameter]) -> list[str]:
    value = {p.key: p.value for p in parameters if p.key in ("PI", "PT", "SS")}
    if len(value) < 3:
        return []
    difference = value["PI"] - (value["PT"] + value["SS"])
    if abs(difference) <= IDENTITY_TOLERANCE_DEG:
        return []
    return [
        f"PI differs from PT + SS by {difference:+.1f} degrees (up to {IDENTITY_TOLERANCE_DEG} is usual): "
        "the hip axis is far from level, or a pelvic landmark is wrong."
    ]
