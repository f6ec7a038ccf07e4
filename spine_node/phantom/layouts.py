"""Folders of shapes: which file is which bone, which way it lies, whose it is and under which licence.

A folder says it in `templates.toml`; the folders of a few public collections are known by name.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.errors import ConfigRefused
from spine_node.imaging.volume import FloatArray
from spine_node.phantom.templates import Source

LAYOUT_FILE = "templates.toml"

BONES = frozenset(VERTEBRA_VALUES) | {f"{level}_body" for level in VERTEBRA_VALUES} | {"sacrum"}
"""What a mesh can be: a whole vertebra, its body alone, a sacrum with its S1."""

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}

_DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the shapes of one person (or one mean shape) in a folder are to be read.

    Attributes
    ----------
    source : Source
    axes : str
        Where x, y and z of meshes point to: three of L R A P S I. Scans carry their own.
    unit : str
        A key of `UNITS_MM`.
    files : dict of file name to bone
        One of `BONES`; empty where the names tell.
    spoiled : tuple of str
        Levels whose labels are known to be poor and are not to be cut out.
    """

    source: Source
    axes: str = "LPS"
    unit: str = "mm"
    files: dict[str, str] = field(default_factory=dict)
    spoiled: tuple[str, ...] = ()

    def to_lps(self) -> FloatArray:
        """Turns mesh units into LPS mm, shape (3, 3).

        Raises
        ------
        ConfigRefused
            If the axes are no right-handed frame or the unit is unknown.
        """
        turn = np.zeros((3, 3))
        for column, letter in enumerate(self.axes[:3]):
            if letter in _DIRECTIONS:
                axis, sign = _DIRECTIONS[letter]
                turn[axis, column] = sign
        if len(self.axes) != 3 or np.linalg.det(turn) < 0.5:
            raise ConfigRefused(
                f"axes {self.axes!r} of {self.source.name!r} are no right-handed frame: three letters of "
                "L R A P S I were expected, such as LPS or ALS. A mirrored frame would swap left and right."
            )
        if self.unit not in UNITS_MM:
            raise ConfigRefused(
                f"unit {self.unit!r} of {self.source.name!r} is unknown: one of {', '.join(UNITS_MM)} "
                "was expected."
            )
        return turn * UNITS_MM[self.unit]


def layouts_of(folder: Path) -> tuple[Layout, ...]:
    """What is known of a folder's shapes: its `templates.toml`, else a known collection, else nothing.

    Raises
    ------
    ConfigRefused
        If `templates.toml` cannot be read, or says something that is not expected there.
    """
    path = folder / LAYOUT_FILE
    if not path.exists():
        return KNOWN.get(folder.name, ())
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
        return tuple(_layout(entry) for entry in entries)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ConfigRefused(
            f"{path} is not understood ({error}): a [[source]] table with name, licence, citation, axes "
            "and unit was expected for each source. No shape was read."
        ) from error


def _layout(entry: dict[str, Any]) -> Layout:
    known = {"name", "licence", "citation", "role", "axes", "unit", "files", "spoiled"}
    files = {str(k): str(v) for k, v in entry.get("files", {}).items()}
    odd = sorted(set(entry) - known) + sorted(set(files.values()) - BONES)
    if odd or entry.get("role", "train") not in ("train", "test"):
        raise ConfigRefused(
            f"templates.toml of {entry.get('name')!r}: {', '.join(odd) or 'role ' + repr(entry['role'])} is "
            f"not known. Keys are {', '.join(sorted(known))}; bones are levels such as L3, L3_body, or "
            "sacrum; a role is train or test."
        )
    source = Source(entry["name"], entry["licence"], entry.get("citation", ""), entry.get("role", "train"))
    return Layout(
        source, entry.get("axes", "LPS"), entry.get("unit", "mm"), files, tuple(entry.get("spoiled", ()))
    )


