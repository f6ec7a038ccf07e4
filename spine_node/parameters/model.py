"""Parameter, Classification, NotMeasured and Measurements: what is reported, and its JSON (schema 2)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from spine_node.imaging.volume import FloatArray

SCHEMA = 2
"""Version of the JSON form; raised when a reader written for the last one could misread it."""

_READABLE = (1, SCHEMA)
"""Schema 1 knew no classes and no marks of imprecision."""

_PLACE = ("level", "upper", "apex", "lower")
_OPTIONAL = ("level", "upper", "apex", "lower", "side", "uncertainty")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Where a number was read: a polyline to draw.

    Attributes
    ----------
    role : str
        "arm" (of an angle), "centre", "plumb", "axis".
    points_mm : ndarray, shape (n, 3)
        LPS.
    """

    role: str
    points_mm: FloatArray

    def __post_init__(self) -> None:
        points = np.array(self.points_mm, dtype=np.float64).reshape(-1, 3)
        points.setflags(write=False)
        object.__setattr__(self, "points_mm", points)


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One measured number.

    Attributes
    ----------
    key : str
        A key of the catalogue ("PI", "COBB", "AVR", ...).
    value : float
        In `unit`; the sign is the catalogue's.
    unit : str
        UCUM: "deg", "mm", "cm3", "%" or "1".
    method : str
        Which of the competing definitions, in the catalogue's words.
    level, upper, apex, lower : str, optional
        Levels that the number belongs to; `level` is "L4" for a vertebra, "L4/L5" for two neighbours.
    side : str, optional
        "left" or "right" (convexity of a curve, direction of an offset or a rotation).
    uncertainty : float, optional
        Half width of the 95 % interval, in `unit`.
    imprecise : bool
        Whether that interval is wider than the error that the clinic can bear.
    lines : tuple of Line
        Evidence, for pictures and SCOORD3D; not part of the JSON.
    """

    key: str
    value: float
    unit: str
    method: str
    level: str | None = None
    upper: str | None = None
    apex: str | None = None
    lower: str | None = None
    side: str | None = None
    uncertainty: float | None = None
    lines: tuple[Line, ...] = ()
    imprecise: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.value):
            raise ValueError(f"{self.key} must be finite: use NotMeasured with its reason")


@dataclass(frozen=True, slots=True)
class Classification:
    """A class that follows from parameters.

    Attributes
    ----------
    key : str
        A key of the class catalogue ("SCHWAB_PT", "MEYERDING", ...).
    value : str
        One of that row's values, or a level.
    inputs : tuple of (str, float)
        What it was derived from: keys and numbers.
    borderline : bool
        Whether an input lies so near to a cut that another class is within its 95 % interval.
    provisional : bool
        Whether more than this examination is needed to settle it.
    level, upper, apex, lower : str, optional
        As of a parameter.
    remark : str
        What should be read beside it; empty for nothing.
    """

    key: str
    value: str
    inputs: tuple[tuple[str, float], ...] = ()
    borderline: bool = False
    provisional: bool = False
    level: str | None = None
    upper: str | None = None
    apex: str | None = None
    lower: str | None = None
    remark: str = ""

    def __post_init__(self) -> None:
        rounded = tuple((key, round(float(number), 3)) for key, number in self.inputs)
        object.__setattr__(self, "inputs", rounded)


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A parameter or class that cannot be had here: a result, with its reason in words."""

    key: str
    reason: str
    level: str | None = None


@dataclass(frozen=True, slots=True)
class LevelIdentification:
    """How sure it is that every vertebra has its right name.

    Attributes
    ----------
    margin_nats : float, optional
        Lead over the next best naming of the whole spine; None where the model does not tell.
    next_best : str
        That naming in words; empty when there is none.
    pinned : tuple of str
        Levels that a person has fixed.
    uncertain : bool
        Whether a person should check the levels.
    """

    margin_nats: float | None
    next_best: str = ""
    pinned: tuple[str, ...] = ()
    uncertain: bool = False

    def __post_init__(self) -> None:
        if self.margin_nats is not None:
            object.__setattr__(self, "margin_nats", round(float(self.margin_nats), 3))


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Everything measured on one spine.

    Attributes
    ----------
    frame : str
        "PATIENT" (vertical and femoral heads); without heads "SACRUM" (vertical, and the sacrum's own
        symmetry) or "SCANNER" (the scanner's axes): estimates.
    vertical : str
        Provenance of the vertical, in words.
    levels : LevelIdentification, optional
        How sure the names of the vertebrae are; None where nobody can say.
    classes : tuple of Classification
    """

    frame: str
    vertical: str
    parameters: tuple[Parameter, ...]
    not_measured: tuple[NotMeasured, ...] = ()
    quality: tuple[str, ...] = field(default=())
    levels: LevelIdentification | None = None
    classes: tuple[Classification, ...] = ()

    def get(self, key: str, level: str | None = None) -> Parameter | None:
        """The first parameter with this key (and level), if measured."""
        return next((p for p in self.parameters if p.key == key and level in (None, p.level)), None)

    def get_class(self, key: str, level: str | None = None) -> Classification | None:
        """The first class with this key (and level), if derived."""
        return next((c for c in self.classes if c.key == key and level in (None, c.level)), None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form as plain values, numbers rounded to 0.001."""
        return {
            "schema": SCHEMA,
            "frame": self.frame,
            "vertical": self.vertical,
            "parameters": [
                {"key": p.key, "value": round(float(p.value), 3), "unit": p.unit}
                | {name: _plain(getattr(p, name)) for name in _OPTIONAL if getattr(p, name) is not None}
                | ({"imprecise": True} if p.imprecise else {})
                | {"method": p.method}
                for p in self.parameters
            ],
            "classes": [
                {"key": c.key, "value": c.value}
                | {name: getattr(c, name) for name in _PLACE if getattr(c, name) is not None}
                | {"inputs": dict(c.inputs), "borderline": c.borderline, "provisional": c.provisional}
                | ({"remark": c.remark} if c.remark else {})
                for c in self.classes
            ],
            "not_measured": [
                {"key": n.key, **({"level": n.level} if n.level else {}), "reason": n.reason}
                for n in self.not_measured
            ],
            "quality": list(self.quality),
            **({"levels": asdict(self.levels) | {"pinned": list(self.levels.pinned)}} if self.levels else {}),
        }

    def to_json(self) -> str:
        """measurements.json."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurements:
        """Read the JSON form back.

        Raises
        ------
        ValueError
            If the schema is another one.
        """
        if data.get("schema") not in _READABLE:
            raise ValueError(
                f"measurements have schema {data.get('schema')}, this software reads "
                f"{' and '.join(map(str, _READABLE))}"
            )
        return cls(
            frame=data["frame"],
            vertical=data.get("vertical", ""),
            parameters=tuple(Parameter(**p) for p in data["parameters"]),
            not_measured=tuple(NotMeasured(**n) for n in data["not_measured"]),
            quality=tuple(data["quality"]),
            levels=_levels(data["levels"]) if data.get("levels") else None,
            classes=tuple(
                Classification(**(c | {"inputs": tuple(c["inputs"].items())}))
                for c in data.get("classes", ())
            ),
        )


def _levels(data: dict[str, Any]) -> LevelIdentification:
    return LevelIdentification(**(data | {"pinned": tuple(data["pinned"])}))


def _plain(value: Any) -> Any:
    return round(float(value), 3) if isinstance(value, float) else value
