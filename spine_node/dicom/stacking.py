"""From single slices to one grid: in order along the normal, evenly spaced, without shear.

Refuses whatever is not such a stack and repairs nothing. The tolerances are those of rounding in
headers, far below what a measurement would notice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spine_node.dicom.frames import Frame
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import FloatArray, Grid

MIN_SLICES = 16
"""Fewer slices are no volume: a vertebra is 20 mm high, a scout is one to three images."""

SAME_MM = 0.01
"""Positions closer than this are the same."""

SPACING_TOLERANCE = 0.01
"""By which part a step between slices may differ from the usual one, beyond `SAME_MM`."""

DIRECTION_TOLERANCE = 1e-3
"""How much direction cosines may differ, dimensionless (0.06 degrees)."""

SHEAR_TOLERANCE_DEG = 0.2
"""Angle between the stacking direction and the normal of the slices."""


def usual_step_mm(along_mm: FloatArray) -> float:
    """The commonest distance between neighbours of ascending positions along the normal."""
    return float(np.median(np.diff(along_mm)))


def allowed_step_mm(step_mm: float) -> float:
    """By how much a step may differ from the usual one."""
    return SAME_MM + SPACING_TOLERANCE * step_mm


def ordered(frames: Sequence[Frame]) -> tuple[list[Frame], FloatArray]:
    """Slices in the order of their normal, and their ascending positions along it, mm."""
    along = np.array([f.position_mm for f in frames]) @ frames[0].normal
    order = np.argsort(along, kind="stable")
    return [frames[i] for i in order], np.asarray(along[order])


def stack(frames: Sequence[Frame], series: str) -> tuple[list[Frame], Grid]:
    """Slices in order, and their grid with axes (slice, row, column).

    Parameters
    ----------
    frames : sequence of Frame
    series : str
        The series' UID, for messages.

    Raises
    ------
    SeriesRefused
        If there are too few slices, or they differ in matrix, spacing or orientation, share a
        position, leave a gap, or are stacked askew (gantry tilt).
    """
    if len(frames) < MIN_SLICES:
        raise SeriesRefused(
            f"series {series} has {_count(len(frames), 'slice')}; a volume needs at least {MIN_SLICES}."
        )
    _check_alike(frames, series)
    slices, along = ordered(frames)
    _check_steps(slices, along, series)
    return slices, _grid(slices, series)


def _check_alike(frames: Sequence[Frame], series: str) -> None:
    first = frames[0]
    row, column = first.orientation[:3], first.orientation[3:]
    lengths = np.array([row @ row, column @ column, 1 + abs(row @ column)])
    if np.abs(lengths - 1).max() > DIRECTION_TOLERANCE:
        raise SeriesRefused(
            f"ImageOrientationPatient of series {series} is {_text(first.orientation)}: "
            "two perpendicular unit vectors were expected."
        )
    for frame in frames[1:]:
        if frame.shape != first.shape:
            _refuse_mixed(series, "matrix", first, frame, f"{first.shape}", f"{frame.shape}")
        if not np.allclose(frame.spacing_mm, first.spacing_mm, rtol=1e-3):
            seen = [_text(f.spacing_mm) + " mm" for f in (first, frame)]
            _refuse_mixed(series, "pixel spacing", first, frame, *seen)
        if np.abs(frame.orientation - first.orientation).max() > DIRECTION_TOLERANCE:
            seen = [_text(f.orientation) for f in (first, frame)]
            _refuse_mixed(series, "orientation", first, frame, *seen)


def _refuse_mixed(series: str, what: str, first: Frame, other: Frame, a: str, b: str) -> None:
    raise SeriesRefused(
        f"series {series} mixes slices of different {what}: {a} in {first.name}, {b} in {other.name}. "
        "It is not one volume; the sender should split it."
    )


def _check_steps(slices: Sequence[Frame], along: FloatArray, series: str) -> None:
    steps = np.diff(along)
    same = np.flatnonzero(steps < SAME_MM)
    if same.size:
        one, two = slices[same[0]], slices[same[0] + 1]
        raise SeriesRefused(
            f"series {series} has {_count(same.size, 'slice')} at a position that another has too, the first "
            f"{one.name} and {two.name} at {_text(one.position_mm)} mm: several volumes, or slices sent "
            "twice under new names."
        )
    usual = usual_step_mm(along)
    off = np.flatnonzero(np.abs(steps - usual) > allowed_step_mm(usual))
    if off.size:
        worst = int(off[np.argmax(np.abs(steps[off] - usual))])
        missing = (
            "A slice is probably missing." if steps[worst] > 1.5 * usual else "Slices are unevenly spaced."
        )
        raise SeriesRefused(
            f"slice spacing is not uniform in series {series}: {usual:.3f} mm for "
            f"{_count(steps.size - off.size, 'gap')}, {steps[worst]:.3f} mm after {slices[worst].name} "
            f"(allowed ± {allowed_step_mm(usual):.3f} mm). {missing}"
        )
    drift = along - np.linspace(along[0], along[-1], len(along))
    if np.abs(drift).max() > usual / 4:
        at = int(np.argmax(np.abs(drift)))
        raise SeriesRefused(
            f"slice spacing drifts in series {series}: {slices[at].name} lies {drift[at]:.3f} mm from its "
            f"place in an even stack of {usual:.3f} mm."
        )


def _grid(slices: Sequence[Frame], series: str) -> Grid:
    first, last = slices[0], slices[-1]
    step = (last.position_mm - first.position_mm) / (len(slices) - 1)
    tilt = np.degrees(np.arccos(np.clip(step @ first.normal / np.linalg.norm(step), -1, 1)))
    if tilt > SHEAR_TOLERANCE_DEG:
        raise SeriesRefused(
            f"series {series} is stacked {tilt:.1f} degrees off the normal of its slices (gantry tilt or "
            f"shear; at most {SHEAR_TOLERANCE_DEG} degrees are accepted). Reconstruct it without tilt."
        )
    aside = np.array([f.position_mm for f in slices]) - first.position_mm
    aside -= np.outer(np.arange(len(slices)), step)
    if np.abs(aside).max() > max(min(first.spacing_mm), float(np.linalg.norm(step))) / 2:
        at = int(np.argmax(np.abs(aside).max(axis=1)))
        raise SeriesRefused(
            f"series {series} is not stacked along a line: {slices[at].name} lies "
            f"{float(np.linalg.norm(aside[at])):.3f} mm from it."
        )
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[3:] * first.spacing_mm[0]
    affine[:3, 2] = first.orientation[:3] * first.spacing_mm[1]
    affine[:3, 3] = first.position_mm
    return Grid((len(slices), *first.shape), affine)


def _text(numbers: Sequence[float] | FloatArray) -> str:
    return "\\".join(f"{float(n):g}" for n in numbers)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
