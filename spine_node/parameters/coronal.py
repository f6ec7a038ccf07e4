"""Parameters of the view from the front: the curves, and whether C7 stands over the sacrum."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.levels import order
from spine_node.geometry.angles import coronal_tilt_deg
from spine_node.parameters.curves import SCOLIOSIS_DEG, Tilts, find_curves
from spine_node.parameters.model import Line
from spine_node.parameters.pelvic import side_of
from spine_node.parameters.uncertainty import centroid_sigma_mm, combined, edge_sigma_mm, tilt_sigma_deg
from spine_node.parameters.view import Missing, Reading, View

FEWEST_VERTEBRAE = 4
"""A profile of fewer vertebrae shows no curve."""


def coronal_balance(view: View) -> Reading:
    """How far C7's centroid stands to the left of the vertical through S1's centre."""
    s1, c7 = view.s1(), view.body("C7")
    base, top = view.turned(s1.centre_mm), view.turned(c7.body_centre_mm)
    value = float(top[0] - base[0])
    head_of_line = view.lps(np.array([base[0], base[1], top[2]]))
    return Reading(
        value,
        combined(edge_sigma_mm(s1), centroid_sigma_mm(c7)),
        (
            Line("plumb", np.stack([s1.centre_mm, head_of_line])),
            Line("centre", c7.body_centre_mm[None]),
        ),
        side=side_of(value),
    )


def coronal_curves(view: View) -> tuple[list[Reading], list[str]]:
    """Every curve, and sentences on what limits them.

    Raises
    ------
    Missing
        If too few neighbouring vertebrae show an endplate.
    """
    profile, sentences = _profile(view)
    readings = []
    for curve in find_curves(profile):
        upper, lower, apex = (profile[i].level for i in (curve.upper, curve.lower, curve.apex))
        top, bottom = view.superior(upper), view.inferior(lower)
        readings.append(
            Reading(
                abs(curve.signed_deg),
                combined(tilt_sigma_deg(top, "coronal"), tilt_sigma_deg(bottom, "coronal")),
                (coronal_arm(top), coronal_arm(bottom)),
                upper=upper,
                apex=apex,
                lower=lower,
                side="right" if curve.signed_deg > 0 else "left",
            )
        )
        if abs(curve.horizontal - curve.furthest) > 1:
            sentences.append(
                f"Curve {upper}-{lower}: the most horizontal vertebra is {profile[curve.horizontal].level}, "
                f"the one furthest to the side is {profile[curve.furthest].level}."
            )
        for end, position in ((upper, curve.upper), (lower, curve.lower)):
            if position in (0, len(profile) - 1) and end not in ("C7", "L5", "L6"):
                sentences.append(
                    f"Curve {upper}-{lower}: {end} is the last vertebra seen, the curve may reach further."
                )
    if not readings:
        sentences.append(
            f"No coronal curve of {SCOLIOSIS_DEG:.0f} degrees or more between "
            f"{profile[0].level} and {profile[-1].level}."
        )
    return readings, sentences


def coronal_arm(plate: Endplate) -> Line:
    """An endplate as a line seen from the front."""
    return Line("arm", np.stack([plate.right_mm, plate.left_mm]))


def _profile(view: View) -> tuple[list[Tilts], list[str]]:
    """Tilts from C7 down, without vertebrae of which no endplate is seen."""
    profile, sentences = [], []
    for vertebra in view.spine.vertebrae:
        if order(vertebra.level) < order("C7"):
            continue
        plates = (vertebra.superior, vertebra.inferior)
        top, bottom = (None if p is None else coronal_tilt_deg(view.turned(p.normal)) for p in plates)
        if top is None and bottom is None:
            sentences.append(f"{vertebra.level} shows no endplate and is left out of the curves.")
            continue
        x, _, z = view.turned(vertebra.body_centre_mm)
        profile.append(Tilts(vertebra.level, top, bottom, float(x), float(z)))
    if len(profile) < FEWEST_VERTEBRAE:
        raise Missing(
            f"only {len(profile)} vertebrae from C7 to L5 show an endplate, {FEWEST_VERTEBRAE} are needed"
        )
    return profile, sentences
