"""Parameters of the view from the front: the curves, and whether C7 stands over the sacrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.levels import order
from spine_node.geometry.angles import angle_between_deg, coronal_tilt_deg
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.axial import intervertebral_rotation, vertebral_rotation
from spine_node.parameters.curves import SCOLIOSIS_DEG, Tilts, find_curves
from spine_node.parameters.model import Line
from spine_node.parameters.pairs import Pair, PairOf, coronal_arm, sagittal_arm, side_of
from spine_node.parameters.view import Missing, Plate, Reading, View, both

FEWEST_VERTEBRAE = 4
"""A profile of fewer vertebrae shows no curve."""

PMC_LINE_MM = 40.0
"""Half of the line that shows the plane of maximum curvature from above."""

LOWEST_THORACIC_APEX = "T11"
"""Down to here a curve is thoracic and its apex is measured from the C7 plumb line (SDSG)."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A curve: its levels, the convexity, and the plates of its angle."""

    upper: str
    apex: str
    lower: str
    side: str
    top: Plate
    bottom: Plate

    def reading(self, values: FloatArray, lines: tuple[Line, ...], side: str | None = None) -> Reading:
        """A number of this curve; its side is the convexity where no other is given."""
        return Reading(
            values, lines, upper=self.upper, apex=self.apex, lower=self.lower, side=side or self.side
        )


def coronal_balance(view: View) -> Reading:
    """How far C7's centroid stands to the left of the vertical through S1's centre."""
    s1, c7 = both(view.s1, lambda: view.body("C7"))
    base, top = view.turned(s1.centre), view.turned(c7)
    head_of_line = view.lps(np.array([base[0, 0], base[0, 1], top[0, 2]]))
    across = view.lps(np.array([base[0, 0], top[0, 1], top[0, 2]]))
    values = top[:, 0] - base[:, 0]
    return Reading(
        values,
        (
            Line("plumb", np.stack([s1.centre[0], head_of_line])),
            Line("centre", np.stack([across, c7[0]])),
        ),
        side=side_of(float(values[0])),
    )


def tilt_pair(level: str) -> PairOf:
    """The superior normal of a level and the vertical."""

    def pair(view: View) -> Pair:
        plate = view.superior(level)
        return Pair(plate.normal, view.up, (coronal_arm(view, plate),), level=level)

    return pair


def coronal_curves(view: View) -> tuple[list[Found], list[str]]:
    """Every curve, and sentences on what limits them.

    Raises
    ------
    Missing
        If too few neighbouring vertebrae show an endplate.
    """
    profile, sentences = _profile(view)
    found = []
    for curve in find_curves(profile):
        upper, lower, apex = (profile[i].level for i in (curve.upper, curve.lower, curve.apex))
        side = "right" if curve.signed_deg > 0 else "left"
        found.append(Found(upper, apex, lower, side, view.superior(upper), view.inferior(lower)))
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
    if not found:
        sentences.append(
            f"No coronal curve of {SCOLIOSIS_DEG:.0f} degrees or more between "
            f"{profile[0].level} and {profile[-1].level}."
        )
    return found, sentences


def cobb(view: View, curve: Found) -> Reading:
    """Angle between the outer endplates of the end vertebrae, seen from the front."""
    tilts = [coronal_tilt_deg(view.turned(p.normal)) for p in (curve.top, curve.bottom)]
    sign = 1.0 if curve.side == "right" else -1.0
    return curve.reading(
        sign * (tilts[0] - tilts[1]), (coronal_arm(view, curve.top), coronal_arm(view, curve.bottom))
    )


def cobb_in_space(view: View, curve: Found) -> Reading:
    """Angle in space between the same endplates."""
    values = angle_between_deg(curve.top.normal, curve.bottom.normal)
    arms = [arm(view, p) for p in (curve.top, curve.bottom) for arm in (coronal_arm, sagittal_arm)]
    return curve.reading(values, tuple(arms))


def cobb_of_maximum_curvature(view: View, curve: Found) -> Reading:
    """Largest angle between the same endplates in any vertical plane."""
    return curve.reading(_maximum(view, curve)[1], ())


def plane_of_maximum_curvature(view: View, curve: Found) -> Reading:
    """Azimuth of that plane: 0 frontal, 90 sagittal with the convexity backwards."""
    azimuth, _ = _maximum(view, curve)
    middle = view.turned(view.vertebra(curve.apex).body_centre_mm)[0]
    turn = np.radians(azimuth[0])
    aside = -1.0 if curve.side == "right" else 1.0
    away = np.array([aside * np.cos(turn), np.sin(turn), 0.0])
    ends = [view.lps(middle + s * PMC_LINE_MM * away) for s in (-1.0, 1.0)]
    return curve.reading(azimuth, (Line("axis", np.stack(ends)),))


