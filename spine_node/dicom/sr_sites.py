"""Where a number or class belongs, as finding sites and back.

A level alone is its vertebra or disc; with the topographical modifier superior, inferior or apex it is an
end or the apex of a curve; the laterality of a site is the side of the number.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from spine_node.dicom.codes import SPINE, level_code, level_of_code
from spine_node.dicom.sr_codes import FINDING_SITE, LATERALITY, SIDES, SITE_OF, TOPOGRAPHICAL_MODIFIER
from spine_node.dicom.sr_items import Items, children_of, name_of, pair, value_of
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Classification, Parameter


def sites(found: Parameter | Classification, items: Items) -> Iterator[Dataset]:
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
    if side and carrier == "spine":
        yield _site(SPINE, laterality, items)


def places(item: Dataset) -> dict[str, str]:
    """Level, ends of a curve and side, from the finding sites below an item."""
    found: dict[str, str] = {}
    for site in children_of(item, "CODE"):
        if name_of(site) != pair(FINDING_SITE):
            continue
        place = "level"
        for child in children_of(site, "CODE"):
            if name_of(child) == pair(LATERALITY):
                found["side"] = _SIDE_OF_CODE[value_of(child)]
            elif name_of(child) == pair(TOPOGRAPHICAL_MODIFIER):
                place = _END_OF_CODE[value_of(child)]
        level = level_of_code(*value_of(site))
        if level:
            found[place] = level
    return found


def _site(where: Code, below: list[Dataset], items: Items) -> Dataset:
    return items.coded(FINDING_SITE, where, "HAS CONCEPT MOD", below)


_SIDE_OF_CODE = {pair(code): side for side, code in SIDES.items()}
_END_OF_CODE = {pair(code): end for end, code in SITE_OF.items()}
