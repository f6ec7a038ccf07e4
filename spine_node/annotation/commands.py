"""`spine-node annotate`: from an unlabelled scan to a training case."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spine_node.annotation.compare import Changes

app = typer.Typer(
    help="Label a scan: draft it, correct the draft in a viewer, see what changed, accept it as a training "
    "case. Corrections are made elsewhere: 3D Slicer, OHIF, ITK-SNAP.",
    no_args_is_help=True,
)


LONGEST_LIST = 12
"""Relabellings printed one by one, the largest; the JSON has all."""


class By(StrEnum):
    """How a draft is made from centres."""

    watershed = "watershed"
    random_walker = "random-walker"


Input = Annotated[
    Path, typer.Argument(metavar="INPUT", exists=True, help="A DICOM folder or a NIfTI volume.")
]
Image = Annotated[
    Path | None,
    typer.Option(
        "--image", "--series", exists=True, help="The image: DICOM folder or NIfTI. A SEG needs it."
    ),
]


@app.command()
def draft(
    source: Input,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the draft; created if absent.")],
    centres: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Body centres instead of a model: JSON or CSV (name,x,y,z in LPS mm), or a point list of "
            "3D Slicer (.mrk.json, .fcsv). May name S1, hip_left, femoral_head_left, ... too.",
        ),
    ] = None,
    method: Annotated[By, typer.Option(help="What shares out the bone between centres.")] = By.watershed,
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda:N; for a model.")] = "auto",
    model: Annotated[
        str, typer.Option(help="Folder of a bundle, spinenet, totalsegmentator or totalsegmentator-fast.")
    ] = "spinenet",
) -> None:
    """Make a first label map of an unlabelled scan, by the model or from body centres.

    Writes labels.nii.gz with its colour table labels.ctbl, overview.png, annotation.json and, of DICOM,
    seg.dcm with body and posterior elements of each vertebra as two segments. A draft is not a result:
    correct it.
    """
    from spine_node.annotation.centres import read_centres
    from spine_node.annotation.draft import draft_by_centres, draft_by_model, write_draft
    from spine_node.annotation.scans import read_scan
    from spine_node.tables import progress

    points = None if centres is None else read_centres(centres)
    scan = read_scan(source)
    with progress("Drafting") as report:
        if points is not None:
            made = draft_by_centres(scan, points, method.value, report)
        else:
            from spine_node.segmentation.plug import load_segmenter

            made = draft_by_model(scan, load_segmenter(model, device), report)
    for path in write_draft(made, scan, out):
        print(path)
    for sentence in made.segmentation.quality:
        print(sentence, file=sys.stderr)
    for finding in made.findings:
        print(f"{finding.severity}: {finding.structure}: {finding.words}", file=sys.stderr)


@app.command()
def compare(
    before: Annotated[
        Path, typer.Argument(metavar="DRAFT", exists=True, help="Label map or SEG of the draft.")
    ],
    after: Annotated[Path, typer.Argument(metavar="CORRECTED", exists=True, help="The same, corrected.")],
    image: Image = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the changes as JSON, and a .png beside it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of tables.")] = False,
) -> None:
    """Say what a correction changed, and whether it can be anatomy.

    Voxels added, removed and relabelled, Dice and surface distance of each structure, structures new, gone
    or renamed, levels shifted; then pieces, order, volumes and sides of the corrected map. NIfTI may be
    turned or cropped and SEG rewritten: only the place of voxels counts. Exit status 0 whatever changed.
    """
    from spine_node.annotation.compare import compare as compare_maps
    from spine_node.annotation.overview import draw_changes
    from spine_node.annotation.scans import read_labels, read_scan

    scan = None if image is None else read_scan(image)
    space = None if scan is None or scan.series is None else scan.series.frame_of_reference_uid
    first = read_labels(before, None if scan is None else scan.volume.grid, space)
    second = read_labels(after, first.label_map.grid, space)
    changes = compare_maps(first.label_map, second.label_map)
    notes = [*first.notes, *second.notes]
    content = json.dumps({**changes.as_dict, "notes": notes}, indent=1)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(content + "\n", encoding="utf-8")
        kinds = {"added": changes.added, "removed": changes.removed, "relabelled": changes.changed}
        draw_changes(
            None if scan is None else scan.volume, second.label_map, kinds, out.with_suffix(".png"), "Changes"
        )
    if as_json:
        print(content)
    else:
        _print_changes(changes, notes)


@app.command()
def accept(
    corrected: Annotated[
        Path,
        typer.Argument(metavar="CORRECTED", exists=True, help="NIfTI label map, SEG, or folder of SEGs."),
    ],
    image: Annotated[
        Path, typer.Option("--image", "--series", exists=True, help="The image: DICOM folder or NIfTI.")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="CASES_DIR/NAME: the folder of this case.")],
    unknown: Annotated[
        list[str] | None,
        typer.Option(help="A structure not to learn from (a level, sacrum, ...); may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Accept what cannot be anatomy.")] = False,
) -> None:
    """Write a corrected scan as a training case that `spine-node train` reads.

    Writes image.nii.gz, labels.nii.gz (255 where nobody annotated) and case.json. Refuses a vertebra in
    pieces, names out of order, impossible volumes and swapped sides. The image keeps its patient's shape
    and no other identity.
    """
    from spine_node.annotation.cases import accept as accept_case
    from spine_node.annotation.scans import read_labels, read_scan

    scan = read_scan(image)
    space = None if scan.series is None else scan.series.frame_of_reference_uid
    labels = read_labels(corrected, scan.volume.grid, space)
    for note in labels.notes:
        print(note, file=sys.stderr)
    for finding in accept_case(scan, labels.label_map, out, unknown=unknown or (), force=force):
        print(f"{finding.severity}: {finding.structure}: {finding.words}", file=sys.stderr)
    print(out)


def _print_changes(changes: Changes, notes: list[str]) -> None:
    from rich.table import Table

    from spine_node.tables import print_tables

    if changes.structures:
        table = Table(title="Changed structures", title_justify="left")
        for heading in (
            "Structure",
            "ml before",
            "ml after",
            "+ ml",
            "- ml",
            "Dice",
            "surface mm, mean",
            "max",
        ):
            first = heading == "Structure"
            table.add_column(heading, justify="left" if first else "right", no_wrap=first)
        for row in changes.structures:
            gaps = (row.surface_mean_mm, row.surface_max_mm)
            table.add_row(
                row.name,
                *(f"{v:.2f}" for v in (row.draft_ml, row.corrected_ml, row.added_ml, row.removed_ml)),
                f"{row.dice:.3f}",
                *("" if gap is None else f"{gap:.2f}" for gap in gaps),
            )
        print_tables(table)
    print(f"Unchanged: {', '.join(changes.unchanged) or 'nothing'}.")
    for relabelled in changes.relabelled[:LONGEST_LIST]:
        print(f"Relabelled {relabelled.source} -> {relabelled.target}: {relabelled.ml:.2f} ml")
    if more := changes.relabelled[LONGEST_LIST:]:
        print(f"Relabelled in {len(more)} other ways: {sum(r.ml for r in more):.2f} ml")
    for word, names in (("New", changes.new), ("Gone", changes.gone)):
        if names:
            print(f"{word}: {', '.join(names)}")
    if changes.shift:
        print(f"Levels: {changes.shift}.")
    for finding in changes.findings:
        print(f"{finding.severity}: {finding.structure}: {finding.words}")
    for note in notes:
        print(note)
