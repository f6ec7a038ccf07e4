"""Codes and colours of structures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from pydicom.sr import _concepts_dict

from spine_node.anatomy.levels import CHANNELS, LEVELS
from spine_node.dicom.codes import LEVEL_OF_CODE, PARTS, STRUCTURE_OF_VALUE, STRUCTURES, level_code


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


NEIGHBOURS = [
    *itertools.pairwise([*LEVELS, "sacrum"]),
    ("T12", "L1"),
    ("L5", "sacrum"),
    ("sacrum", "hip_left"),
    ("sacrum", "hip_right"),
    ("hip_left", "femoral_head_left"),
    ("hip_right", "femoral_head_right"),
    ("hip_left", "hip_right"),
    ("femoral_head_left", "femoral_head_right"),
]


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS)
def test_neighbours_differ_in_colour(one: str, other: str) -> None:
    """Also across T12-L1 without T13, and L5-sacrum without L6."""
    distance = np.linalg.norm(np.subtract(STRUCTURES[one].cielab, STRUCTURES[other].cielab))
    assert distance > 25


def test_a_colour_tells_the_region() -> None:
    """Cervical green, thoracic blue to violet, lumbar amber, and what is no vertebra apart from all."""
    hues: dict[str, set[float]] = {}
    for structure in STRUCTURES.values():
        region = structure.name[0] if structure.name in LEVELS else structure.name.split("_")[0]
        _, a, b = structure.cielab
        hues.setdefault(region, set()).add(math.degrees(math.atan2(b, a)) % 360)
    assert {"C", "T", "L", "sacrum", "hip", "femoral"} == hues.keys()
    arcs = sorted((min(arc), max(arc)) for arc in hues.values())
    for (_, end), (start, _) in itertools.pairwise(arcs):
        assert start - end > 15
    assert max(hues["hip"]) - min(hues["hip"]) < 2, "left and right are one hue"


def test_every_colour_can_be_shown() -> None:
    """A colour outside a screen's gamut is cut to it, and may then look like its neighbour."""
    for structure in [*STRUCTURES.values(), *PARTS.values()]:
        assert all(0 < channel < 1 for channel in structure.rgb), structure.name
    assert len({structure.cielab for structure in PARTS.values()}) == len(PARTS)


@pytest.mark.parametrize(
    ("cielab", "rgb"), [((100, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 0, 0)), ((53.39, 0, 0), (0.5, 0.5, 0.5))]
)
def test_neutral_colours_stay_neutral(
    cielab: tuple[float, float, float], rgb: tuple[float, float, float]
) -> None:
    from dataclasses import replace

    assert replace(STRUCTURES["L1"], cielab=cielab).rgb == pytest.approx(rgb, abs=0.01)
