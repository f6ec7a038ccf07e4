"""Sentences that a reader must know before using the numbers: frame, posture, doubtful pelvis, anomalies."""

from __future__ import annotations

from collections.abc import Sequence

from spine_node.parameters.model import Classification, Parameter
from spine_node.parameters.view import SACRUM, SCANNER, View

IDENTITY_TOLERANCE_DEG = 1.5
"""PI differs from PT + SS by 0.6 degrees at 10 degrees of obliquity; more points to a wrong landmark."""

THIN_DISC_MM = 3.0
"""A last disc lower than this suggests a transitional vertebra, or a disc that is gone."""


def remarks(
    view: View, parameters: Sequence[Parameter], classes: Sequence[Classification]
) -> tuple[str, ...]:
    """Every sentence that these measurements call for."""
    return (
        *_circumstances(view),
        *_identity(parameters),
        *_transition(view, parameters),
        *_heights(classes),
        *_slips(classes),
    )


def _circumstances(view: View) -> list[str]:
    """What the reader must know before comparing any value with a norm."""
    said = []
    if view.frame == SACRUM:
        said.append(
            "A femoral head is missing, so the direction the patient faces is taken from the sacrum's own "
            "symmetry: sagittal, coronal and axial values are estimates."
        )
    elif view.frame == SCANNER:
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


def _identity(parameters: Sequence[Parameter]) -> list[str]:
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


def _transition(view: View, parameters: Sequence[Parameter]) -> list[str]:
    """Signs of a transitional lumbosacral vertebra, and other counts than 12 and 5."""
    levels = {v.level for v in view.spine.vertebrae}
    said = [
        f"{extra} is labelled: {words}; parameters by level name follow that naming."
        for extra, words in (("T13", "thirteen thoracic vertebrae"), ("L6", "six lumbar vertebrae"))
        if extra in levels
    ]
    if "L4" in levels and "L5" not in levels and view.spine.s1 is not None:
        said.append("L4 is the last vertebra above the sacrum: four lumbar vertebrae, or a name is wrong.")
    last = view.segments[-1] if view.segments and view.segments[-1][1] == "S1" else None
    if last is not None:
        heights = [
            p.value for p in parameters if p.key.startswith("DH_") and p.level == f"{last[0]}/{last[1]}"
        ]
        if heights and max(heights) < THIN_DISC_MM:
            said.append(
                f"The disc {last[0]}/S1 is at most {max(heights):.1f} mm high: a transitional vertebra is "
                "possible, and with it another S1 (PI may then differ by 10 degrees)."
            )
    return said


def _heights(classes: Sequence[Classification]) -> list[str]:
    return [
        f"{c.level} has lost {dict(c.inputs)['VB_HLOSS']:.0f} % of its height (grade {c.value}"
        f"{', borderline' if c.borderline else ''}): a fracture, or a wedge it always had."
        for c in classes
        if c.key == "HLOSS_GRADE" and c.value != "0"
    ]


def _slips(classes: Sequence[Classification]) -> list[str]:
    said = []
    for c in classes:
        if c.key != "MEYERDING" or (c.value == "0" and not c.remark):
            continue
        slip = dict(c.inputs)["SLIP_MM"]
        way = (
            f"forwards by {slip:.1f} mm (Meyerding {c.value})" if slip > 0 else f"backwards by {-slip:.1f} mm"
        )
        said.append(f"At {c.level} the upper vertebra has slipped {way}.")
    return said
