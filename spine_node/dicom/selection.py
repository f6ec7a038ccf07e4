"""Which received series are for us, and whether one is complete: pure functions of headers, with words."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydicom.dataset import Dataset

from spine_node.dicom.frames import SUPPORTED_CLASSES, Frame, frames_of, image_type_of, is_multiframe
from spine_node.dicom.stacking import SAME_MM, ordered, usual_step_mm
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import FloatArray

_REGEX = "re:"


class Rule(BaseModel):
    """One line of the selection table: all conditions given must hold. Patterns ignore case.

    A pattern is a glob ("*spine*"), or a regular expression after "re:" that may match anywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What a message calls the rule.")
    action: Literal["accept", "ignore"] = Field("accept", description="What happens to a series it fits.")
    modality: tuple[str, ...] = Field((), description="Modalities, any of them.")
    sop_classes: tuple[str, ...] = Field((), description="SOP Class UIDs, any of them.")
    image_type: tuple[str, ...] = Field((), description="Patterns for a value of Image Type.")
    station: tuple[str, ...] = Field((), description="Patterns for Station Name.")
    description: tuple[str, ...] = Field((), description="Patterns for Series Description or Protocol Name.")
    body_part: tuple[str, ...] = Field((), description="Patterns for Body Part Examined.")
    min_slices: int | None = Field(None, ge=1, description="Fewest slices.")
    max_slices: int | None = Field(None, ge=1, description="Most slices.")
    max_spacing_mm: float | None = Field(None, gt=0, description="Largest distance between slices, mm.")
    min_height_mm: float | None = Field(None, gt=0, description="Smallest extent from foot to head, mm.")
    max_height_mm: float | None = Field(None, gt=0, description="Largest extent from foot to head, mm.")
    min_width_mm: float | None = Field(None, gt=0, description="Smallest extent from right to left, mm.")

    @field_validator("image_type", "station", "description", "body_part")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern.startswith(_REGEX):
                try:
                    re.compile(pattern[len(_REGEX) :])
                except re.error as error:
                    raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns


