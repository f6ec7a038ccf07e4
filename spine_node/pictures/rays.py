"""Surfaces as they are seen from one direction: parallel rays, each stopped by the first bone it meets.

Intel's Embree finds what a ray meets, on the CPU: a hospital's server has no graphics card, and no
library of one. Light and shade are a few lines of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURES
from spine_node.imaging.volume import FloatArray
from spine_node.pictures.bones import Bones
from spine_node.pictures.projection import STRUCTURE_NUMBERS, Axes, Extent, pixels

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

LAMP = np.array([-0.45, 0.55, 0.75])
"""Direction to the lamp: to the left of the picture, up, towards the observer."""

AMBIENT, DIFFUSE, GLOSS = 0.30, 0.78, 0.10
"""Shares of the light: from everywhere, from the lamp, and mirrored."""

GLOSS_EXPONENT = 24.0

CREVICE_MM, CREVICE_DEPTH_MM, CREVICE = 5.0, 22.0, 0.55
"""What lies deeper than its surroundings is darker: how far they reach, at which depth it is darkest,
and by how much."""

FADE_MM = 700.0
"""Depth at which brightness has halved."""

_WITHIN = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))
"""Where the rays through an edge's pixel pass, in pixels."""

EDGE_MM = 4.0
"""A step in depth beyond this is an edge, and drawn with four times the rays."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Which way bones are looked at: unit vectors in LPS.

    Attributes
    ----------
    across, up : ndarray, shape (3,)
        To the right and upwards in the picture.
    away : ndarray, shape (3,)
        From the observer; across, up and the way back are right-handed, or the picture would be a mirror's.
    """

    across: FloatArray
    up: FloatArray
    away: FloatArray

    def __post_init__(self) -> None:
        if not np.allclose(np.cross(self.across, self.up), -self.away, atol=1e-6):
            raise ValueError("a mirror image: across x up must point to the observer")

    @classmethod
    def from_the_front(cls, axes: Axes) -> Sight:
        """The patient's left is on the right."""
        return cls(axes.left, axes.up, axes.posterior)

    @classmethod
    def from_the_left(cls, axes: Axes) -> Sight:
        """The patient's back is on the right."""
        return cls(axes.posterior, axes.up, -axes.left)

    @classmethod
    def from_above(cls, axes: Axes) -> Sight:
        """The patient's front is above, the left on the left."""
        return cls(-axes.left, -axes.posterior, -axes.up)

    def seen(self, points_mm: FloatArray) -> FloatArray:
        """LPS points, shape (..., 3), as (across, up) mm."""
        return np.asarray(points_mm @ np.column_stack([self.across, self.up]))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is seen, pixel by pixel.

    Attributes
    ----------
    colour : ndarray of float32, shape (rows, columns, 3)
        sRGB, 0..1, mixed with black where bones cover a part of the pixel.
    cover : ndarray of float32, shape (rows, columns)
        Which part of it they cover.
    numbers : ndarray of uint8, shape (rows, columns)
        `STRUCTURE_NUMBERS` of what is met in its middle; 0 is nothing.
    extent_mm : tuple of float
        Along `Sight.across` and `Sight.up`.
    """

    colour: NDArray[np.float32]
    cover: NDArray[np.float32]
    numbers: NDArray[np.uint8]
    extent_mm: Extent


class Target:
    """Bones, ready to be met by rays."""

    def __init__(self, bones: Bones) -> None:
        self.bones = bones

    @cached_property
    def origin(self) -> NDArray[np.float32]:
        """Where Embree's own coordinates begin: in single precision they are best near the bones."""
        return np.asarray(self.bones.vertices_mm.mean(axis=0))

    @cached_property
    def scene(self) -> EmbreeScene:
        """Embree's tree of the triangles: building it takes longest."""
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        scene = EmbreeScene()
        TriangleMesh(scene=scene, vertices=self.bones.vertices_mm - self.origin, indices=self.bones.faces)
        return scene

    def first(self, across: FloatArray, heights: FloatArray, start: float, sight: Sight) -> NDArray[np.intp]:
        """The triangle that each of n parallel rays meets first; -1 where it meets none."""
        origins = np.empty((len(across), 3), np.float32)
        begin = start * sight.away - self.origin
        for k in range(3):
            origins[:, k] = across * sight.across[k] + heights * sight.up[k] + begin[k]
        directions = np.tile(sight.away.astype(np.float32), (len(origins), 1))
        return np.asarray(self.scene.run(origins, directions), np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """What each of n rays meets first.

    Attributes
    ----------
    numbers : ndarray of uint8, shape (n,)
        `STRUCTURE_NUMBERS`; 0 is nothing.
    depth_mm : ndarray of float32, shape (n,)
        Along `Sight.away`; infinite where nothing is met.
    colour : ndarray of float32, shape (n, 3)
        In the light of the lamp; black where nothing is met.
    """

    numbers: NDArray[np.uint8]
    depth_mm: NDArray[np.float32]
    colour: NDArray[np.float32]


def look(targets: Sequence[Target], sight: Sight, extent_mm: Extent, pixel_mm: float) -> Look:
    """What is seen within an extent.

    Parameters
    ----------
    targets : sequence of Target
        All of them are there at once.
    sight : Sight
    extent_mm : tuple of float
        Along its axes, mm.
    pixel_mm : float
    """
    across, heights, extent_mm = pixels(extent_mm, pixel_mm)
    shape = len(heights), len(across)
    numbers, cover = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    depth, colour = np.full(shape, np.inf, np.float32), np.zeros((*shape, 3), np.float32)
    projected = [_Projected(target, sight) for target in targets if len(target.bones.faces)]
    rows, columns = np.nonzero(_outline(projected, extent_mm, shape, pixel_mm))
    met = _met(projected, across[columns], heights[rows])
    around = _Surroundings(met, rows, columns, shape, pixel_mm)
    nearest = float(met.depth_mm.min(initial=np.inf))
    numbers[rows, columns], depth[rows, columns] = met.numbers, met.depth_mm
    colour[rows, columns] = met.colour * _dimming(met, around.at(rows, columns), nearest)
    cover[numbers > 0] = 1
    rows, columns = np.nonzero(_edges(numbers, depth))
    colour[rows, columns] = cover[rows, columns] = 0
    for x, y in _WITHIN:
        met = _met(projected, across[columns] + x * pixel_mm, heights[rows] + y * pixel_mm)
        colour[rows, columns] += met.colour * _dimming(met, around.at(rows, columns), nearest) / len(_WITHIN)
        cover[rows, columns] += (met.numbers > 0) / len(_WITHIN)
    return Look(colour, cover, numbers, extent_mm)


class _Projected:
    """Bones as one sight shows them."""

    def __init__(self, target: Target, sight: Sight) -> None:
        bones = target.bones
        turn = np.column_stack([sight.across, sight.up, sight.away]).astype(np.float32)
        self.sight, self.bones, self.target = sight, bones, target
        self.places = bones.vertices_mm @ turn
        normals = bones.normals @ (turn * np.array([1, 1, -1], np.float32))
        self.corners = np.hstack([self.places, normals])
        self.low, self.high = self.places.min(axis=0), self.places.max(axis=0)
        self.start = float(self.low[2]) - 10.0

    def met(self, across: FloatArray, heights: FloatArray) -> Met:
        n = len(across)
        beside = (across < self.low[0]) | (across > self.high[0])
        may = np.flatnonzero(~(beside | (heights < self.low[1]) | (heights > self.high[1])))
        first = self.target.first(across[may], heights[may], self.start, self.sight)
        met = first >= 0
        hit, first = may[met], first[met]
        triangles = self.bones.faces[first]
        corners = self.corners.take(triangles, axis=0)
        weights = _weights(corners[..., :2], np.stack([across[hit], heights[hit]], axis=-1))
        found = Met(np.zeros(n, np.uint8), np.full(n, np.inf, np.float32), np.zeros((n, 3), np.float32))
        found.numbers[hit] = self.bones.numbers[first]
        between = np.matmul(weights[:, None], corners[..., 2:])[:, 0]
        found.depth_mm[hit] = between[:, 0]
        found.colour[hit] = _lit(found.numbers[hit], between[:, 1:])
        return found


def _met(projected: Sequence[_Projected], across: FloatArray, heights: FloatArray) -> Met:
    """The nearest of what the rays meet."""
    nearest, *others = (part.met(across, heights) for part in projected)
    for other in others:
        nearer = np.flatnonzero(other.depth_mm < nearest.depth_mm)
        for name in ("numbers", "depth_mm", "colour"):
            getattr(nearest, name)[nearer] = getattr(other, name)[nearer]
    return nearest


def _outline(
    projected: Sequence[_Projected], extent_mm: Extent, shape: tuple[int, int], pixel_mm: float
) -> NDArray[np.bool_]:
    """Pixels behind which there may be a bone: most of a picture is empty and needs no rays."""
    outline = np.zeros(shape, bool)
    longest = 0.0
    for part in projected:
        places = part.places
        columns = np.floor((places[:, 0] - extent_mm[0]) / pixel_mm).astype(np.intp)
        rows = np.floor((extent_mm[3] - places[:, 1]) / pixel_mm).astype(np.intp)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        outline[rows[inside], columns[inside]] = True
        corners = part.places[part.bones.faces, :2]
        longest = max(longest, float(np.abs(corners - np.roll(corners, 1, axis=1)).max()))
    reach = int(np.ceil(longest / pixel_mm)) + 1
    return np.asarray(ndimage.maximum_filter(outline, 2 * reach + 1))


def _weights(corners: FloatArray, places: FloatArray) -> NDArray[np.float32]:
    """How near each place is to the corners of its triangle, shape (n, 3), in the plane of the picture."""
    a, b, c = np.moveaxis(corners, 1, 0)
    one, other, to = b - a, c - a, places - a
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second = (to[:, 0] * other[:, 1] - to[:, 1] * other[:, 0]) / area
    third = (one[:, 0] * to[:, 1] - one[:, 1] * to[:, 0]) / area
    weights = np.clip(np.stack([1 - second - third, second, third], axis=-1), 0, 1)
    return (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)


def _lit(numbers: NDArray[np.uint8], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colour of surfaces in the light of the lamp."""
    lamp = (LAMP / np.linalg.norm(LAMP)).astype(np.float32)
    between = lamp + np.array([0, 0, 1], np.float32)
    between /= np.linalg.norm(between)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    light = AMBIENT + DIFFUSE * np.clip(normals @ lamp, 0, 1)
    gloss = GLOSS * np.clip(normals @ between, 0, 1) ** GLOSS_EXPONENT
    return np.clip(_COLOURS[numbers] * light[:, None] + gloss[:, None], 0, 1)


class _Surroundings:
    """Mean depth of the bones around each pixel: on a coarse raster, as it changes slowly."""

    def __init__(
        self, met: Met, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int], mm: float
    ) -> None:
        self.times = max(int(CREVICE_MM / mm / 3), 1)
        hit = met.numbers > 0
        coarse = tuple(-(-n // self.times) for n in shape)
        at = np.ravel_multi_index((rows[hit] // self.times, columns[hit] // self.times), coarse)
        size = coarse[0] * coarse[1]
        counts, sums = np.bincount(at, minlength=size), np.bincount(at, met.depth_mm[hit], minlength=size)
        sigma = CREVICE_MM / mm / self.times
        weight, depth = (
            ndimage.gaussian_filter(a.reshape(coarse).astype(float), sigma) for a in (counts, sums)
        )
        self.depth = depth / np.maximum(weight, 1e-9)

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """At pixels, mm."""
        places = (np.stack([rows, columns]) + 0.5) / self.times - 0.5
        return np.asarray(ndimage.map_coordinates(self.depth, places, order=1, mode="nearest"), np.float32)


def _dimming(met: Met, around: NDArray[np.float32], nearest: float) -> NDArray[np.float32]:
    """Brightness left in crevices and far from the observer, shape (n, 1).

    After Luft 2006, ACM Trans Graph 25:1206: what lies deeper than its surroundings is in their shade.
    """
    depth = np.where(met.numbers > 0, met.depth_mm, nearest)
    deeper = np.clip((depth - around) / CREVICE_DEPTH_MM, 0, 1)
    return ((1 - CREVICE * deeper) * 0.5 ** ((depth - nearest) / FADE_MM)).astype(np.float32)[:, None]


def _edges(numbers: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels whose neighbours show another structure, or the same one much nearer or further away."""
    edges = ndimage.maximum_filter(numbers, 3) != ndimage.minimum_filter(numbers, 3)
    filled = np.where(numbers > 0, depth, 0)
    return edges | (ndimage.maximum_filter(filled, 3) - ndimage.minimum_filter(filled, 3) > EDGE_MM)


_COLOURS = np.zeros((len(STRUCTURE_NUMBERS) + 1, 3), np.float32)
for _name, _number in STRUCTURE_NUMBERS.items():
    _COLOURS[_number] = STRUCTURES[_name].rgb
