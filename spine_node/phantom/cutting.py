"""Vertebrae and sacra cut out of labelled scans, each in its own frame, as templates of the phantom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.landmarks import Endplate, Spine, Vertebra, Vertical
from spine_node.anatomy.levels import POSTERIOR_OFFSET, SACRUM, VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.anatomy.sacrum import Seed, find_s1
from spine_node.anatomy.split import split
from spine_node.anatomy.vertebra import ROUGH_PLATE_MM
from spine_node.errors import LabelMapRefused
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import axes_from, unit
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import FloatArray, Grid, LabelMap
from spine_node.phantom.dimensions import SIZES
from spine_node.phantom.templates import QUANTUM_MM, REACH_MM, STEP_MM, Rim, Source, Template

MARGIN_MM = 4.0
"""Distance kept around a bone."""

LEAST_ARCH = 0.25
"""Posterior elements smaller than this part of their body's volume are incomplete."""

USUAL_SIZE = (0.6, 1.6)
"""Body height against an average adult's; outside of it the label is a piece, or two levels."""

NECK = 1.15
"""Width of a cervical body with its uncinate processes, against that of its usual endplate."""

S1_WIDTH_MM, S1_DEPTH_MM = (36.0, 66.0), (24.0, 44.0)
"""Endplates of S1 in adults."""

SAME_DEG, SAME_MM = 6.0, 2.0
"""An endplate that moves further when it is looked for again in the smooth bone was no clear one."""

SMOOTHING_VOXELS = 0.5
"""Of the distance, so that the voxels' stairs are not cut out with the bone."""

BORDER_VOXELS = 0.35
"""From the surface to the nearest voxel's middle: half a voxel straight on, less where it is oblique."""


def cut(
    label_map: LabelMap, source: Source, *, spoiled: Iterable[str] = ()
) -> tuple[list[Template], dict[str, str]]:
    """Every vertebra and the sacrum that a label map shows completely.

    Parameters
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`; vertebrae in one piece are parted first.
    source : Source
    spoiled : iterable of str
        Levels whose labels are known to be poor: not cut out.

    Returns
    -------
    templates : list of Template
        Cranial to caudal.
    left_out : dict
        Reason for each level that is labelled and no template.

    Raises
    ------
    LabelMapRefused
        If the map shows no vertebra and no sacrum, or is mirrored.
    """
    parted = split(label_map)
    spine = locate(parted)
    if parted is not label_map:
        parted = _without_necks(parted, spine)
        spine = locate(parted)
    spoiled = set(spoiled)
    templates: list[Template] = []
    left_out: dict[str, str] = {}
    for vertebra in spine.vertebrae:
        level = vertebra.level
        if level in spoiled:
            left_out[level] = "its labels are marked as poor"
            continue
        made = _unfit(spine, vertebra) or _vertebra(parted, vertebra, source)
        if isinstance(made, Template):
            made = _odd(made) or made
        if isinstance(made, str):
            left_out[level] = made
        else:
            templates.append(made)
    if (parted.labels == SACRUM).any():
        sacrum = (
            _sacrum(parted, spine.s1, source)
            if spine.s1
            else spine.missing.get("s1", "it shows no S1 endplate")
        )
        if isinstance(sacrum, str):
            left_out["S1"] = sacrum
        else:
            templates.append(sacrum)
    return templates, left_out


def _unfit(spine: Spine, vertebra: Vertebra) -> str:
    """Why a vertebra cannot be cut out; empty when it can."""
    level = vertebra.level
    cut_off = spine.missing.get(f"{level}.body") or spine.missing.get(f"{level}.inferior")
    if cut_off or vertebra.inferior is None:
        return cut_off or "its inferior endplate was not found"
    if vertebra.superior is None and level != "C2":
        return spine.missing.get(f"{level}.superior", "its superior endplate was not found")
    if vertebra.axes is None:
        return spine.missing.get(f"{level}.axes", "its rotation was not found")
    rough = max(p.residual_mm for p in (vertebra.superior, vertebra.inferior) if p is not None)
    return f"an endplate scatters by {rough:.1f} mm" if rough > ROUGH_PLATE_MM else ""


