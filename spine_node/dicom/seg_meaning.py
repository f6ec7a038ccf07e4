"""Which structure a segment means: by its label, its tracking ID, its codes.

The label comes first: it is what a person sees and edits in a viewer, while codes stay behind when
somebody renames a vertebra.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as SRCode

from spine_node.anatomy.names import Named, structure_named
from spine_node.dicom.codes import LEFT, RIGHT, STRUCTURES, VERTEBRAL_ARCH, VERTEBRAL_BODY
from spine_node.errors import LabelMapRefused
from spine_node.parameters.definitions import Code

_BACKGROUND = Code("125040", "DCM", "Background")

_OTHER_CODES = {"hip": ("816092008", "29836001")}  # pelvis, hip
"""SNOMED CT concepts that others use for what we code differently."""


def meanings_of(
    segments: Sequence[Dataset], file: str, *, ignore_unknown: bool
) -> tuple[dict[int, Named], list[str]]:
    """Structure of each segment number, and notes for people.

    Raises
    ------
    LabelMapRefused
        If a segment names no structure, unless those are ignored.
    """
    found: dict[int, Named] = {}
    notes: list[str] = []
    unknown: list[str] = []
    for item in segments:
        number, label = int(item.SegmentNumber), str(item.get("SegmentLabel") or "")
        if _is_background(item):
            continue
        named, contradicted = meaning_of(item)
        if named is None:
            unknown.append(f'{number} "{label}" ({_code_text(item)})')
            continue
        found[number] = named
        if contradicted:
            notes.append(f'{file}: segment {number} "{label}" is taken for {named}; {contradicted}.')
    if unknown and not ignore_unknown:
        raise LabelMapRefused(
            f"{file}: no structure of ours is named by the segments {', '.join(unknown)}. Labels such "
            'as "L1 body", "L1 posterior elements", "Sacrum", "Femoral head right" were expected.'
        )
    if unknown:
        notes.append(f"{file}: passed over the segments {', '.join(unknown)}.")
    return found, notes


def meaning_of(item: Dataset) -> tuple[Named | None, str]:
    """What one item of Segment Sequence means, and what contradicts that, in words.

    Of several sources that agree on the structure, one that says which part of a vertebra wins.
    """
    said = {
        "label": structure_named(str(item.get("SegmentLabel") or "")),
        "tracking ID": structure_named(str(item.get("TrackingID") or "")),
        "code": _coded(item),
    }
    known = {source: named for source, named in said.items() if named is not None}
    if not known:
        return None, ""
    first = next(iter(known.values()))
    same = [named for named in known.values() if named.structure == first.structure]
    chosen = next((named for named in same if named.part != "whole"), first)
    against = [
        f"its {source} says {named}" for source, named in known.items() if named.structure != chosen.structure
    ]
    return chosen, ", ".join(against)


def _coded(item: Dataset) -> Named | None:
    """By the property type with its modifiers, else by the anatomic region."""
    for keyword, modifiers in (
        ("SegmentedPropertyTypeCodeSequence", "SegmentedPropertyTypeModifierCodeSequence"),
        ("AnatomicRegionSequence", "AnatomicRegionModifierSequence"),
    ):
        for kind in item.get(keyword) or ():
            # Both are nested in the item; old writers put the modifier beside it.
            beside = [_code(m) for m in (kind.get(modifiers) or item.get(modifiers) or ())]
            named = _structure(_code(kind), beside)
            if named is not None:
                return named
    return None


def _structure(kind: SRCode, modifiers: Sequence[SRCode]) -> Named | None:
    side = "left" if _any(modifiers, LEFT) else "right" if _any(modifiers, RIGHT) else None
    for name, structure in STRUCTURES.items():
        base = name.removesuffix("_left").removesuffix("_right")
        codes = [_sr(structure.code), *(SRCode(v, "SCT", "") for v in _OTHER_CODES.get(base, ()))]
        if kind in codes and (structure.laterality is None or name == f"{base}_{side}"):
            if _any(modifiers, VERTEBRAL_ARCH):
                return Named(name, "posterior")
            return Named(name, "body" if _any(modifiers, VERTEBRAL_BODY) else "whole")
    return None


def _is_background(item: Dataset) -> bool:
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or ()
    return int(item.SegmentNumber) == 0 or _any([_code(kind) for kind in kinds], _BACKGROUND)


def _any(found: Sequence[SRCode], wanted: Code) -> bool:
    return _sr(wanted) in found


def _code(item: Dataset) -> SRCode:
    """Value and scheme; old SRT codes compare equal to their SNOMED CT concepts."""
    return SRCode(str(item.get("CodeValue") or ""), str(item.get("CodingSchemeDesignator") or ""), "")


def _sr(code: Code) -> SRCode:
    return SRCode(code.value, code.scheme, code.meaning)


def _code_text(item: Dataset) -> str:
    for kind in item.get("SegmentedPropertyTypeCodeSequence") or ():
        value = f"{kind.get('CodingSchemeDesignator')} {kind.get('CodeValue')}"
        return f"{value} {kind.get('CodeMeaning') or ''}".strip()
    return "no code"
