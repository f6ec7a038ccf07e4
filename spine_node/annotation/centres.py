"""Centres of structures that a person clicked or listed: plain JSON, CSV, 3D Slicer's markups.

Every reader gives LPS millimetres, whatever the file's own frame.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from spine_node.anatomy.names import structure_named
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import FloatArray, Grid

Centres = dict[str, FloatArray]
"""LPS mm by structure: a level, or a key of `anatomy.levels.STRUCTURE_VALUES`."""

_RAS = np.array([-1.0, -1.0, 1.0])


def read_centres(path: Path) -> Centres:
    """Centres in a file of one of these kinds, by its content.

    - JSON `{"landmarks": {"L1": {"lps": [x, y, z]}}}` or `{"L1": [x, y, z]}`, LPS mm;
    - CSV with the columns name, x, y, z (LPS mm; a header line is optional);
    - 3D Slicer point lists, .mrk.json and .fcsv, in the frame that the file states.

    Names may be written in any common way ("Th12", "vertebrae_L1", "S1", "hip left").

    Raises
    ------
    LabelMapRefused
        If the file is of none of these kinds, or a name is not understood or occurs twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        points = _json_points(json.loads(text)) if path.name.endswith(".json") else _table_points(text)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
        raise LabelMapRefused(
            f"{path} is no list of centres ({type(problem).__name__}: {problem}). Expected is JSON "
            '{"L1": [x, y, z], ...} in LPS mm, CSV "name,x,y,z", or 3D Slicer (.mrk.json, .fcsv).'
        ) from problem
    centres: Centres = {}
    unknown = []
    for name, point in points:
        named = structure_named(name)
        if named is None:
            unknown.append(name)
        elif named.structure in centres:
            raise LabelMapRefused(f"{path} has two centres for {named.structure}.")
        else:
            centres[named.structure] = np.asarray(point, dtype=float)
    if unknown or not centres:
        raise LabelMapRefused(
            f"{path}: {', '.join(map(repr, unknown)) or 'no point'} names no structure; names such as L1, "
            "T12, S1, hip_left, femoral_head_right were expected."
        )
    return centres


def check_inside(centres: Centres, grid: Grid) -> None:
    """See that the centres lie in the image.

    Raises
    ------
    LabelMapRefused
        Says which do not; when all of them would in the other frame, says that.
    """
    size = np.array(grid.shape)

    def outside(points: Centres) -> list[str]:
        index = {name: grid.to_index(point) for name, point in points.items()}
        return [name for name, i in index.items() if (i < -0.5).any() or (i > size - 0.5).any()]

    beyond = outside(centres)
    if not beyond:
        return
    hint = ""
    if len(beyond) == len(centres) and not outside({n: p * _RAS for n, p in centres.items()}):
        hint = " In RAS they would lie inside: is the file in another frame than it says?"
    raise LabelMapRefused(
        f"the centres of {', '.join(beyond)} lie outside the image, which reaches from "
        f"{np.round(_corners(grid).min(axis=0)).tolist()} to {np.round(_corners(grid).max(axis=0)).tolist()} "
        f"mm (LPS).{hint}"
    )


def _corners(grid: Grid) -> FloatArray:
    return grid.to_mm(np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T)


def _json_points(content: object) -> list[tuple[str, FloatArray]]:
    if not isinstance(content, dict):
        raise ValueError("an object was expected")
    if "markups" in content:
        return [point for markup in content["markups"] for point in _slicer_points(markup)]
    landmarks = content.get("landmarks", content)
    return [
        (name, _point(entry["lps"] if isinstance(entry, dict) else entry))
        for name, entry in landmarks.items()
    ]


def _slicer_points(markup: dict) -> list[tuple[str, FloatArray]]:  # type: ignore[type-arg]
    flip = _flip(str(markup.get("coordinateSystem", "LPS")))
    unit = markup.get("coordinateUnits", "mm")
    if (unit[0] if isinstance(unit, list) else unit) not in ("mm", ""):
        raise ValueError(f"coordinates in {unit}, mm were expected")
    return [
        (str(point["label"]), _point(point["position"]) * flip)
        for point in markup["controlPoints"]
        if point.get("positionStatus", "defined") == "defined"
    ]


def _table_points(text: str) -> list[tuple[str, FloatArray]]:
    """CSV, or Slicer's .fcsv: comments at the head that name the frame and the columns."""
    head = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    rows = list(csv.reader(line for line in text.splitlines() if line.strip() and not line.startswith("#")))
    fields = dict(part for line in head if len(part := _pair(line)) == 2)
    if "columns" in fields:
        columns = [c.strip() for c in fields["columns"].split(",")]
        x, name = columns.index("x"), columns.index("label")
        flip = _flip(fields.get("CoordinateSystem", "RAS"))
        return [(row[name], _point(row[x : x + 3]) * flip) for row in rows]
    if rows and not _is_number(rows[0][1]):
        rows = rows[1:]
    return [(row[0], _point(row[1:4])) for row in rows]


def _pair(line: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in line.split("=", 1))


def _flip(frame: str) -> FloatArray:
    """Signs that turn the axes of a Slicer frame into LPS; old files number the frames."""
    if frame in ("LPS", "1"):
        return np.ones(3)
    if frame in ("RAS", "0"):
        return _RAS
    raise ValueError(f"coordinate system {frame}, LPS or RAS was expected")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _point(numbers: object) -> FloatArray:
    point = np.array(numbers, dtype=float)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ValueError(f"{numbers} is no point of three numbers")
    return point