def _odd(template: Template) -> str:
    """Why what was cut out is no whole vertebra; empty when it is one."""
    ratio = template.height_mm / SIZES[template.level].height_mm
    if not USUAL_SIZE[0] <= ratio <= USUAL_SIZE[1]:
        return f"its body is {template.height_mm:.0f} mm high, {ratio:.1f} times the usual"
    body, whole = ((d < 0).sum() for d in template.distances)
    if whole - body < LEAST_ARCH * body:
        return f"its posterior elements have only {100 * (whole - body) / body:.0f} % of the body's volume"
    return ""


def _vertebra(label_map: LabelMap, rough: Vertebra, source: Source) -> Template | str:
    """A vertebra in its own frame, or why its endplates are not clear enough."""
    value = VERTEBRA_VALUES[rough.level]
    bone = _Bone.of(label_map, (value, value + POSTERIOR_OFFSET))
    # once in the frame of the voxels' endplates, then in that of the smooth bone that will be drawn
    superior, inferior, axes = _frame(rough)
    again = locate(bone.drawn((superior, inferior), axes), Vertical(axes[:, 2])).vertebra(rough.level)
    if again is None or again.inferior is None or again.axes is None:
        return "its endplates are not found again in the smooth bone"
    moved = _moved_apart(rough.inferior, again.inferior) or _moved_apart(rough.superior, again.superior)
    if moved:
        return moved
    superior, inferior, axes = _frame(again)
    origin = (superior.centre_mm + inferior.centre_mm) / 2
    distances, corner = bone.seen_from(origin, axes)
    rims = [_rim(p, origin, axes) for p in (superior, inferior)]
    canal = _canal(distances, corner, rims[1], rough.level)
    return Template(rough.level, distances, corner, rims[0], rims[1], canal, source)


def _frame(vertebra: Vertebra) -> tuple[Endplate, Endplate, FloatArray]:
    """Superior and inferior endplate, and axes whose third leads from centre to centre."""
    assert vertebra.inferior is not None
    assert vertebra.axes is not None
    superior, inferior = vertebra.superior, vertebra.inferior
    if superior is None:  # C2: where the dens begins, by the usual proportions
        usual = SIZES[vertebra.level]
        wide = float(np.linalg.norm(inferior.left_mm - inferior.right_mm))
        superior = _lifted(inferior, usual.height_mm * wide / usual.width_mm * inferior.normal)
    cranial = unit(superior.centre_mm - inferior.centre_mm)
    return superior, inferior, axes_from(cranial, vertebra.axes[:, 1])


def _sacrum(label_map: LabelMap, rough: Endplate, source: Source) -> Template | str:
    """The sacrum in the frame of its S1 endplate, or why that is not clear enough."""
    bone = _Bone.of(label_map, (SACRUM,))
    axes = axes_from(rough.normal, rough.posterior_mm - rough.anterior_mm)
    smooth = bone.drawn((rough, rough), axes)
    blob = cut_out(smooth, SACRUM, boxes(smooth)[SACRUM])
    s1, reason = find_s1(blob, field_of(blob), Seed(rough.centre_mm, rough.normal, axes[:, 1]))
    reason = reason or _moved_apart(rough, s1) or _odd_s1(s1)
    if reason or s1 is None:
        return reason
    axes = axes_from(s1.normal, s1.posterior_mm - s1.anterior_mm)
    distances, corner = bone.seen_from(s1.centre_mm, axes)
    rim = _rim(s1, s1.centre_mm, axes)
    canal = np.array([0.0, float(rim.edges_mm[1, 1]) + SIZES["L5"].canal_depth_mm / 2, 0.0])
    return Template("S1", distances, corner, rim, rim, canal, source)


