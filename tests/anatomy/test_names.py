"""What people and programs call a structure."""

from __future__ import annotations

import pytest

from spine_node.anatomy.levels import CHANNELS
from spine_node.anatomy.names import structure_named

BODIES = [
    "L1 body",
    "l1_body",
    "Body of L1 vertebra",
    "L1 vertebral body",
    "Structure of first lumbar vertebra body",
]
BACKS = ["L1 posterior elements", "L1_posterior", "Arch of L1 vertebra", "L 1 spinous process", "L-1 laminae"]
WHOLES = {
    "vertebrae_L1": "L1",
    "L1 vertebra": "L1",
    "Th12": "T12",
    "12th thoracic vertebra": "T12",
    "TH 12": "T12",
    "D12": "T12",
    "Thirteenth thoracic vertebra": "T13",
    "atlas": "C1",
    "C2 (axis)": "C2",
    "Bone structure of sacrum (body structure)": "sacrum",
    "vertebrae_S1": "sacrum",
    "hip_left": "hip_left",
    "Right hip bone": "hip_right",
    "Os coxae, right": "hip_right",
    "LeftHip": "hip_left",
    "Head of femur, left": "femoral_head_left",
    "femoral_head_right": "femoral_head_right",
}


@pytest.mark.parametrize(("words", "value"), [(w, 20) for w in BODIES] + [(w, 120) for w in BACKS])
def test_body_and_posterior_elements_are_told_apart(words: str, value: int) -> None:
    named = structure_named(words)
    assert named is not None
    assert (named.value, named.whole_vertebra) == (value, False)


@pytest.mark.parametrize(("words", "structure"), WHOLES.items())
def test_common_writings_are_understood(words: str, structure: str) -> None:
    """Those of TotalSegmentator, SNOMED CT, European and American readers, and our own."""
    named = structure_named(words)
    assert named is not None
    assert (named.structure, named.part) == (structure, "whole")


@pytest.mark.parametrize(
    "words",
    [
        "L1-L2 disc", "spinal canal L1", "rib_left_1", "femur_left", "hip", "hip joint left", "Pelvis",
        "Segment_1", "20", "T14", "L7", "S6", "C1 axis", "left sacrum", "", "Tumour L1", "L1 body posterior",
    ],
)  # fmt: skip
def test_nothing_is_guessed(words: str) -> None:
    """A word that is not understood may be the one that matters: a disc, a rib, a whole femur."""
    assert structure_named(words) is None


def test_every_name_of_our_own_is_read_as_itself() -> None:
    for value, name in CHANNELS.items():
        if value:
            named = structure_named(name)
            assert named is not None
            assert named.value == value
