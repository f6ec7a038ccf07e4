"""`spine-node print`: surfaces of a label map, and how exact they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spine_node.errors import LabelMapRefused

if TYPE_CHECKING:
    from rich.table import Table

    from spine_node.printing.exactness import Exactness

Format = Literal["stl", "3mf", "obj"]
"""The names of `files.WRITERS`; said here too, as importing them takes half a second."""


def print_surfaces(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", exists=True, dir_okay=False, help="Label map, NIfTI.")
    ],
    out: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder for the files; created if absent, same names replaced."),
    ],
    structure: Annotated[
        list[str] | None,
        typer.Option(help="L1, sacrum, hip_left, ...; may be given more than once. Default: all there are."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="stl: a file a structure and one of all; 3mf, obj: one file, names and colours."
        ),
    ] = "stl",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=2.0,
            help="How far leaving out triangles may move a surface, mm; 0 leaves none out. "
            "[default: a tenth of a voxel; 0.1 mm if that is between a tenth and a fifth]",
        ),
    ] = None,
) -> None:
    """Write bones of a label map as surfaces to print or plan with, and say how exact they are.

    LABELS is labels.nii.gz of `analyse`, or any label map with its values. Surfaces are closed, smooth and
    in patient coordinates (LPS mm), each with the volume of its voxels; as long as --tolerance is a quarter
    of the smallest voxel side or less, they keep within half a voxel of the labels. The table is measured on
    what was written: "off labels" is the largest distance between a surface and the border of its voxels,
    either way. How far the labels are from the bone it cannot tell. Not for surgical guides or implants.
    """
    from rich.console import Console

    from spine_node.dicom.codes import STRUCTURES
    from spine_node.nifti import read_label_map
    from spine_node.printing.exactness import exactness
    from spine_node.printing.files import WRITERS
    from spine_node.printing.meshes import default_tolerance_mm, meshes

    unknown = [name for name in structure or () if name not in STRUCTURES]
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: no structure of ours; there are {', '.join(STRUCTURES)}",
            param_hint="--structure",
        )
    label_map = read_label_map(labels)
    used = default_tolerance_mm(label_map.grid) if tolerance is None else tolerance
    surfaces = meshes(label_map, structure, tolerance_mm=used)
    missing = [name for name in structure or () if name not in surfaces]
    if missing or not surfaces:
        what = ", ".join(missing) or "any structure"
        raise LabelMapRefused(
            f"{labels} does not hold {what} in enough voxels for a surface. Nothing was written."
        )
    paths = WRITERS[form](surfaces, out)
    measured = {name: exactness(label_map, name, mesh) for name, mesh in surfaces.items()}
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(_table(measured, used, float(label_map.grid.spacing_mm.max()) / 2))
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)


def _table(measured: dict[str, Exactness], tolerance_mm: float, half_voxel_mm: float) -> Table:
    from rich.table import Table

    table = Table(
        title="Surfaces in LPS mm",
        title_justify="left",
        caption=f"Decimated to {tolerance_mm:.3g} mm; half a voxel is {half_voxel_mm:.3g} mm.",
        caption_justify="left",
    )
    table.add_column("Structure", no_wrap=True)
    for heading in ("Volume cm3", "Labelled cm3", "Triangles", "Off labels mm"):
        table.add_column(heading, justify="right")
    for name, found in measured.items():
        mark = " !" if found.largest_mm > half_voxel_mm else ""
        table.add_row(
            name,
            f"{found.volume_mm3 / 1000:.2f}",
            f"{found.labelled_mm3 / 1000:.2f}",
            f"{found.triangles}",
            f"{found.largest_mm:.2f}{mark}",
        )
    return table
