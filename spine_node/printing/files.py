"""Surfaces as files: STL for any printer and planner; 3MF, or OBJ with its MTL, with names and colours."""

from __future__ import annotations

import locale
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spine_node.dicom.codes import STRUCTURES
from spine_node.imaging.binary_stl import binary_stl

if TYPE_CHECKING:
    import trimesh

ASSEMBLED = "assembled"
"""Name of the file that holds every structure in its place."""

_UUIDS = uuid.UUID("0a3e5d0e-6a77-4f04-9d51-5b8ad7e0a2c4")
"""Of the name-based UUIDs that 3MF wants for objects; random ones would make two runs differ."""


def write_stl(surfaces: Mapping[str, trimesh.Trimesh], out: Path) -> list[Path]:
    """Write binary STL in LPS mm: one file a structure ("L1.stl"), and assembled.stl with every shell.

    STL knows no unit: the header says it, and what frame it is.
    """
    out.mkdir(parents=True, exist_ok=True)
    groups = {name: [mesh] for name, mesh in surfaces.items()}
    if surfaces:
        groups[ASSEMBLED] = list(surfaces.values())
    paths = []
    for name, parts in groups.items():
        paths.append(out / f"{name}.stl")
        paths[-1].write_bytes(binary_stl(np.concatenate([np.asarray(mesh.triangles) for mesh in parts])))
    return paths


def write_3mf(surfaces: Mapping[str, trimesh.Trimesh], out: Path) -> list[Path]:
    """Write assembled.3mf: an object for each structure, in its place, with its name and colour, unit mm.

    Coordinates are LPS mm, so that some are negative: printers move the whole onto their plate.
    """
    import ctypes

    import lib3mf

    out.mkdir(parents=True, exist_ok=True)
    wrapper = lib3mf.get_wrapper()
    model = wrapper.CreateModel()
    model.SetUnit(lib3mf.ModelUnit.MilliMeter)
    model.SetBuildUUID(str(uuid.uuid5(_UUIDS, "build")))
    colours = model.AddBaseMaterialGroup()
    for name, mesh in surfaces.items():
        body = model.AddMeshObject()
        body.SetName(STRUCTURES[name].label)
        body.SetUUID(str(uuid.uuid5(_UUIDS, f"object {name}")))
        body.SetGeometry(
            [lib3mf.Position((ctypes.c_float * 3)(*vertex)) for vertex in mesh.vertices.tolist()],
            [lib3mf.Triangle((ctypes.c_uint32 * 3)(*corners)) for corners in mesh.faces.tolist()],
        )
        red, green, blue = _bytes(name)
        material = colours.AddMaterial(STRUCTURES[name].label, wrapper.RGBAToColor(red, green, blue, 255))
        body.SetObjectLevelProperty(colours.GetResourceID(), material)
        item = model.AddBuildItem(body, wrapper.GetIdentityTransform())
        item.SetUUID(str(uuid.uuid5(_UUIDS, f"item {name}")))
    path = out / f"{ASSEMBLED}.3mf"
    with locale_kept():
        model.QueryWriter("3mf").WriteToFile(str(path))
    return [path]


@contextmanager
def locale_kept() -> Iterator[None]:
    """lib3mf 2.5 leaves the whole process in the locale "C": other text would no longer be read as UTF-8."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def write_obj(surfaces: Mapping[str, trimesh.Trimesh], out: Path) -> list[Path]:
    """Write assembled.obj and assembled.mtl: a group for each structure, with its name and colour; LPS mm."""
    out.mkdir(parents=True, exist_ok=True)
    materials, lines, first = [], ["# LPS mm", f"mtllib {ASSEMBLED}.mtl"], 1
    for name, mesh in surfaces.items():
        red, green, blue = (channel / 255 for channel in _bytes(name))
        materials += [f"newmtl {name}", f"Kd {red:.4f} {green:.4f} {blue:.4f}", ""]
        lines += [f"o {name}", f"usemtl {name}"]
        lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
        lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + first).tolist()]
        first += len(mesh.vertices)
    paths = [out / f"{ASSEMBLED}.obj", out / f"{ASSEMBLED}.mtl"]
    for path, content in zip(paths, (lines, materials), strict=True):
        path.write_text("\n".join(content) + "\n")
    return paths


WRITERS = {"stl": write_stl, "3mf": write_3mf, "obj": write_obj}
"""How each format is written."""


def _bytes(name: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in STRUCTURES[name].rgb)
    return red, green, blue
