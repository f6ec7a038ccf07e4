"""A spine of simple solids with exact landmarks, and its label map on any grid.

Independent of `spine_node.phantom`: bodies are elliptic cylinders between two tilted planes, so that
every centroid, normal and edge is known in closed form. Left and right of the whole differ (a curve,
turned vertebrae, a pelvis that is not level), left and right of one vertebra do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.anatomy.levels import (
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    POSTERIOR_OFFSET,
    SACRUM,
    VERTEBRA_VALUES,
)
from spine_node.geometry.directions import across, unit
from spine_node.imaging.volume import Grid, LabelMap

Array = NDArray[np.float64]
Inside = Callable[[Array], NDArray[np.bool_]]

LEVELS = ("C7", *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6)))
HEIGHT = dict(zip(LEVELS, np.linspace(14, 27, 18), strict=True))
DISC = dict(zip(LEVELS, np.linspace(5, 10, 18), strict=True))
HALF_WIDTH = dict(zip(LEVELS, np.linspace(12.5, 24, 18), strict=True))
HALF_DEPTH = dict(zip(LEVELS, np.linspace(10, 17.5, 18), strict=True))
SLOPE = dict(
    zip(LEVELS, [24, 22, 22, 20, 17, 13, 8, 3, -1, -5, -9, -12, -15, -18, -14, -7, 4, 20], strict=True)
)
TILT = dict(zip(LEVELS, [0, 2, 5, 9, 13, 15, 12, 5, -4, -12, -17, -16, -10, -2, 6, 9, 8, 5], strict=True))
ROTATION = dict(zip(LEVELS, [0, 0, 0, -2, -5, -9, -14, -17, -15, -10, -5, -2, 1, 4, 6, 5, 3, 1], strict=True))
"""Right-convex thoracic curve turned to the right; slopes and tilts at mid height, degrees."""

WEDGE_SLOPE, WEDGE_TILT = 3.0, 2.0
"""Superior minus inferior endplate, degrees, the same at every level."""

S1_SLOPE, S1_TILT = 39.0, 4.0


def normal(slope_deg: float, tilt_deg: float) -> Array:
    """The cranial normal with this sagittal slope and coronal tilt."""
    return unit([np.tan(np.radians(tilt_deg)), -np.tan(np.radians(slope_deg)), 1.0])


@dataclass(frozen=True)
class Solid:
    """A structure: its value, where it may be (centre and radius), and what is inside."""

    value: int
    centre_mm: Array
    reach_mm: float
    inside: Inside


@dataclass(frozen=True)
class VoxelSpine:
    """Exact landmarks and the solids around them, both in LPS mm."""

    truth: Spine
    solids: tuple[Solid, ...]

    def moved(self, rotation: Rotation, shift_mm: Array) -> VoxelSpine:
        """The same patient elsewhere; the vertical turns along."""
        return VoxelSpine(
            moved_spine(self.truth, rotation, shift_mm),
            tuple(
                Solid(
                    s.value,
                    rotation.apply(s.centre_mm) + shift_mm,
                    s.reach_mm,
                    lambda p, s=s: s.inside(rotation.inv().apply(p - shift_mm)),
                )
                for s in self.solids
            ),
        )

    def label_map(
        self,
        spacing_mm: float | tuple[float, float, float] = 1.0,
        turned: Rotation | None = None,
        offset: float = 0.31,
        margin_mm: float = 4.0,
    ) -> LabelMap:
        """Voxels whose centre is inside a solid, on a grid whose axes are `turned` LPS axes."""
        spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=float), 3)
        axes = (turned or Rotation.identity()).as_matrix()
        reach = np.array(
            [[s.centre_mm @ axes - s.reach_mm, s.centre_mm @ axes + s.reach_mm] for s in self.solids]
        )
        low, high = reach[:, 0].min(axis=0) - margin_mm, reach[:, 1].max(axis=0) + margin_mm
        affine = np.eye(4)
        affine[:3, :3] = axes * spacing
        affine[:3, 3] = axes @ (low + offset * spacing)
        shape = tuple(int(n) for n in np.ceil((high - low) / spacing))
        return rasterised(self.solids, Grid(shape, affine))  # type: ignore[arg-type]


def rasterised(solids: tuple[Solid, ...], grid: Grid) -> LabelMap:
    """Each solid's voxels on this grid; what reaches beyond the grid is cut."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for solid in solids:
        middle, reach = grid.to_index(solid.centre_mm), solid.reach_mm / grid.spacing_mm
        low = np.maximum(np.floor(middle - reach), 0).astype(int)
        high = np.minimum(np.ceil(middle + reach) + 1, grid.shape).astype(int)
        if (high <= low).any():
            continue
        index = np.moveaxis(np.indices(tuple(high - low)), 0, -1).reshape(-1, 3) + low
        points = grid.to_mm(index)
        near = ((points - solid.centre_mm) ** 2).sum(axis=1) < solid.reach_mm**2
        index, points = index[near], points[near]
        i, j, k = index[solid.inside(points)].T
        free = labels[i, j, k] == 0
        labels[i[free], j[free], k[free]] = solid.value
    return LabelMap(grid, labels)