def _odd_s1(s1: Endplate | None) -> str:
    if s1 is None:
        return "its S1 endplate is not found again in the smooth bone"
    if s1.residual_mm > ROUGH_PLATE_MM:
        return f"its endplate scatters by {s1.residual_mm:.1f} mm"
    wide = float(np.linalg.norm(s1.left_mm - s1.right_mm))
    deep = float(np.linalg.norm(s1.anterior_mm - s1.posterior_mm))
    if S1_WIDTH_MM[0] < wide < S1_WIDTH_MM[1] and S1_DEPTH_MM[0] < deep < S1_DEPTH_MM[1]:
        return ""
    return f"what was found as its S1 endplate is {wide:.0f} by {deep:.0f} mm"


def _moved_apart(before: Endplate | None, after: Endplate | None) -> str:
    if before is None or after is None:
        return ""
    turn = angle_between_deg(before.normal, after.normal)
    way = float(np.linalg.norm(before.centre_mm - after.centre_mm))
    if turn <= SAME_DEG and way <= SAME_MM:
        return ""
    return f"an endplate is found {way:.1f} mm and {turn:.0f} degrees elsewhere in the smooth bone"


def _without_necks(label_map: LabelMap, spine: Spine) -> LabelMap:
    """Roots of cervical transverse processes given from the bodies to the posterior elements.

    Parting by shape leaves them with the body, which is hardly thicker there.
    """
    labels = label_map.labels.copy()
    for v in spine.vertebrae:
        if v.level[0] != "C" or v.axes is None or v.inferior is None:
            continue
        usual, value = SIZES[v.level], VERTEBRA_VALUES[v.level]
        deep = float(np.linalg.norm(v.inferior.anterior_mm - v.inferior.posterior_mm))
        half = NECK * usual.width_mm / usual.depth_mm * deep / 2
        where = np.argwhere(labels == value)
        aside = np.abs((label_map.grid.to_mm(where) - v.inferior.centre_mm) @ v.axes[:, 0]) > half
        labels[tuple(where[aside].T)] = value + POSTERIOR_OFFSET
    return LabelMap(label_map.grid, labels)


def _lifted(plate: Endplate, by_mm: FloatArray) -> Endplate:
    edges = (plate.anterior_mm, plate.posterior_mm, plate.left_mm, plate.right_mm)
    return Endplate(plate.centre_mm + by_mm, plate.normal, 0.0, *(e + by_mm for e in edges))


def _rim(plate: Endplate, origin: FloatArray, axes: FloatArray) -> Rim:
    edges = np.stack([plate.anterior_mm, plate.posterior_mm, plate.left_mm, plate.right_mm])
    return Rim((plate.centre_mm - origin) @ axes, plate.normal @ axes, (edges - origin) @ axes)


