"""The page of parameters says what the catalogues say, and how far each number was off on phantoms.

`python tests/test_parameter_page.py` writes it anew. The errors are those of tests/accuracy/figures.json, the
`accuracy.json` of `python tests/benchmarks/bench_accuracy.py --out DIR`.
"""

from __future__ import annotations

import json
from pathlib import Path

from spine_node.parameters.catalogue import CATALOGUE, GROUPS
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import Definition

PAGE = Path(__file__).parents[1] / "spine_node" / "parameters" / "README.md"
FIGURES = Path(__file__).parent / "accuracy" / "figures.json"
COLUMNS = (
    *("key", "name", "unit", "definition", "frame", "positive"),
    *("tolerance", "normal", "source", "error"),
)
CLASS_COLUMNS = ("key", "name", "values", "rule", "source", "withheld unless standing")
PER = {
    "spine": "",
    "curve": "For each curve.",
    "vertebra": "For each vertebra.",
    "segment": "For each pair of neighbours.",
}
HEAD = """# What is measured

Generated from `catalogue.py` and `class_catalogue.py` by `python tests/test_parameter_page.py`.

Coordinates are LPS millimetres. The **patient frame** has z against gravity, x along the horizontal part
of the line from the right to the left femoral head centre, y backwards; without both heads the sacrum's
own symmetry or the scanner's axes stand in, which every result says, and values are then estimates. A
`_3D` beside a key is the angle in space between the same two directions. Tolerance: the error that still
serves the clinic; a number whose 95 % interval is wider is marked (`imprecise`).

**Error**: on random phantoms with exact outlines ({people}), RMS and, in brackets, the 95th percentile
of the absolute error, in the row's unit (volumes: per cent), at 1 mm voxels; then the RMS where outlines
err by 0.5 mm RMS over some 8 mm. `python tests/benchmarks/bench_accuracy.py --out DIR` gives them again,
with distributions, shares within the bars and the coverage of the stated intervals. **Synthetic**: it
says how well the definitions are measured on a given label map, nothing of patients or of a segmenting
model.
"""


def page() -> str:
    """The whole page."""
    figures = json.loads(FIGURES.read_text())
    errors = {name: {row["key"]: row for row in rows} for name, rows in figures["tables"].items()}
    exact, noisy = (_named(errors, words) for words in ("exact, 1 mm", "noise, 1 mm"))
    parts = [HEAD.format(people=next(n for n in errors if n.startswith("exact, 1 mm")).split(": ")[1])]
    for group in GROUPS:
        rows = [row for row in CATALOGUE if row.group == group]
        parts += [f"\n## {group}\n", *([PER[rows[0].per] + "\n"] if PER[rows[0].per] else [])]
        parts += [
            "| key | name | unit | definition | frame | positive | tolerance | normal | source | error |"
        ]
        parts += ["|" + "---|" * 10, *(_line(row, exact, noisy) for row in rows)]
    parts += [
        "\n## Classes\n",
        "| key | name | values | rule | source | withheld unless standing |",
        "|" + "---|" * 6,
    ]
    for row in CLASSES:
        values = "; ".join(f"{value}: {meaning}" for value, meaning in row.values)
        marks = ("yes" if row.posture else "no") + (", provisional" if row.provisional else "")
        parts.append(_row(row.key, row.name, values, row.definition, row.source, marks))
    return "\n".join(parts) + "\n"


def _named(errors: dict[str, dict[str, dict[str, float]]], words: str) -> dict[str, dict[str, float]]:
    return next(rows for name, rows in errors.items() if name.startswith(words))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _line(row: Definition, exact: dict[str, dict[str, float]], noisy: dict[str, dict[str, float]]) -> str:
    norm = row.norm and f"{row.norm.low:g} to {row.norm.high:g} ({row.norm.statistic}, {row.norm.source})"
    found, rough = exact.get(row.key, {}), noisy.get(row.key, {})
    error = f"{found['RMS']:.2g} ({found['p95']:.2g})" if found.get("n") else ""
    error += f"; {rough['RMS']:.2g}" if error and rough.get("n") else ""
    tolerance = "" if row.tolerance is None else f"{row.tolerance:g}"
    name = (row.key, row.name, row.unit)
    return _row(*name, row.definition, row.frame, row.sign, tolerance, norm or "", row.source, error)


def test_the_page_of_parameters_is_the_catalogues() -> None:
    assert PAGE.read_text() == page()


def test_every_number_that_can_be_measured_has_its_error_on_phantoms() -> None:
    measured = {row["key"] for rows in json.loads(FIGURES.read_text())["tables"].values() for row in rows}
    assert {row.key for row in CATALOGUE} - measured <= {"TRUNK_SHIFT", "VB_MEAN", "VB_HLOSS"}


if __name__ == "__main__":
    PAGE.write_text(page())