DEFAULT_RULES: tuple[Rule, ...] = (
    Rule(name="localizers", action="ignore", image_type=("*LOCALIZER*",)),
    Rule(
        name="spine-sized volumes",
        sop_classes=tuple(SUPPORTED_CLASSES),
        min_slices=40,
        max_spacing_mm=3.5,
        min_height_mm=120.0,
        min_width_mm=80.0,
    ),
)
"""Takes any CT-like volume that could hold a measurable part of a spine, ignores the rest."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a series is for us, and why."""

    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether everything of a series seems to be here, and why.

    `complete` is also True when waiting would not help: the reason then says what is wrong, and reading
    the series refuses it.
    """

    complete: bool
    reason: str
    received: int
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class _Extent:
    """Size of a series; None where the headers do not tell."""

    slices: int
    spacing_mm: float | None
    height_mm: float | None
    width_mm: float | None


def select(headers: Sequence[Dataset], rules: Sequence[Rule] = DEFAULT_RULES) -> Decision:
    """The action of the first rule that fits these headers of one series; without one, it is ignored."""
    if not headers:
        return Decision(False, "there is no image.")
    extent = _extent(headers)
    misfits = []
    for rule in rules:
        misfit = _misfit(rule, headers[0], extent)
        if misfit is None:
            return Decision(rule.action == "accept", f'rule "{rule.name}" says {rule.action}.')
        if rule.action == "accept":
            misfits.append(f'"{rule.name}": {misfit}')
    return Decision(False, f"no rule accepts it ({'; '.join(misfits) or 'there is none that accepts'}).")


def is_complete(headers: Sequence[Dataset]) -> Completeness:
    """Whether all slices of a series have come, by expected count and by geometry.

    Evidence, in this order: the number of frames or instances that a header announces, then a gap
    of whole slices in the positions. Quiet time is the caller's.
    """
    received = len(headers)
    if not headers:
        return Completeness(False, "nothing has come.", 0)
    if is_multiframe(headers[0]):
        return _multiframe_complete(headers)
    expected = _announced(headers)
    if expected is not None and received < expected:
        return Completeness(
            False, f"{received} of {expected} announced images have come.", received, expected
        )
    try:
        slices, along = ordered(frames_of(headers))
    except SeriesRefused as refusal:
        return Completeness(True, str(refusal), received, expected)
    missing = _gap(headers, slices, along)
    if missing:
        return Completeness(False, missing, received, expected)
    count = f"{received} slices without a gap"
    if expected:
        count += f", {expected} announced"
    return Completeness(True, f"{count}.", received, expected)


def _multiframe_complete(headers: Sequence[Dataset]) -> Completeness:
    total = headers[0].get("InConcatenationTotalNumber")
    if headers[0].get("ConcatenationUID") and total and len(headers) < int(total):
        reason = f"{len(headers)} of {total} parts of a concatenation have come."
        return Completeness(False, reason, len(headers), int(total))
    return Completeness(True, "a multi-frame image is complete in itself.", len(headers), len(headers))


def _announced(headers: Sequence[Dataset]) -> int | None:
    """How many images the headers announce, if they do.

    Images in Acquisition counts those of one Acquisition Number, of which a series may hold several.
    """
    series = [
        int(h.NumberOfSeriesRelatedInstances) for h in headers if h.get("NumberOfSeriesRelatedInstances")
    ]
    if series:
        return max(series)
    acquisitions = {
        str(h.get("AcquisitionNumber")): int(h.ImagesInAcquisition)
        for h in headers
        if h.get("ImagesInAcquisition")
    }
    return sum(acquisitions.values()) or None


def _gap(headers: Sequence[Dataset], slices: Sequence[Frame], along: FloatArray) -> str | None:
    """Where whole slices seem to be missing, in words."""
    steps = np.diff(along)
    if len(slices) < 3 or steps.min() < SAME_MM:
        return None
    usual = usual_step_mm(along)
    declared = abs(float(headers[0].get("SpacingBetweenSlices") or 0))
    if SAME_MM < declared < math.inf and _missing(usual, declared):
        usual = declared
    gaps = [(i, _missing(float(step), usual)) for i, step in enumerate(steps)]
    gaps = [(i, number) for i, number in gaps if number]
    if not gaps:
        return None
    first = gaps[0][0]
    return (
        f"{sum(n for _, n in gaps)} slices seem to be missing: {steps[first]:.3f} mm after "
        f"{slices[first].name}, {usual:.3f} mm is the usual step."
    )


def _missing(step: float, usual: float) -> int:
    """Whole slices that fit into a step beyond the usual one; 0 when it is no multiple."""
    ratio = step / usual
    whole = round(ratio)
    return whole - 1 if whole >= 2 and abs(ratio - whole) < 0.02 * whole else 0


def _extent(headers: Sequence[Dataset]) -> _Extent:
    try:
        slices, along = ordered(frames_of(headers))
    except SeriesRefused:
        return _Extent(len(headers), None, None, None)
    first = slices[0]
    rows, columns = first.shape
    edges = [
        a * first.orientation[3:] * first.spacing_mm[0] * (rows - 1)
        + b * first.orientation[:3] * first.spacing_mm[1] * (columns - 1)
        for a in (0, 1)
        for b in (0, 1)
    ]
    corners = np.array([f.position_mm + e for f in (first, slices[-1]) for e in edges])
    size = np.ptp(corners, axis=0)
    spacing = usual_step_mm(along) if len(slices) > 1 else None
    return _Extent(len(slices), spacing, float(size[2]), float(size[0]))


def _misfit(rule: Rule, header: Dataset, extent: _Extent) -> str | None:
    """The first condition that does not hold, in words."""
    texts = (
        ("Image Type", rule.image_type, image_type_of(header)),
        ("Station Name", rule.station, [str(header.get("StationName") or "")]),
        (
            "description",
            rule.description,
            [str(header.get(k) or "") for k in ("SeriesDescription", "ProtocolName")],
        ),
        ("Body Part Examined", rule.body_part, [str(header.get("BodyPartExamined") or "")]),
    )
    exact = (
        ("Modality", rule.modality, str(header.get("Modality") or "")),
        ("SOP class", rule.sop_classes, str(header.get("SOPClassUID") or "")),
    )
    for what, wanted, value in exact:
        if wanted and value not in wanted:
            return f"{what} is {value or 'missing'}"
    for what, patterns, values in texts:
        if patterns and not any(_matches(p, v) for p in patterns for v in values):
            return (
                f"{what} is {' '.join(v for v in values if v) or 'missing'}, wanted {' or '.join(patterns)}"
            )
    return _misfit_in_size(rule, extent)


def _misfit_in_size(rule: Rule, extent: _Extent) -> str | None:
    limits: tuple[tuple[str, float | None, float | None, float | None, str], ...] = (
        ("slices", extent.slices, rule.min_slices, rule.max_slices, ""),
        ("slice spacing", extent.spacing_mm, None, rule.max_spacing_mm, " mm"),
        ("height", extent.height_mm, rule.min_height_mm, rule.max_height_mm, " mm"),
        ("width", extent.width_mm, rule.min_width_mm, None, " mm"),
    )
    for what, value, low, high, unit in limits:
        if low is None and high is None:
            continue
        if value is None:
            return f"its {what} cannot be told from the headers"
        if low is not None and value < low:
            return f"{value:.4g}{unit} {what}, at least {low:g}{unit} wanted"
        if high is not None and value > high:
            return f"{value:.4g}{unit} {what}, at most {high:g}{unit} wanted"
    return None


def _matches(pattern: str, value: str) -> bool:
    if pattern.startswith(_REGEX):
        return re.search(pattern[len(_REGEX) :], value, re.IGNORECASE) is not None
    return fnmatch.fnmatchcase(value.casefold(), pattern.casefold())
