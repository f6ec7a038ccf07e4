"""One measured label map against the truth: an error for every value, every landmark and every curve."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tests.accuracy.bars import PERCENT, is_angle
from tests.accuracy.frames import between, fold
from tests.accuracy.landmarks import Marks, marks
from tests.accuracy.skeleton import Skeleton, standing
from tests.accuracy.truth import Value, whole_spine
from tests.accuracy.truth_classes import wrong_classes
from tests.accuracy.truth_curves import Curve, at_levels, curves
from tests.accuracy.truth_segments import segments
from tests.accuracy.truth_vertebrae import vertebrae

CURVE_KEYS = ("COBB", "COBB_3D", "COBB_PMC", "PMC_AZ", "AVT", "AVR_APEX", "TORSION")


@dataclass(frozen=True)
class Error:
    """One comparison. `error` is measured minus true: degrees, mm, per cent (volumes) or a ratio.

    `seen` tells whether all that it needs is whole in the field of view.
    """

    key: str
    where: str
    true: float
    error: float
    uncertainty: float | None
    seen: bool
    imprecise: bool = False


@dataclass
class Case:
    """All errors of one label map, and what was not measured though it could be seen."""

    errors: list[Error] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    classes: list[list[Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@lru_cache(maxsize=4)
def panel_of(seed: int, plain: bool | None = None) -> tuple[Skeleton, Marks, tuple[Value, ...]]:
    """A person of this seed, with landmarks and the true panel."""
    skeleton = standing(seed, plain)
    exact = marks(skeleton)
    values = (*whole_spine(exact), *vertebrae(exact, skeleton), *segments(exact))
    return skeleton, exact, values


def compare(
    spine: Any, measurements: Any, exact: Marks, values: tuple[Value, ...], seen: frozenset[str]
) -> Case:
    """Hold what was measured against the truth."""
    case = Case()
    true = {(v.key, v.where): v for v in values}
    done = set()
    for p in measurements.parameters:
        where = _where(p)
        known = true.get((p.key, where)) or true.get((p.key, ()))
        if p.key in CURVE_KEYS:
            _curve_value(case, p, exact, seen)
        elif known is None:
            if p.key not in case.unknown:
                case.unknown.append(p.key)
        elif isinstance(known.value, float) and isinstance(p.value, int | float):
            done.add((known.key, known.where))
            case.errors.append(_error(p, known.value, "/".join(known.where), known.needs <= seen))
    reasons = {(m.key, m.level): m.reason for m in measurements.not_measured}
    for place, v in true.items():
        if v.expected and v.needs <= seen and place not in done:
            where = "/".join(v.where)
            reason = reasons.get((v.key, where or None), reasons.get((v.key, None), "no reason given"))
            case.missed.append((v.key, where, reason))
    _landmarks(case, spine, exact, seen)
    _curves(case, measurements, exact, seen)
    order = list(exact.vertebrae)
    spans = curves(exact, tuple(order[order.index("C7") :]), True)
    case.classes = wrong_classes(measurements.classes, values, spans, seen)
    return case


def _where(p: Any) -> tuple[str, ...]:
    if p.level is not None:
        return tuple(p.level.split("/"))
    return (p.upper, p.lower) if p.upper and p.lower else ()


def _error(p: Any, true: float, where: str, seen: bool) -> Error:
    error = fold(p.value - true) if is_angle(p.key) else p.value - true
    spread = p.uncertainty
    if p.key in PERCENT:
        error = 100 * error / true
        spread = None if spread is None else 100 * spread / true
    return Error(p.key, where, true, float(error), spread, seen, bool(getattr(p, "imprecise", False)))


def _curve_value(case: Case, p: Any, exact: Marks, seen: frozenset[str]) -> None:
    """A curve's value against the truth at the very levels it was measured at."""
    if p.upper not in exact.vertebrae or p.lower not in exact.vertebrae:
        case.unknown.append(f"{p.key} {p.upper}-{p.lower}")
        return
    apex = p.apex.split("/")[0] if p.apex else None
    true = at_levels(exact, p.upper, apex, p.lower).get(p.key)
    if true is None:
        return
    base = {"C7", "S1"} if p.key == "AVT" else set()
    needs = {p.upper, p.lower, "head left", "head right"} | base | ({apex} if apex else set())
    where = f"{p.upper}-{p.apex}-{p.lower}"
    case.errors.append(_error(p, true, where, bool(needs <= seen)))