def moved_plate(plate: Endplate | None, rotation: Rotation, shift_mm: Array) -> Endplate | None:
    """The same endplate elsewhere."""
    if plate is None:
        return None
    points = [
        rotation.as_matrix() @ p + shift_mm
        for p in (plate.centre_mm, plate.anterior_mm, plate.posterior_mm, plate.left_mm, plate.right_mm)
    ]
    return Endplate(points[0], rotation.as_matrix() @ plate.normal, plate.residual_mm, *points[1:])


def moved_spine(spine: Spine, rotation: Rotation, shift_mm: Array) -> Spine:
    """The same landmarks elsewhere; the vertical turns along."""
    return Spine(
        tuple(
            Vertebra(
                v.level,
                rotation.as_matrix() @ v.body_centre_mm + shift_mm,
                moved_plate(v.superior, rotation, shift_mm),
                moved_plate(v.inferior, rotation, shift_mm),
                None if v.axes is None else rotation.as_matrix() @ v.axes,
            )
            for v in spine.vertebrae
        ),
        moved_plate(spine.s1, rotation, shift_mm),
        {
            side: FemoralHead(side, rotation.as_matrix() @ h.centre_mm + shift_mm, h.radius_mm, h.residual_mm)
            for side, h in spine.heads.items()
        },
        Vertical(
            rotation.as_matrix() @ spine.vertical.direction,
            spine.vertical.provenance,
            spine.vertical.standing,
        ),
        spine.missing,
        spine.quality,
    )


def voxel_spine(
    levels: tuple[str, ...] = LEVELS,
    *,
    posterior: bool = True,
    pelvis: bool = True,
    dish_mm: float = 0.0,
    curve: float = 1.0,
) -> VoxelSpine:
    """A patient who faces forward in LPS, so that slopes, tilts and rotations are those of the tables.

    `curve` scales the coronal shape and the rotations, `dish_mm` hollows the endplates.
    """
    s1_normal = normal(S1_SLOPE, S1_TILT * curve)
    s1 = _plate(np.array([3.0, 45.0, 30.0]), s1_normal, 26.0, 17.0, *_across(s1_normal, 0.0))
    heads = {
        "left": FemoralHead("left", np.array([86.0, 0.0, -66.0]), 23.0, 0.0),
        "right": FemoralHead("right", np.array([-89.0, 0.0, -70.0]), 24.0, 0.0),
    }
    solids = [*_sacrum(s1), *_head_solids(heads)] if pelvis else []
    vertebrae: list[Vertebra] = []
    below, below_normal = s1.centre_mm, s1.normal
    for level in reversed(LEVELS):
        tilt, rotation = TILT[level] * curve, ROTATION[level] * curve
        n_inf = normal(SLOPE[level] + WEDGE_SLOPE / 2, tilt - WEDGE_TILT / 2 * curve)
        n_sup = normal(SLOPE[level] - WEDGE_SLOPE / 2, tilt + WEDGE_TILT / 2 * curve)
        z = unit(n_inf + n_sup)
        inferior = below + DISC[level] * unit(below_normal + n_inf)
        superior = inferior + HEIGHT[level] * z
        below, below_normal = superior, n_sup
        if level not in levels:
            continue
        x, y = _across(z, rotation)
        axes = np.column_stack([x, y, z])
        a, b = HALF_WIDTH[level], HALF_DEPTH[level]
        vertebrae.append(
            Vertebra(
                level,
                _wedge_centroid(inferior, superior, n_inf, n_sup, axes, a, b),
                _plate(superior, n_sup, a, b, x, y),
                _plate(inferior, n_inf, a, b, x, y),
                axes if posterior else None,
            )
        )
        solids += _vertebra_solids(level, vertebrae[-1], axes, a, b, dish_mm, posterior=posterior)
    truth = Spine(tuple(reversed(vertebrae)), s1 if pelvis else None, heads if pelvis else {}, Vertical())
    return VoxelSpine(truth, tuple(solids))


def _across(z: Array, rotation_deg: float) -> tuple[Array, Array]:
    """Left and posterior directions of something that points along z and is turned to the left."""
    y = Rotation.from_rotvec(np.radians(rotation_deg) * z).apply(across([0.0, 1.0, 0.0], z))
    return np.cross(y, z), y


def _plate(centre: Array, n: Array, a: float, b: float, x: Array, y: Array) -> Endplate:
    """The cut of an elliptic cylinder (axis x cross y) by a plane."""
    z = np.cross(x, y)

    def on_plane(v: Array) -> Array:
        return v - z * float(v @ n) / float(z @ n)

    ends = [centre + on_plane(v) for v in (-b * y, b * y, a * x, -a * x)]
    return Endplate(centre, n, 0.0, *ends)


