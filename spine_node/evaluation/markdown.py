"""Figures for a model card: one block for each set, the model beside its floor and ceiling."""

from __future__ import annotations

from typing import Any

from spine_node.evaluation.tables import between, cells, number, sentences

Row = dict[str, Any]


def markdown(figures: Row) -> str:
    """The content of evaluation.json as Markdown."""
    blocks = [_block(name, block) for name, block in figures["sets"].items()]
    notes = "In brackets: 95 % bootstrap interval over scans (from five scans on)."
    if "ceiling" in figures["rows"]:
        notes += (
            " Floor: threshold and watershed, each piece called what it overlaps most in the truth. Ceiling: "
            f"the truth taken to the net's voxels and back ({figures['rows']['ceiling']['version']})."
        )
    where = f" on {figures['device']}" if figures["device"] else ""
    return "\n\n".join([*blocks, f"{notes} Run{where} with software {figures['software']}."])


def _block(name: str, block: Row) -> str:
    rows, cases = block["rows"], block["cases"]
    lines = [f"### {name}: {block['what']}", "", f"{len(cases)} scans ({cases[0]} to {cases[-1]})."]
    model = rows["model"]
    lines[-1] += "".join(f" {words[0].upper()}{words[1:]}." for words in sentences(block))
    if model["refused"]:
        lines[-1] += f" Refused, counted as nothing found: {', '.join(model['refused'])}."
    lines += ["", "| | mean | 95 % interval | asked for | | counted |", "|---|---|---|---|---|---|"]
    lines += [_bar(row) for row in block["bars"]]
    if model["outlines"]:
        lines += [
            "",
            "| structure | Dice | HD95 mm | ASSD mm | NSD 2 mm | not found | " + _others(rows, " Dice |"),
        ]
        lines.append("|---|" + "---|" * (4 + len(rows)))
        lines += [_outline(group, rows) for group in model["outlines"]]
    lines += ["", _levels(model)]
    if model["parameters"]:
        lines += ["", "| parameter | measured | mean error | bias | 95 % limits | largest | unit | "]
        lines[-1] += _others(rows, " mean error |")
        lines.append("|---|" + "---|" * (5 + len(rows)))
        every = {row: f["parameters"] | {"COBB": f["curves"]} for row, f in rows.items()}
        lines += [_parameter(key, every) for key in every["model"]]
    lines += ["", f"{model['seconds']:.0f} s a scan on average."]
    return "\n".join(line.rstrip() for line in lines)


def _bar(row: Row) -> str:
    counted = f"{row['scans']} scan{'s' * (row['scans'] != 1)}" + (
        f", {row['count']}" if row["count"] else ""
    )
    return f"| {' | '.join([row['what'], *cells(row), counted])} |"


def _others(rows: Row, what: str) -> str:
    return "".join(f" {row},{what}" for row in rows if row != "model").lstrip()


def _outline(group: str, rows: Row) -> str:
    own = rows["model"]["outlines"][group]
    cells = [
        group,
        between(own["dice"], bounds=True),
        *(between(own[metric]) for metric in ("hd95_mm", "assd_mm", "nsd_2mm")),
        f"{own['missing']}/{own['expected']}",
        *(between(f["outlines"][group]["dice"]) for row, f in rows.items() if row != "model"),
    ]
    return "| " + " | ".join(cells) + " |"


def _levels(model: Row) -> str:
    found = model["levels"]
    extra = found["false_positives"]
    return (
        f"Levels identified (nearest found vertebra bears the name and is within 20 mm): "
        f"{between(found['identification_rate'], percent=True, bounds=True)} of {found['expected']} "
        f"vertebrae; centres {between(found['distance_mm'])} mm off; one level off: "
        f"{between(found['off_by_one_rate'], percent=True)}; all right in {found['scans_all_right']} of "
        f"{found['scans']} scans" + ("." if extra is None else f"; {extra} vertebrae where there is none.")
    )


def _parameter(key: str, every: Row) -> str:
    own = every["model"][key]
    limits = f"{own['limits'][0]:+.1f} to {own['limits'][1]:+.1f}" if own["limits"] else "-"
    cells = [
        key,
        f"{own['measured']}/{own['expected']}" + (f", {own['false']} false" if own.get("false") else ""),
        *(number(own["mae"]), number(own["bias"], "+.1f"), limits, number(own["largest"]), own["unit"]),
        *(_other(f.get(key)) for row, f in every.items() if row != "model"),
    ]
    return "| " + " | ".join(cells) + " |"


def _other(own: Row | None) -> str:
    """The mean error, and of how many where some were not measured: a mean over the easy ones flatters."""
    if own is None or own["mae"] is None:
        return "-"
    some = own["measured"] < own["expected"]
    return number(own["mae"]) + (f" ({own['measured']}/{own['expected']})" if some else "")
