"""Codes and colours of structures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydicom.sr import _concepts_dict

from spine_node.anatomy.levels import CHANNELS, LEVELS
from spine_node.dicom.codes import LEVEL_OF_CODE, STRUCTURE_OF_VALUE, STRUCTURES, level_code


def dictionary(scheme: str) -> dict[str, str]:
    """Meaning of every code of a scheme that DICOM's context groups know."""
    return {
        value: meaning
        for concepts in _concepts_dict.concepts[scheme].values()
        for value, (meaning, *_) in concepts.items()
    }


def test_every_value_of_a_label_map_belongs_to_one_structure() -> None:
    assert set(STRUCTURE_OF_VALUE) == set(CHANNELS) - {0}
    assert sum(len(s.values) for s in STRUCTURES.values()) == len(STRUCTURE_OF_VALUE)


def test_vertebra_codes_are_those_of_the_standard_dictionary() -> None:
    """A slip in one digit would name another level without anybody seeing it."""
    known = dictionary("SCT")
    for level in LEVELS:
        code = level_code(level)
        if level in ("T13", "L6"):
            assert (code.value, code.scheme) == (level, "99SPINE3D")
        else:
            assert known[code.value] == f"{level} vertebra"


def test_other_codes_are_in_the_standard_dictionary() -> None:
    known = dictionary("SCT")
    for structure in STRUCTURES.values():
        if structure.code.scheme == "SCT":
            assert structure.code.value in known, structure.name
    assert "emur" in known[STRUCTURES["femoral_head_left"].code.value]
    assert known[STRUCTURES["sacrum"].code.value] == "Sacrum"
    assert known[STRUCTURES["hip_left"].code.value] == "Pelvis"


def test_a_code_leads_back_to_its_level() -> None:
    for level in LEVELS:
        code = level_code(level)
        assert LEVEL_OF_CODE[code.value, code.scheme] == level


def test_neighbouring_vertebrae_differ_in_colour() -> None:
    """Also across T12-L1 without T13, and L5-sacrum without L6."""
    chain = [STRUCTURES[level] for level in LEVELS if level not in ("T13", "L6")]
    for one, other in itertools.pairwise([*chain, STRUCTURES["sacrum"], STRUCTURES["hip_left"]]):
        distance = np.linalg.norm(np.subtract(one.cielab, other.cielab))
        assert distance > 30, f"{one.name} and {other.name}"


@pytest.mark.parametrize(
    ("cielab", "rgb"), [((100, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 0, 0)), ((53.39, 0, 0), (0.5, 0.5, 0.5))]
)
def test_neutral_colours_stay_neutral(
    cielab: tuple[float, float, float], rgb: tuple[float, float, float]
) -> None:
    from dataclasses import replace

    assert replace(STRUCTURES["L1"], cielab=cielab).rgb == pytest.approx(rgb, abs=0.01)