def _wedge_centroid(
    inferior: Array, superior: Array, n_inf: Array, n_sup: Array, axes: Array, a: float, b: float
) -> Array:
    """Centroid of an elliptic cylinder between two oblique planes, from the moments of an ellipse."""
    top, bottom = ((-n @ axes[:, :2] / float(n @ axes[:, 2])) for n in (n_sup, n_inf))
    height = float((superior - inferior) @ axes[:, 2])
    moments = np.array([a, b]) ** 2 / 4
    x, y = (top - bottom) * moments / height
    z = (height**2 + float(top**2 @ moments) - float(bottom**2 @ moments)) / (2 * height)
    return inferior + axes @ np.array([x, y, z])


def _vertebra_solids(
    level: str, v: Vertebra, axes: Array, a: float, b: float, dish_mm: float, *, posterior: bool
) -> Iterator[Solid]:
    assert v.superior is not None
    assert v.inferior is not None
    up, down = v.superior, v.inferior
    middle = (up.centre_mm + down.centre_mm) / 2
    height = float(np.linalg.norm(up.centre_mm - down.centre_mm))

    def body(p: Array) -> NDArray[np.bool_]:
        x, y, _ = ((p - middle) @ axes).T
        r2 = (x / a) ** 2 + (y / b) ** 2
        # a dish whose least-squares plane over the ellipse is the endplate itself
        dish = dish_mm * (1 - r2 - 0.5)
        above = (p - up.centre_mm) @ up.normal + dish
        below = (down.centre_mm - p) @ down.normal + dish
        return (r2 < 1) & (above < 0) & (below < 0)

    def arch(p: Array) -> NDArray[np.bool_]:
        x, y, z = ((p - middle) @ axes).T
        x, w, back = np.abs(x), 0.62 * a, b + 15.0
        pedicle = (np.hypot(x - w, z - 0.2 * height) < 4.0) & (y > 0.5 * b) & (y < back)
        lamina = (np.abs(y - back + 0.45 * (x - w)) < 3.0) & (x < w + 2) & (np.abs(z) < 0.42 * height)
        transverse = (np.hypot(y - b - 9 - 0.3 * (x - w), z - 0.1 * height) < 3.5) & (x > w) & (x < w + 18)
        spinous = (x < 2.6) & (y > back) & (y < back + 24) & (np.abs(z + 0.35 * (y - back)) < 0.3 * height)
        return (pedicle | lamina | transverse | spinous) & ~body(p)

    yield Solid(VERTEBRA_VALUES[level], middle, 1.2 * float(np.hypot(a, height)), body)
    if posterior:
        behind = middle + (b + 14.0) * axes[:, 1] - 2.0 * axes[:, 2]
        yield Solid(VERTEBRA_VALUES[level] + POSTERIOR_OFFSET, behind, 0.62 * a + 26, arch)


def _sacrum(s1: Endplate) -> Iterator[Solid]:
    y = unit(s1.posterior_mm - s1.anterior_mm)
    axes = np.column_stack([np.cross(y, s1.normal), y, s1.normal])

    def inside(p: Array) -> NDArray[np.bool_]:
        x, y, z = ((p - s1.centre_mm) @ axes).T
        x = np.abs(x)
        body = ((x / 26) ** 2 + (y / 17) ** 2 < 1) & (z < 0) & (z > -48)
        wing = (x < 52 + 0.3 * z) & (y > -4 + 0.1 * x) & (y < 20) & (z < -6 - 0.2 * (x - 26)) & (z > -52)
        roof = (x < 20) & (np.abs(y - 36) < 4) & (z < -4) & (z > -46)
        joint = (np.hypot(x - 20, y - 26) < 6) & (z < 7) & (z > -46)
        canal = (x < 13) & (y > 17.5) & (y < 32)
        return (body | wing | roof | joint) & ~canal

    yield Solid(SACRUM, s1.centre_mm + axes @ np.array([0.0, 12.0, -22.0]), 66.0, inside)


def _head_solids(heads: dict[str, FemoralHead]) -> Iterator[Solid]:
    for side, value, away in (("left", FEMORAL_HEAD_LEFT, 1.0), ("right", FEMORAL_HEAD_RIGHT, -1.0)):
        head = heads[side]
        neck = unit([away, 0.2, -0.7])

        def inside(p: Array, head: FemoralHead = head, neck: Array = neck) -> NDArray[np.bool_]:
            from_centre = p - head.centre_mm
            return (np.linalg.norm(from_centre, axis=1) < head.radius_mm) & (
                from_centre @ neck < 0.6 * head.radius_mm
            )

        yield Solid(value, head.centre_mm, head.radius_mm + 1, inside)
