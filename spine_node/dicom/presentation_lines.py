"""Which measured lines a slice of the source can show, and the words beside them. Knows no DICOM object.

A slice shows a line when no point of it lies further than `OFF_SLICE_MM` from the slice and it leans out
of the slice's plane by at most `LEAN_DEG`. A number is shown on slices of the plane it is read in, and
only if all its lines are; what is measured in space is shown nowhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from spine_node.imaging.volume import FloatArray, Grid
from spine_node.parameters.model import Measurements, Parameter

OFF_SLICE_MM = 5.0
"""Less than half of a vertebral body's or a wide disc's height: the slice still shows what was measured."""

LEAN_DEG = 15.0
"""What is drawn is then at least 96.5 % of the true length."""

SHORT_MM = 1.0
"""Shorter lines have no direction worth the name."""

_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""LPS axis across each plane."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a number is called beside its line, and what its side means where that is the sign."""

    name: str
    side: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A graphic layer: rows of the catalogue that are read in one plane.

    Attributes
    ----------
    name : str
        A CS of at most 16 signs.
    plane : str
        "axial", "coronal" or "sagittal": on slices of no other plane are these lines drawn.
    cielab : tuple of int
    rows : dict of str to Words
        By key of the catalogue.
    """

    name: str
    plane: str
    cielab: tuple[int, int, int]
    rows: dict[str, Words]


LAYERS = (
    Layer(
        "FRONT VIEW",
        "coronal",
        (80, -60, 60),
        {
            "COBB": Words("Cobb", "convex {}"),
            "C7_CSVL": Words("C7 to CSVL", "to the {}"),
            "AVT": Words("Apical translation", "to the {}"),
            "T1_TILT": Words("Tilt", "leans {}"),
            "L5_TILT": Words("Tilt", "leans {}"),
            "S1_TILT": Words("Tilt", "leans {}"),
            "PELVOBL": Words("Pelvic obliquity", "{} higher"),
            "PELVOBL_CREST": Words("Obliquity of the crests", "{} higher"),
            "FHHD": Words("Femoral heads", "{} higher"),
        },
    ),
    Layer(
        "SIDE VIEW",
        "sagittal",
        (85, 0, 80),
        {
            "PI": Words("Pelvic incidence"),
            "PT": Words("Pelvic tilt"),
            "SS": Words("Sacral slope"),
            "LL_L1S1": Words("Lordosis"),
            "LL_L4S1": Words("Lordosis"),
            "TLK_T10L2": Words("Kyphosis"),
            "TK_T4T12": Words("Kyphosis"),
            "CL_C2C7": Words("Lordosis"),
            "T1S": Words("Slope"),
            "TPA": Words("T1 pelvic angle"),
            "SVA": Words("SVA"),
            "CSVA": Words("SVA C2-C7"),
        },
    ),
    Layer(
        "ROTATION",
        "axial",
        (75, 60, 40),
        {"PELVIS_YAW": Words("Pelvis", "turned {}"), "AVR": Words("Rotation", "to the {}")},
    ),
    Layer("CANAL", "axial", (80, -35, -20), {"CANAL_AP": Words("Canal AP"), "CANAL_W": Words("Canal width")}),
    Layer(
        "PLATES",
        "axial",
        (85, 15, 5),
        {
            "EPW_SUP": Words("Upper plate width"),
            "EPW_INF": Words("Lower plate width"),
            "EPD_SUP": Words("Upper plate depth"),
            "EPD_INF": Words("Lower plate depth"),
        },
    ),
)
"""What is drawn, in the order of the layers; numbers that share a line share its text.

One theme a plane reads from it; heights, discs and slips of every level would hide the midsagittal slice.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A line as one slice shows it.

    Attributes
    ----------
    slice : int
        Index along the grid's first axis.
    points : ndarray, shape (2, 2)
        Both ends: column and row in PIXEL units: 0 at the outer corner of the first pixel, its centre at 0.5
        (PS3.3 C.10.5.1.2).
    """

    slice: int
    points: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What is drawn of one layer on one slice: traces, and texts of which each stands by a trace."""

    slice: int
    layer: str
    traces: tuple[FloatArray, ...]
    texts: tuple[tuple[str, FloatArray], ...]