def write_layouts(folder: Path, layouts: tuple[Layout, ...]) -> None:
    """Write `templates.toml` beside the shapes it speaks of."""
    lines = []
    for layout in layouts:
        s = layout.source
        pairs = {
            "name": s.name,
            "licence": s.licence,
            "citation": s.citation,
            "role": s.role,
            "axes": layout.axes,
            "unit": layout.unit,
        }
        lines += ["[[source]]", *(f"{key} = {json.dumps(value)}" for key, value in pairs.items())]
        lines += [f"spoiled = {json.dumps(list(layout.spoiled))}"] if layout.spoiled else []
        if layout.files:
            lines += [
                "[source.files]",
                *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in layout.files.items()),
            ]
        lines.append("")
    (folder / LAYOUT_FILE).write_text("\n".join(lines), encoding="utf-8")


_LIDC = (
    "CC BY 3.0",
    "Armato SG III et al., Data From LIDC-IDRI, TCIA, doi:10.7937/K9/TCIA.2015.LO9QL9SX",
)
_ACRIN = (
    "CC BY 3.0",
    "Kinahan P et al., Data from ACRIN-FLT-Breast, TCIA 2017, doi:10.7937/K9/TCIA.2017.ol20zmxg",
)
_VISIBLE_HUMAN = (
    "CC BY 4.0, University of Denver",
    "Andreassen et al., Sci Data 2022, doi:10.1038/s41597-022-01905-2",
)

KNOWN: dict[str, tuple[Layout, ...]] = {
    # +x anterior, +y left, +z up
    "artisynth_vhm_lumbosacral": (
        Layout(
            Source(
                "Visible Human Male, lumbosacral",
                "BSD-3-Clause, (c) 2021 Robin Remus",
                "Remus et al., PLoS ONE 2021;16(4):e0250456",
            ),
            "ALS",
        ),
    ),
    # +x left, +y posterior, +z up
    "artisynth_cervical": (
        Layout(
            Source(
                "ArtiSynth cervical spine",
                "ArtiSynth Models licence (BSD-like; academic publications must cite the original work)",
                "ArtiSynth models, dynjaw/geometry/vertebrae",
            ),
            "LPS",
        ),
    ),
    "morphable_lumbar_mean": (
        Layout(
            Source(
                "mean lumbar shape of 87 patients",
                "MIT, (c) 2022 Allison Clouthier",
                "Clouthier et al., J Biomech 2023;146:111421",
                "test",
            ),
            "ALS",
        ),
    ),
    "opensim_skeleton": (
        Layout(
            Source(
                "OpenSim generic skeleton",
                "Apache-2.0, as redistributed in MyoHub/myo_sim",
                "OpenSim models, Geometry/hat_spine",
                "test",
            ),
            "LPS",
        ),
    ),
    # the woman stands in her frame (right, anterior, up), the man is upside down (left, anterior, down);
    # he is the same person as the lumbosacral set, so both serve training
    "vh_sacra_ccby": (
        Layout(
            Source("Visible Human Female, sacrum", *_VISIBLE_HUMAN, "test"),
            "RAS",
            files={"VHF_Left_Bone_Sacrum_smooth.stl": "sacrum"},
        ),
        Layout(
            Source("Visible Human Male, sacrum", *_VISIBLE_HUMAN),
            "LAI",
            files={"VHM_Left_Bone_Sacrum_smooth.stl": "sacrum"},
        ),
    ),
    "lidc_0350": (Layout(Source("LIDC-IDRI-0350", *_LIDC)),),
    "lidc_0295": (Layout(Source("LIDC-IDRI-0295", *_LIDC, "test")),),
    "lidc_0028": (Layout(Source("LIDC-IDRI-0028", *_LIDC), spoiled=("T5", "T6", "T7", "T8", "T9")),),
    "acrin_flt_001_lower": (Layout(Source("ACRIN-FLT-Breast 001", *_ACRIN), spoiled=("T9",)),),
}
"""Collections that are known by the names of their folders, as their own documentation describes them."""