def _landmarks(case: Case, spine: Any, exact: Marks, seen: frozenset[str]) -> None:
    def add(key: str, where: str, error: float, needs: set[str]) -> None:
        case.errors.append(Error(key, where, 0.0, float(error), None, needs <= seen))

    frame = exact.frame
    for level, v in exact.vertebrae.items():
        found = _vertebra(spine, level)
        if found is None:
            continue
        for name, plate in (("superior", v.superior), ("inferior", v.inferior)):
            measured = getattr(found, name)
            if plate is None or measured is None:
                continue
            add("plate normal", f"{level} {name}", between(measured.normal, frame @ plate.normal), {level})
            off = measured.centre_mm - exact.world(plate.centre)
            add("plate centre", f"{level} {name}", float(np.linalg.norm(off)), {level})
        if found.body_centre_mm is not None:
            off = found.body_centre_mm - exact.world(v.centroid)
            add("body centroid", level, float(np.linalg.norm(off)), {level})
    if spine.s1 is not None:
        add("S1 normal", "S1", between(spine.s1.normal, frame @ exact.s1.normal), {"S1"})
        off = spine.s1.centre_mm - exact.world(exact.s1.centre)
        add("S1 centre", "S1", float(np.linalg.norm(off)), {"S1"})
    for side, head in spine.heads.items():
        off = head.centre_mm - exact.world(exact.heads[side])
        add("head centre", side, float(np.linalg.norm(off)), {f"head {side}"})
    tip = getattr(spine, "dens_tip_mm", None)
    if tip is not None:
        add("dens tip", "C2", float(np.linalg.norm(tip - exact.world(exact.dens_tip))), {"C2"})


def _vertebra(spine: Any, level: str) -> Any:
    try:
        return spine.vertebra(level)
    except (KeyError, ValueError):
        return None


def _curves(case: Case, measurements: Any, exact: Marks, seen: frozenset[str]) -> None:
    """Each true curve with the measured one that shares most levels and the side; then what is left."""
    order = list(exact.vertebrae)
    if not {"head left", "head right"} <= seen:
        return
    visible = tuple(n for n in order[order.index("C7") :] if n in seen)
    whole = "C7" in seen and "S1" in seen
    found = [p for p in measurements.parameters if p.key == "COBB"]
    span = {id(p): _range(order, p.upper, p.lower) for p in found}
    taken: set[int] = set()
    for true in curves(exact, visible, "S1" in seen):
        mine = _range(order, true.uppers[0], true.lowers[0])
        fits = [p for p in found if id(p) not in taken and p.side == true.side and span[id(p)] & mine]
        record: dict[str, Any] = {
            "true": [
                true.uppers[0],
                (true.apices or (None,))[0],
                true.lowers[0],
                true.side,
                round(true.cobb, 2),
            ],
            "compensatory": true.compensatory,
            "short": len(mine) < 3,
            "whole": whole,
        }
        if fits:
            best = max(fits, key=lambda p: len(span[id(p)] & mine) / len(span[id(p)] | mine))
            taken.add(id(best))
            record["measured"] = [best.upper, best.apex, best.lower, best.side, round(best.value, 2)]
            record |= _ends(order, true, best)
        case.curves.append(record)
    for p in found:
        if id(p) not in taken:
            told = [p.upper, p.apex, p.lower, p.side, round(p.value, 2)]
            case.curves.append({"true": None, "measured": told, "whole": whole})


def _range(order: list[str], upper: str, lower: str) -> set[str]:
    return set(order[order.index(upper) : order.index(lower) + 1])


def _ends(order: list[str], true: Curve, measured: Any) -> dict[str, bool | None]:
    apex = measured.apex.split("/") if measured.apex else []
    close = [abs(order.index(a) - order.index(t)) for a in apex for t in true.apices if a in order]
    return {
        "upper": measured.upper in true.uppers,
        "lower": measured.lower in true.lowers,
        "apex": None if not close else min(close) == 0,
        "apex_near": None if not close else min(close) <= 1,
    }
