"""Where a number or class belongs, as finding sites and back.

A level alone is its vertebra or disc; with the topographical modifier superior, inferior or apex it is an
end or the apex of a curve; the laterality of a site is the side of the number.
"""

from __future__ import annotations

from collections.abc import Iterator

from spine_node.dicom.codes import SPINE, level_code, level_of_code
from spine_node.dicom.sr_codes import (
    FINDING_SITE,
    LATERALITY,
    OF_THE_PELVIS,
    PELVIS,
    SIDES,
    SITE_OF,
    TOPOGRAPHICAL_MODIFIER,
)
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_tree import Node, Pair, pair
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Classification, Parameter


def sites(found: Parameter | Classification, items: Items) -> Iterator[bytes]:
    """The finding sites of one number or class."""
    side = getattr(found, "side", None)
    laterality = [items.coded(LATERALITY, SIDES[side], "HAS CONCEPT MOD")] if side else []
    carrier = "level" if found.level else "apex" if found.apex else "spine"
    if found.level:
        yield _site(level_code(found.level), laterality, items)
    for end, modifier in SITE_OF.items():
        level = getattr(found, end)
        if level:
            below = [items.coded(TOPOGRAPHICAL_MODIFIER, modifier, "HAS CONCEPT MOD")]
            yield _site(level_code(level), [*(laterality if end == carrier else ()), *below], items)
    if carrier == "spine":
        if found.key in OF_THE_PELVIS:
            yield _site(PELVIS, laterality, items)
        elif side:
            yield _site(SPINE, laterality, items)


def places(node: Node) -> dict[str, str]:
    """Level, ends of a curve and side, from the finding sites below an item."""
    found: dict[str, str] = {}
    for site in node.of_kind("CODE"):
        if site.name != pair(FINDING_SITE):
            continue
        place = "level"
        for child in site.of_kind("CODE"):
            if child.name == pair(LATERALITY):
                found["side"] = _SIDE_OF_CODE[child.code]
            elif child.name == pair(TOPOGRAPHICAL_MODIFIER):
                place = _END_OF_CODE[child.code]
        level = level_of_code(*(site.code or ("", "")))
        if level:
            found[place] = level
    return found


def _site(where: Code, below: list[bytes], items: Items) -> bytes:
    return items.coded(FINDING_SITE, where, "HAS CONCEPT MOD", below)


_SIDE_OF_CODE: dict[Pair | None, str] = {pair(code): side for side, code in SIDES.items()}
_END_OF_CODE: dict[Pair | None, str] = {pair(code): end for end, code in SITE_OF.items()}