def drawings(measurements: Measurements, grid: Grid) -> list[Drawing]:
    """Everything that the slices of this grid can show, in the order of slices and layers.

    A number is drawn if all its lines are: on one slice where one shows them all, else each on the slice
    nearest to it. An axis along the slice's normal is seen end on and left out.

    Parameters
    ----------
    measurements : Measurements
    grid : Grid
        Axes (slice, row, column).
    """
    plane = plane_of(grid)
    found: dict[tuple[int, int], dict[bytes, tuple[FloatArray, list[str]]]] = {}
    for order, layer in enumerate(LAYERS):
        for parameter in measurements.parameters if layer.plane == plane else ():
            if parameter.key not in layer.rows:
                continue
            text, worded = text_of(parameter, layer.rows[parameter.key]), set()
            for trace in _traces(parameter, grid):
                on_slice = found.setdefault((trace.slice, order), {})
                key = trace.points.round(1).tobytes()
                _, texts = on_slice.setdefault(key, (trace.points, []))
                if trace.slice not in worded:
                    worded.add(trace.slice)
                    texts.append(text)
    return [
        Drawing(
            index,
            LAYERS[order].name,
            tuple(points for points, _ in lines.values()),
            tuple(("\r\n".join(texts), points) for points, texts in lines.values() if texts),
        )
        for (index, order), lines in sorted(found.items(), key=lambda item: item[0])
    ]


def plane_of(grid: Grid) -> str:
    """The plane that the slices are in, within `LEAN_DEG`; empty for oblique ones."""
    normal = np.abs(np.cross(grid.affine[:3, 1], grid.affine[:3, 2]))
    along = normal / np.linalg.norm(normal)
    return next((name for name, axis in _AXES.items() if along[axis] >= _cos(LEAN_DEG)), "")


def text_of(parameter: Parameter, words: Words) -> str:
    """Name, level and number in ASCII; "~" before what is too uncertain for the clinic.

    The size alone where the side stands for the sign.
    """
    where = parameter.level or "-".join(level for level in (parameter.upper, parameter.lower) if level)
    sided = bool(parameter.side and words.side)
    value = f"{abs(parameter.value) if sided else parameter.value:.1f}"
    value = "0.0" if value == "-0.0" else value
    parts = (
        words.name,
        where if where not in words.name else "",
        f"{'~' if parameter.imprecise else ''}{value} {parameter.unit}",
        words.side.format(parameter.side) if sided else "",
    )
    return " ".join(part for part in parts if part)


def _traces(parameter: Parameter, grid: Grid) -> list[Trace]:
    """All lines of a number but axes seen end on, on one slice if one shows them all; or none of them."""
    lines = [(line.role, grid.to_index(line.points_mm)) for line in parameter.lines]
    seen = [points for role, points in lines if len(points) > 1 and not _dot(role, points, grid)]
    if not seen:
        return []
    together = _middle_slice(np.concatenate(seen))
    for slices in ([together] * len(seen), [_middle_slice(points) for points in seen]):
        shown = [_pieces(points, index, grid) for points, index in zip(seen, slices, strict=True)]
        if all(shown):
            return [trace for pieces in shown for trace in pieces]
    return []


def _middle_slice(points: FloatArray) -> int:
    return round(float(points[:, 0].min() + points[:, 0].max()) / 2)


def _pieces(points: FloatArray, index: int, grid: Grid) -> list[Trace]:
    """A line, shape (n, 3) in fractional array indices, as this slice shows it; empty if it does not."""
    if not 0 <= index < grid.shape[0]:
        return []
    off_mm = np.abs(points[:, 0] - index).max() * grid.spacing_mm[0]
    flat, length = _lengths(points, grid)
    if off_mm > OFF_SLICE_MM or (length >= SHORT_MM and flat < _cos(LEAN_DEG) * length):
        return []
    flattened = points[:, :0:-1] + 0.5
    ends = (_clipped(a, b, grid.shape[2], grid.shape[1]) for a, b in itertools.pairwise(flattened))
    return [Trace(index, piece) for piece in ends if piece is not None]


def _dot(role: str, points: FloatArray, grid: Grid) -> bool:
    """Whether a line has no length, or is an axis along the normal: the hip axis in the side view."""
    flat, length = _lengths(points, grid)
    end_on = length >= SHORT_MM and flat <= np.sin(np.radians(LEAN_DEG)) * length
    return length == 0 or (role == "axis" and bool(end_on))


def _lengths(points: FloatArray, grid: Grid) -> tuple[float, float]:
    """Length in the slice's plane and in space, mm."""
    steps = np.diff(points, axis=0) * grid.spacing_mm
    return float(np.linalg.norm(steps[:, 1:], axis=1).sum()), float(np.linalg.norm(steps, axis=1).sum())


def _clipped(start: FloatArray, end: FloatArray, columns: int, rows: int) -> FloatArray | None:
    """The part of a straight line inside the image, whose borders PIXEL units may not leave.

    Cut at the borders by its parameter (Liang and Barsky 1984).
    """
    limits, step = np.array([columns, rows], dtype=float), end - start
    still = step == 0
    if (still & ((start < 0) | (start > limits))).any():
        return None
    safe = np.where(still, 1.0, step)
    at = np.sort([-start / safe, (limits - start) / safe], axis=0)
    first = max(0.0, *at[0, ~still])
    last = min(1.0, *at[1, ~still])
    if first >= last:
        return None
    return np.clip([start + first * step, start + last * step], 0.0, limits)


def _cos(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))