@dataclass(frozen=True, slots=True, eq=False)
class _Bone:
    """Smooth signed distances, mm, of a bone's first value and of all its values, on the scan's voxels."""

    values: tuple[int, ...]
    grid: Grid
    first: NDArray[np.float32]
    whole: NDArray[np.float32]

    @classmethod
    def of(cls, label_map: LabelMap, values: tuple[int, ...]) -> _Bone:
        found = boxes(label_map)
        box = [found[v] for v in values if v in found]
        pad = np.ceil(REACH_MM / label_map.grid.spacing_mm).astype(int) + 1
        start = np.min([[s.start for s in b] for b in box], axis=0)
        stop = np.max([[s.stop for s in b] for b in box], axis=0)
        labels = label_map.labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        labels = np.pad(labels, [(p, p) for p in pad])
        affine = label_map.grid.affine.copy()
        affine[:3, 3] = label_map.grid.to_mm(start - pad)
        grid = Grid(labels.shape, affine)
        whole = _smooth_distance(_main(np.isin(labels, values)), grid.spacing_mm)
        if len(values) == 1:
            return cls(values, grid, whole, whole)
        return cls(values, grid, _smooth_distance(_main(labels == values[0]), grid.spacing_mm), whole)

    def seen_from(self, origin: FloatArray, axes: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
        """Stored distances (2, nx, ny, nz) in a frame of LPS mm, and the corner of their array in it."""
        local = (self.grid.to_mm(np.argwhere(self.whole < 0)) - origin) @ axes
        low, high = local.min(axis=0) - MARGIN_MM, local.max(axis=0) + MARGIN_MM
        lines = [np.arange(a, b + STEP_MM, STEP_MM) for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        index = np.moveaxis(self.grid.to_index(origin + points @ axes.T), -1, 0)
        first = ndimage.map_coordinates(self.first, index, order=1, mode="nearest")
        whole = (
            first
            if self.whole is self.first
            else ndimage.map_coordinates(self.whole, index, order=1, mode="nearest")
        )
        both = np.clip(np.stack([first, np.minimum(first, whole)]), -REACH_MM, REACH_MM)
        return np.round(both / QUANTUM_MM).astype(np.int8), low

    def drawn(self, plates: tuple[Endplate, Endplate], axes: FloatArray) -> LabelMap:
        """The bone as it will be drawn, in fine voxels along its own axes, LPS."""
        origin = (plates[0].centre_mm + plates[1].centre_mm) / 2
        (first, whole), corner = self.seen_from(origin, axes)
        affine = np.eye(4)
        affine[:3, :3] = axes * STEP_MM
        affine[:3, 3] = origin + axes @ corner
        labels = np.where(first < 0, self.values[0], np.where(whole < 0, self.values[-1], 0))
        return LabelMap(Grid(first.shape, affine), labels.astype(np.uint8))


def _main(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without splinters: pieces of at least a tenth of the largest one."""
    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        raise LabelMapRefused("a vertebra has posterior elements and no body: nothing can be cut out.")
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= 0.1 * sizes.max())[pieces] & mask)


def _smooth_distance(mask: NDArray[np.bool_], spacing_mm: FloatArray) -> NDArray[np.float32]:
    """Signed distance in mm whose zero encloses as much as the voxels did."""
    out, inside = (ndimage.distance_transform_edt(m, sampling=spacing_mm) for m in (~mask, mask))
    half = BORDER_VOXELS * float(np.min(spacing_mm))
    distance = np.where(mask, half - inside, out - half).astype(np.float32)
    distance = ndimage.gaussian_filter(distance, SMOOTHING_VOXELS)
    # smoothing eats thin plates and tips: give back what it took, counting voxels in part
    voxel = float(np.prod(spacing_mm)) ** (1 / 3)
    near = distance[np.abs(distance) < 3 * voxel] / voxel
    wanted = float(mask.sum() - (distance <= -3 * voxel).sum())
    low, high = -1.0, 1.0
    for _ in range(16):
        level = (low + high) / 2
        low, high = (level, high) if np.clip(0.5 + level - near, 0, 1).sum() < wanted else (low, level)
    return np.asarray(distance - np.float32(level * voxel), np.float32)


def _canal(distances: NDArray[np.int8], corner: FloatArray, inferior: Rim, level: str) -> FloatArray:
    """Middle of the free line behind the body, on the midline at the height of the body."""
    usual = SIZES[level]
    wall = float(inferior.edges_mm[1, 1])
    x = round(-corner[0] / STEP_MM)
    low, high = (max(0, round((h * usual.height_mm - corner[2]) / STEP_MM)) for h in (-0.5, 0.5))
    free = (distances[1][x - 1 : x + 2, :, low:high] >= 0).all(axis=(0, 2))
    y = corner[1] + STEP_MM * np.arange(len(free))
    behind = y[~free & (y > wall + 6)]
    back = float(behind[0]) if len(behind) else wall + usual.canal_depth_mm
    ahead = y[free & (y > wall - 8) & (y < back)]
    front = float(ahead[0]) if len(ahead) else wall
    if not 0.6 * usual.canal_depth_mm < back - front < 1.8 * usual.canal_depth_mm:
        front, back = wall, wall + usual.canal_depth_mm
    return np.array([0.0, (front + back) / 2, 0.0])
