"""A parameter as a NUM item with its method, place, precision and evidence (TID 300), and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from pydicom.dataset import Dataset

from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.sr_codes import (
    ALGORITHM_NAME,
    ALGORITHM_PARAMETERS,
    ALGORITHM_VERSION,
    DERIVATION,
    ESTIMATED,
    FRAMES_OF_THE_PATIENT,
    IMPRECISE,
    METHOD,
    METHOD_OF_FRAME,
    NORMAL_AUTHORITY,
    NORMAL_DESCRIPTION,
    NORMAL_LIMITS,
    PRECISION,
    PURPOSE_OF_LINE,
    UNCERTAINTIES,
    code_of,
    key_of,
)
from spine_node.dicom.sr_items import Items, children_of, name_of, pair, text_of, value_of
from spine_node.dicom.sr_sites import places, sites
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.definitions import Definition, Norm
from spine_node.parameters.model import Line, Parameter
from spine_node.parameters.view import PATIENT


class Uid(Protocol):
    """From a kind and further names to a derived UID."""

    def __call__(self, kind: str, *extra: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What all groups of one report share.

    Attributes
    ----------
    uid : Uid
    segments : mapping of structure name to (segment number, tracking UID)
    seg_class_uid, seg_uid, source_series_uid, frame_of_reference_uid : str
    software_version : str
    frame : str
        As of `Measurements`: in another than the patient's, numbers are estimates.
    standing : bool or None
        Normal ranges are those of standing people.
    """

    uid: Uid
    segments: dict[str, tuple[int, str]]
    seg_class_uid: str
    seg_uid: str
    source_series_uid: str
    frame_of_reference_uid: str
    software_version: str
    frame: str
    standing: bool | None
    items: Items = field(default_factory=Items)


def number_item(parameter: Parameter, context: Context, *, lines: bool = True) -> Dataset:
    """NUM of one parameter; `lines` as coordinates, where the group's template takes them."""
    definition = DEFINITIONS.get(parameter.key)
    return context.items.number(
        code_of(parameter.key),
        parameter.value,
        parameter.unit,
        "CONTAINS",
        [
            *(_method(definition, context) if definition else ()),
            *sites(parameter, context.items),
            *_precision(parameter, context.items),
            *(_normal_range(definition, context) if definition else ()),
            *(_coordinates(line, context) for line in (parameter.lines if lines else ())),
            *_algorithm(parameter.method, context),
        ],
    )


def parameter_of(item: Dataset) -> Parameter:
    """The parameter that `number_item` has written, its value and uncertainty to 0.001."""
    measured = item.MeasuredValueSequence[0]
    spread = [i for i in children_of(item, "NUM") if name_of(i) == pair(UNCERTAINTIES[0])]
    codes = {name_of(i): value_of(i) for i in children_of(item, "CODE")}
    return Parameter(
        key=key_of(*name_of(item)),
        value=float(measured.NumericValue),
        unit=str(measured.MeasurementUnitsCodeSequence[0].CodeValue),
        method=text_of(item, ALGORITHM_PARAMETERS),
        uncertainty=float(spread[0].MeasuredValueSequence[0].NumericValue) if spread else None,
        lines=tuple(
            Line(_ROLE_OF_CODE.get(name_of(i), "other"), np.array(i.GraphicData, dtype=np.float64))
            for i in children_of(item, "SCOORD3D")
        ),
        imprecise=codes.get(pair(PRECISION)) == pair(IMPRECISE),
        **places(item),
    )


def _method(definition: Definition, context: Context) -> Iterator[Dataset]:
    method = METHOD_OF_FRAME.get(definition.frame)
    if method:
        yield context.items.coded(METHOD, method, "HAS CONCEPT MOD")
    if _estimated(definition, context):
        yield context.items.coded(DERIVATION, ESTIMATED, "HAS CONCEPT MOD")


def _estimated(definition: Definition, context: Context) -> bool:
    return context.frame != PATIENT and definition.frame in FRAMES_OF_THE_PATIENT


def _precision(parameter: Parameter, items: Items) -> Iterator[Dataset]:
    if parameter.uncertainty is not None:
        for name in UNCERTAINTIES:
            yield items.number(name, parameter.uncertainty, parameter.unit, "HAS PROPERTIES")
    if parameter.imprecise:
        yield items.coded(PRECISION, IMPRECISE, "HAS PROPERTIES")


def _normal_range(definition: Definition, context: Context) -> Iterator[Dataset]:
    """TID 312: only beside numbers of a person who stood, and no estimates."""
    norm: Norm | None = definition.norm
    if norm is None or not context.standing or _estimated(definition, context):
        return
    for name, limit in zip(NORMAL_LIMITS, (norm.low, norm.high), strict=True):
        yield context.items.number(name, limit, definition.unit, "HAS PROPERTIES")
    yield context.items.text(NORMAL_DESCRIPTION, f"{norm.statistic}, standing adults", "HAS PROPERTIES")
    yield context.items.text(NORMAL_AUTHORITY, norm.source, "HAS PROPERTIES")


def _coordinates(line: Line, context: Context) -> Dataset:
    purpose = PURPOSE_OF_LINE.get(line.role, PURPOSE_OF_LINE["other"])
    return context.items.coordinates(purpose, line, context.frame_of_reference_uid)


def _algorithm(method: str, context: Context) -> Iterator[Dataset]:
    """TID 4019, with the definition as its parameter."""
    items = context.items
    yield items.text(ALGORITHM_NAME, MODEL_NAME, "HAS CONCEPT MOD")
    yield items.text(ALGORITHM_VERSION, context.software_version, "HAS CONCEPT MOD")
    if method:
        yield items.text(ALGORITHM_PARAMETERS, method, "HAS CONCEPT MOD")


_ROLE_OF_CODE = {pair(code): role for role, code in PURPOSE_OF_LINE.items()}
