"""Parameters of the side view: lordosis, kyphosis, slopes and balance over the hips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spine_node.anatomy.levels import LEVELS
from spine_node.geometry.directions import across
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line
from spine_node.parameters.pairs import (
    Pair,
    PairOf,
    from_the_side,
    line_between,
    sagittal_arm,
    upright,
)
from spine_node.parameters.pelvic import hip_axis, pelvic_incidence
from spine_node.parameters.view import S1, Missing, Plate, Reading, View, both

LEAST_LORDOSIS_DEG = 10.0
"""Of less lordosis no parts are told."""

PlateAt = tuple[str, str]
"""A level (S1 for the sacrum) and "superior" or "inferior"."""

REGIONS: dict[str, tuple[PlateAt, PlateAt]] = {
    "LL_L1S1": ((S1, "superior"), ("L1", "superior")),
    "LL_L4S1": ((S1, "superior"), ("L4", "superior")),
    "LL_T12S1": ((S1, "superior"), ("T12", "superior")),
    "LL_L1L5": (("L5", "inferior"), ("L1", "superior")),
    "TK_T1T12": (("T1", "superior"), ("T12", "inferior")),
    "TK_T2T12": (("T2", "superior"), ("T12", "inferior")),
    "TK_T4T12": (("T4", "superior"), ("T12", "inferior")),
    "TK_T5T12": (("T5", "superior"), ("T12", "inferior")),
    "TK_T2T5": (("T2", "superior"), ("T5", "inferior")),
    "TLK_T10L2": (("T10", "superior"), ("L2", "inferior")),
    "CL_C2C7": (("C7", "inferior"), ("C2", "inferior")),
}
"""Lordoses and kyphoses: slope of the first plate minus slope of the second."""


def region_pair(key: str) -> PairOf:
    """The normals of both plates of a region."""
    first_at, second_at = REGIONS[key]
    levels = sorted({first_at[0], second_at[0]}, key=(*LEVELS, S1).index)

    def pair(view: View) -> Pair:
        first, second = both(lambda: view.plate(*first_at), lambda: view.plate(*second_at))
        return Pair(
            first.normal,
            second.normal,
            (sagittal_arm(view, first), sagittal_arm(view, second)),
            upper=levels[0],
            lower=levels[-1],
        )

    return pair


def plate_pair(level: str, which: str) -> PairOf:
    """A plate's normal and the vertical."""

    def pair(view: View) -> Pair:
        plate = view.plate(level, which)
        return Pair(plate.normal, view.up, (sagittal_arm(view, plate),), level=level)

    return pair


def inclination_pair(level: str) -> PairOf:
    """The line hip axis - body centroid and the vertical: forwards is positive."""

    def pair(view: View) -> Pair:
        body, hips = both(lambda: view.body(level), view.hip_middle)
        lines = (line_between("arm", hips, body), upright(view, hips, body - hips), hip_axis(view))
        return Pair(body - hips, view.up, lines, level=level)

    return pair


def dens_pair(view: View) -> Pair:
    """The line hip axis - tip of the dens and the vertical."""
    tip, hips = both(view.dens_tip, view.hip_middle)
    lines = (line_between("arm", hips, tip), upright(view, hips, tip - hips), hip_axis(view))
    return Pair(tip - hips, view.up, lines)


def t1_pelvic_pair(view: View) -> Pair:
    """At the hip axis: the line to T1 and the line to S1."""
    (t1, s1), hips = both(lambda: both(lambda: view.body("T1"), view.s1), view.hip_middle)
    lines = (line_between("arm", hips, s1.centre), line_between("arm", hips, t1), hip_axis(view))
    return Pair(t1 - hips, s1.centre - hips, lines)


def global_tilt_pair(view: View) -> Pair:
    """The line S1 - C7 and the line hip axis - S1."""
    (c7, s1), hips = both(lambda: both(lambda: view.body("C7"), view.s1), view.hip_middle)
    lines = (line_between("arm", hips, s1.centre), line_between("arm", s1.centre, c7), hip_axis(view))
    return Pair(c7 - s1.centre, s1.centre - hips, lines)


def spino_sacral_pair(view: View) -> Pair:
    """The way forward along the S1 plate and the line S1 - C7."""
    s1, c7 = both(view.s1, lambda: view.body("C7"))
    forward = np.cross(view.left, s1.normal)
    return Pair(forward, c7 - s1.centre, (sagittal_arm(view, s1), line_between("arm", s1.centre, c7)))


def spino_sacral_pair_in_space(view: View) -> Pair:
    """The same line and the plate's own way forward, which lies in the plate."""
    flat, back = spino_sacral_pair(view), view.axes[:, :, 1]
    return replace(flat, first=-across(back, view.s1().normal))


def incidence_minus_lordosis(view: View) -> Reading:
    """Incidence minus lordosis; the slope of S1, and its error, is in both and falls out."""
    incidence, lordosis = both(
        lambda: pelvic_incidence(view), lambda: from_the_side(region_pair("LL_L1S1"))(view)
    )
    return Reading(incidence.values - lordosis.values, incidence.lines + lordosis.lines)


def lordosis_distribution(view: View) -> Reading:
    """Lordosis L4-S1 in per cent of lordosis L1-S1."""
    low, whole = (from_the_side(region_pair(key))(view) for key in ("LL_L4S1", "LL_L1S1"))
    if abs(whole.value) < LEAST_LORDOSIS_DEG:
        raise Missing(f"lordosis L1-S1 is {whole.value:.1f} degrees: parts of so little say nothing")
    return Reading(100 * low.values / whole.values, low.lines + whole.lines)


def sagittal_vertical_axis(view: View) -> Reading:
    """How far C7's centroid stands in front of the posterior superior corner of S1."""
    s1, c7 = both(view.s1, lambda: view.body("C7"))
    return _ahead(view, s1, c7)


def cervical_vertical_axis(view: View) -> Reading:
    """How far C2's centroid stands in front of the posterior superior corner of C7."""
    c7, c2 = both(lambda: view.superior("C7"), lambda: view.body("C2"))
    return _ahead(view, c7, c2)


def _ahead(view: View, base: Plate, body: FloatArray) -> Reading:
    corner, top = view.turned(base.posterior), view.turned(body)
    foot = np.array([top[0, 0], top[0, 1], corner[0, 2]])
    level_with = np.array([top[0, 0], corner[0, 1], corner[0, 2]])
    return Reading(
        corner[:, 1] - top[:, 1],
        (
            Line("plumb", np.stack([body[0], view.lps(foot)])),
            Line("centre", np.stack([view.lps(foot), view.lps(level_with)])),
        ),
    )
