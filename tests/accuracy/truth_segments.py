"""The panel of each segment: disc angles and heights, slips, and the turn between two vertebrae."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.accuracy.frames import across, between, cardan, slope, tilt, unit
from tests.accuracy.landmarks import Marks, PlateMarks
from tests.accuracy.truth import HEADS, Panel, Value
from tests.accuracy.truth_vertebrae import heights_mm


def disc_heights_mm(
    upper: PlateMarks, lower: PlateMarks, back_upper: object, back_lower: object
) -> list[float]:
    """Anterior, middle and posterior distance of the facing surfaces along the disc's mid-plane normal."""
    middle = unit(upper.normal + lower.normal)
    back = across(np.asarray(back_upper) + np.asarray(back_lower), middle)
    left = np.cross(back, middle)
    fronts = [p.anterior_edge @ back for p in (upper, lower)]
    backs = [p.posterior_edge @ back for p in (upper, lower)]
    front, rear = max(fronts), min(backs)
    seat = (upper.centre + lower.centre) / 2
    found = []
    for share in (0.1, 0.5, 0.9):
        y = front + share * (rear - front)
        point = (seat @ left) * left + y * back + (seat @ middle) * middle
        found.append(upper.height_along(point, middle) - lower.height_along(point, middle))
    return found


def segments(marks: Marks) -> list[Value]:
    """Every key of every segment, the last one on S1."""
    panel = Panel()
    order = [*marks.vertebrae, "S1"]
    for name, below in pairwise(order):
        v = marks.vertebrae[name]
        upper = v.inferior
        lower = marks.s1 if below == "S1" else marks.vertebrae[below].superior
        assert lower is not None
        where, pair = (name, below), (name, below)
        # S1 takes its directions from the hip axis
        seen = (*pair, *HEADS) if below == "S1" else pair
        angle = slope(lower.normal) - slope(upper.normal)
        turn = between(lower.normal, upper.normal)
        panel.add("DISC_ANG_S", angle, (*pair, *HEADS), where=where)
        panel.add("DISC_ANG_C", tilt(lower.normal) - tilt(upper.normal), (*pair, *HEADS), where=where)
        panel.add("DISC_ANG_3D", turn, pair, where=where)
        lower_back = lower.back if below == "S1" else marks.vertebrae[below].axes[:, 1]
        ant, mid, post = disc_heights_mm(upper, lower, v.axes[:, 1], lower_back)
        for key, value in (("DH_ANT", ant), ("DH_MID", mid), ("DH_POST", post)):
            panel.add(key, value, seen, where=where)
        tall = [heights_mm(marks.vertebrae[n])["MID"] for n in pair if n not in ("C2", "S1")]
        mean = (ant + mid + post) / 3
        panel.add("DHI", mean / float(np.mean(tall)), seen, where=where, expected=name != "C2")
        panel.add("DHI_FARFAN", (ant + post) / ((upper.depth + lower.depth) / 2), seen, where=where)
        _slips(panel, upper, lower, where, seen)
        if below != "S1":
            relative = marks.vertebrae[below].axes.T @ v.axes
            told = name != "C2"
            panel.add("IVR", cardan(relative)[2], pair, where=where, expected=told)
            cosine = np.clip((np.trace(relative) - 1) / 2, -1, 1)
            whole = float(np.degrees(np.arccos(cosine)))
            panel.add("IVR_HELICAL", whole, pair, where=where, expected=told)
        else:
            frame = np.column_stack([lower.left, lower.back, lower.normal])
            panel.add("IVR", cardan(frame.T @ v.axes)[2], seen, where=where, expected=False)
    return panel.values


def _slips(
    panel: Panel, upper: PlateMarks, lower: PlateMarks, where: tuple[str, str], seen: tuple[str, ...]
) -> None:
    edges = upper.posterior_edge - lower.posterior_edge
    slip = float(edges @ -lower.back)
    panel.add("SLIP_MM", slip, seen, where=where)
    panel.add("SLIP_PCT", 100 * slip / lower.depth, seen, where=where)
    panel.add("SLIP_LAT", float((upper.centre - lower.centre) @ lower.left), seen, where=where)
    panel.add("SLIP_VERT", float(edges @ lower.normal), seen, where=where)
