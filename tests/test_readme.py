"""The README says what the code does: its table of parameters is the catalogue, its commands exist.

`python tests/test_readme.py` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from spine_node.anatomy.levels import FEMORAL_HEAD_RIGHT, HIP_LEFT, SACRUM, VERTEBRA_VALUES
from spine_node.parameters.catalogue import CATALOGUE

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"(<!-- parameters:[^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)


def parameter_table() -> str:
    """The catalogue as the README shows it."""
    rows = ["| key | parameter | unit | definition | positive | normal |", "|---|---|---|---|---|---|"]
    for row in CATALOGUE:
        norm = f"{row.norm.low:g} to {row.norm.high:g} ({row.norm.source})" if row.norm else ""
        rows.append(f"| {row.key} | {row.name} | {row.unit} | {row.definition} | {row.sign} | {norm} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_parameters_is_the_catalogue() -> None:
    found = TABLE.search(README.read_text())
    assert found is not None
    assert found.group(0) == f"{found.group(1)}{parameter_table()}{found.group(2)}"


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


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda m: f"{m.group(1)}{parameter_table()}{m.group(2)}", README.read_text()))
