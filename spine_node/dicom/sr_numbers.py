"""A parameter as a NUM item with its method, place, precision and evidence (TID 300), and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.seg import SegmentReference
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
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_sites import places, sites
from spine_node.dicom.sr_tree import Node, pair
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.definitions import Definition, Norm
from spine_node.parameters.model import Line, Parameter
from spine_node.parameters.view import PATIENT
from spine_node.segmentation.segmenter import ModelIdentity


class Uid(Protocol):
    """From a kind and further names to a derived UID."""

    def __call__(self, kind: str, *extra: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What all groups of one report share.

    Attributes
    ----------
    uid : Uid
    segments : mapping of structure name to SegmentReference
    source_series_uid, frame_of_reference_uid : str
    software_version : str
    model : ModelIdentity
        What made the segmentation that was measured.
    frame : str
        As of `Measurements`: in another than the patient's, numbers are estimates.
    standing : bool or None
        Normal ranges are those of standing people.
    coordinates : bool
        Whether the SOP class takes coordinates in space.
    items : Items
    plain : Items
        Without a hospital's own codes: what a group is about, as its template has it.
    """

    uid: Uid
    segments: Mapping[str, SegmentReference]
    source_series_uid: str
    frame_of_reference_uid: str
    software_version: str
    model: ModelIdentity
    frame: str
    standing: bool | None
    coordinates: bool
    items: Items
    plain: Items


def number_item(parameter: Parameter, context: Context, *, lines: bool = True) -> bytes:
    """NUM of one parameter; `lines` as coordinates, where the group's template takes them."""
    definition = DEFINITIONS.get(parameter.key)
    drawn = parameter.lines if lines and context.coordinates else ()
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
            *(_coordinates(line, context) for line in drawn),
            *_algorithm(parameter.method, context),
        ],
    )


def parameters_of(group: Node) -> list[Parameter]:
    """The parameters that `number_item` has written, values and uncertainties to 0.001."""
    return [_parameter(node, node.number) for node in group.of_kind("NUM") if node.number is not None]


def _parameter(node: Node, value: float) -> Parameter:
    spread = [child.number for child in node.of_kind("NUM") if child.name == pair(UNCERTAINTIES[0])]
    precision = [child.code for child in node.of_kind("CODE") if child.name == pair(PRECISION)]
    return Parameter(
        key=key_of(*node.name),
        value=value,
        unit=node.unit,
        method=node.text_below(ALGORITHM_PARAMETERS),
        uncertainty=spread[0] if spread else None,
        lines=tuple(
            Line(_ROLE_OF_CODE.get(child.name, "other"), child.points_mm)
            for child in node.of_kind("SCOORD3D")
            if child.points_mm is not None
        ),
        imprecise=pair(IMPRECISE) in precision,
        **places(node),
    )


def _method(definition: Definition, context: Context) -> Iterator[bytes]:
    method = METHOD_OF_FRAME.get(definition.frame)
    if method:
        yield context.items.coded(METHOD, method, "HAS CONCEPT MOD")
    if _estimated(definition, context):
        yield context.items.coded(DERIVATION, ESTIMATED, "HAS CONCEPT MOD")


def _estimated(definition: Definition, context: Context) -> bool:
    return context.frame != PATIENT and definition.frame in FRAMES_OF_THE_PATIENT


def _precision(parameter: Parameter, items: Items) -> Iterator[bytes]:
    if parameter.uncertainty is not None:
        for name in UNCERTAINTIES:
            yield items.number(name, parameter.uncertainty, parameter.unit, "HAS PROPERTIES")
    if parameter.imprecise:
        yield items.coded(PRECISION, IMPRECISE, "HAS PROPERTIES")


def _normal_range(definition: Definition, context: Context) -> Iterator[bytes]:
    """TID 312: only beside numbers of a person who stood, and no estimates."""
    norm: Norm | None = definition.norm
    if norm is None or not context.standing or _estimated(definition, context):
        return
    for name, limit in zip(NORMAL_LIMITS, (norm.low, norm.high), strict=True):
        yield context.items.number(name, limit, definition.unit, "HAS PROPERTIES")
    yield context.items.text(NORMAL_DESCRIPTION, f"{norm.statistic}, standing adults", "HAS PROPERTIES")
    yield context.items.text(NORMAL_AUTHORITY, norm.source, "HAS PROPERTIES")


def _coordinates(line: Line, context: Context) -> bytes:
    purpose = PURPOSE_OF_LINE.get(line.role, PURPOSE_OF_LINE["other"])
    return context.items.coordinates(purpose, line, context.frame_of_reference_uid)


def _algorithm(method: str, context: Context) -> Iterator[bytes]:
    """TID 4019, with the definition as its parameter."""
    items = context.items
    yield items.text(ALGORITHM_NAME, MODEL_NAME, "HAS CONCEPT MOD")
    yield items.text(ALGORITHM_VERSION, context.software_version, "HAS CONCEPT MOD")
    if method:
        yield items.text(ALGORITHM_PARAMETERS, method, "HAS CONCEPT MOD")


_ROLE_OF_CODE = {pair(code): role for role, code in PURPOSE_OF_LINE.items()}
