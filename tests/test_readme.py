"""The README says what the code does: its counts, its label values, its links."""

from __future__ import annotations

import re
from pathlib import Path

from spine_node.anatomy.levels import FEMORAL_HEAD_RIGHT, HIP_LEFT, SACRUM, VERTEBRA_VALUES
from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.class_catalogue import CLASSES

README = Path(__file__).parents[1] / "README.md"


def test_the_counts_of_parameters_and_classes_are_those_of_the_catalogues() -> None:
    assert f"({len(CATALOGUE)} parameters, {len(CLASSES)} classes)" in README.read_text()


def test_the_label_values_are_those_of_the_code() -> None:
    text = README.read_text()
    for words, value in (
        ("1-7 C1-C7", VERTEBRA_VALUES["C7"]),
        ("8-19 T1-T12", VERTEBRA_VALUES["T12"]),
        ("20-24 L1-L5", VERTEBRA_VALUES["L5"]),
        ("25 L6", VERTEBRA_VALUES["L6"]),
        ("26 sacrum", SACRUM),
        ("28 T13", VERTEBRA_VALUES["T13"]),
        ("29/30 hip bone", HIP_LEFT),
        ("31/32 femoral head", FEMORAL_HEAD_RIGHT),
    ):
        assert words in text
        assert str(value) in words


def test_every_file_that_the_readme_links_to_exists() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / link).exists(), link
