from __future__ import annotations

import pytest

from spine_node.parameters import classes, measure
from spine_node.parameters.catalogue import CATALOGUE, GROUPS
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code


def test_every_row_has_a_formula_and_every_formula_a_row() -> None:
    formulas = {
        "spine": measure.PER_SPINE,
        "vertebra": measure.PER_VERTEBRA,
        "curve": measure.PER_CURVE,
        "segment": measure.PER_SEGMENT,
    }
    for per, table in formulas.items():
        assert {row.key for row in CATALOGUE if row.per == per} == set(table)


def test_every_class_has_a_rule_and_every_rule_a_class() -> None:
    rules = {
        "spine": {*classes.OF_SPINE, "GAP"},  # which needs an age beside the landmarks
        "vertebra": set(classes.OF_VERTEBRA),
        "curve": set(classes.OF_CURVE),
        "segment": set(classes.OF_SEGMENT),
    }
    for per, keys in rules.items():
        assert {row.key for row in CLASSES if row.per == per} == keys


def test_keys_and_codes_name_one_row_each() -> None:
    rows = (*CATALOGUE, *CLASSES)
    assert len({row.key for row in rows}) == len(rows)
    assert len({(row.code.scheme, row.code.value) for row in rows}) == len(rows)


def test_only_the_cobb_angle_has_a_standard_code() -> None:
    """CID 7550 knows no other spinal measurement; ours are private and carry their key."""
    for row in CATALOGUE:
        if row.key == "COBB":
            assert (row.code.value, row.code.scheme) == ("285285000", "SCT")
        else:
            assert (row.code.value, row.code.scheme) == (row.key, PRIVATE_SCHEME)


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.key)
def test_a_row_says_what_it_is(row) -> None:  # type: ignore[no-untyped-def]
    assert row.unit in ("deg", "mm", "cm3", "%", "1", "[hnsf'U]")
    assert row.group in GROUPS
    assert "positive" in row.sign
    assert row.source
    assert row.definition in row.method
    assert row.frame in row.method


@pytest.mark.parametrize("row", [r for r in CATALOGUE if r.norm], ids=lambda row: row.key)
def test_norms_are_ranges_with_their_source(row) -> None:  # type: ignore[no-untyped-def]
    assert row.norm.low < row.norm.high
    assert row.norm.statistic
    assert row.norm.source


def test_a_code_that_dicom_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 16 / 64"):
        Code("SEVENTEEN_LETTERS", PRIVATE_SCHEME, "too long")