def apical_translation(view: View, curve: Found) -> Reading:
    """How far the apex stands to the left of the C7 plumb line or the central sacral vertical line."""
    apex = view.body(curve.apex)
    thoracic = order(curve.apex) <= order(LOWEST_THORACIC_APEX)
    reference = view.body("C7") if thoracic else view.s1().centre
    here, there = view.turned(apex), view.turned(reference)
    values = here[:, 0] - there[:, 0]
    beside = view.lps(np.array([there[0, 0], here[0, 1], here[0, 2]]))
    lines = (Line("plumb", np.stack([reference[0], beside])), Line("centre", np.stack([beside, apex[0]])))
    return curve.reading(values, lines, side_of(float(values[0])))


def apical_rotation(view: View, curve: Found) -> Reading:
    """Axial rotation of the apical vertebra."""
    at_apex = vertebral_rotation(view, curve.apex)
    return curve.reading(at_apex.values, at_apex.lines, at_apex.side)


def torsion(view: View, curve: Found) -> Reading:
    """Mean of the unsigned sums of intervertebral rotation below and above the apex."""
    levels = [v.level for v in view.spine.vertebrae]
    upper, apex, lower = (levels.index(end) for end in (curve.upper, curve.apex, curve.lower))
    turns = [
        intervertebral_rotation(view, a, b).values
        for a, b in zip(levels[upper:lower], levels[upper + 1 : lower + 1], strict=True)
    ]
    above, below = (np.sum(part, axis=0) for part in (turns[: apex - upper], turns[apex - upper :]))
    return curve.reading(np.asarray((np.abs(above) + np.abs(below)) / 2), ())


def _maximum(view: View, curve: Found) -> tuple[FloatArray, FloatArray]:
    """Azimuth and size of the largest projected angle, each of shape (n,), degrees.

    Seen across the vertical plane through a horizontal direction h the angle is the difference of two
    arcus tangents of the normals' components along h.
    """
    top, bottom = view.turned(curve.top.normal), view.turned(curve.bottom.normal)
    aside = -1.0 if curve.side == "right" else 1.0
    a, b = ((n[:, :2] / n[:, 2:]) * [aside, 1.0] for n in (top, bottom))

    def size(degrees: FloatArray) -> FloatArray:
        h = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=-1)
        # the convexity lies where the upper plate leans away from and the lower one towards
        return np.asarray(np.degrees(np.arctan((b * h).sum(axis=-1)) - np.arctan((a * h).sum(axis=-1))))

    coarse = np.arange(-90.0, 90.5, 1.0)
    at = np.stack([size(np.full(len(a), degrees)) for degrees in coarse])
    best = coarse[at.argmax(axis=0)]
    for step in (0.25, 0.05, 0.01, 0.002):
        around = best + step * np.arange(-5, 6)[:, None]
        best = np.take_along_axis(
            around, np.stack([size(row) for row in around]).argmax(axis=0)[None], axis=0
        )[0]
    return best, size(best)


def _profile(view: View) -> tuple[list[Tilts], list[str]]:
    """Tilts from C7 down, without vertebrae of which no endplate is seen."""
    profile, sentences = [], []
    for vertebra in view.spine.vertebrae:
        if order(vertebra.level) < order("C7"):
            continue
        tilts: list[float | None] = []
        for which in ("superior", "inferior"):
            try:
                normal = view.turned(view.plate(vertebra.level, which).normal)
                tilts.append(float(coronal_tilt_deg(normal)[0]))
            except Missing:
                tilts.append(None)
        if tilts == [None, None]:
            sentences.append(f"{vertebra.level} shows no endplate and is left out of the curves.")
            continue
        x, _, z = view.turned(vertebra.body_centre_mm)[0]
        profile.append(Tilts(vertebra.level, tilts[0], tilts[1], float(x), float(z)))
    if len(profile) < FEWEST_VERTEBRAE:
        raise Missing(
            f"only {len(profile)} vertebrae from C7 to L5 show an endplate, {FEWEST_VERTEBRAE} are needed"
        )
    return profile, sentences


CURVE_READINGS = {
    "COBB": cobb,
    "COBB_3D": cobb_in_space,
    "COBB_PMC": cobb_of_maximum_curvature,
    "PMC_AZ": plane_of_maximum_curvature,
    "AVT": apical_translation,
    "AVR_APEX": apical_rotation,
    "TORSION": torsion,
}
"""Formula of each row that is measured for each curve."""
