"""The vertebral body: a waisted elliptic cylinder, flattened behind, between two exact endplates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.shapes import Limb, fillet_, rod, unit

Point = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outline:
    """The shape of an endplate in unit coordinates (x left, y posterior, both -1..1).

    Attributes
    ----------
    notch : float
        Fraction by which the back is dented at the midline (kidney).
    point : float
        Fraction by which the front is narrower than an ellipse (heart).
    """

    notch: float = 0.08
    point: float = 0.0

    def radius(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """1 on the outline, less inside; broadcasts, keeps the precision."""
        behind = y.clamp_min(0)
        if self.point:
            x = x * y.clamp_max(0).square_().mul_(self.point).add_(1)
        x2 = x * x
        dent = (x2 * -1.6).add_(1).clamp_min_(0)
        behind = dent.square_().mul_(self.notch).add_(1).mul_(behind)
        front2 = y.clamp_max(0).square_().add_(x2)  # an ellipse in front, squarer behind
        behind2 = behind.square_()
        square = (behind2 * behind2).addcmul_(x2, x2).sqrt_()
        round_ = behind2.add_(x2).mul_(0.45).add_(square, alpha=0.55)
        return torch.where(y > 0, round_, front2).sqrt_()

    @property
    def back(self) -> float:
        """Where the outline crosses the midline behind."""
        return 1 / (1 + self.notch)


@lru_cache(maxsize=1024)
def _moments(outline: Outline) -> tuple[float, float, float]:
    """Centroid (y), mean of the dish and its slope along y; unit coordinates.

    The dish is (1 - radius^2)^2. Mean and slope are those of the least-squares plane over the
    outline, so that a dished endplate keeps the plane it was given.
    """
    c = (np.arange(180) + 0.5) / 90 - 1
    x, y = np.meshgrid(c * 1.02, c * 1.02, indexing="ij")
    r = outline.radius(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    inside = r < 1
    yi = y[inside]
    centroid = float(yi.mean())
    dish = (1 - r[inside] ** 2) ** 2
    mean = float(dish.mean())
    slope = float(((dish - mean) * (yi - centroid)).sum() / ((yi - centroid) ** 2).sum())
    return centroid, mean, slope


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A vertebral body in the patient frame.

    Attributes
    ----------
    superior_mm, inferior_mm : ndarray, shape (3,)
        Centroids of the endplates; one is exactly along `axes[:, 2]` from the other.
    superior_normal, inferior_normal : ndarray, shape (3,)
        Unit, cranial.
    axes : ndarray, shape (3, 3)
        Columns: left, posterior, cranial.
    half_width_mm, half_depth_mm, concavity_mm : tuple of float
        At the inferior, at the superior endplate.
    waist : float
        Fraction by which the body is narrower at mid height.
    outline : Outline
    spurs : tuple of Limb
        Osteophytes, part of the body (and of its centroid) but not of its endplates.
    """

    superior_mm: Point
    inferior_mm: Point
    superior_normal: Point
    inferior_normal: Point
    axes: NDArray[np.float64]
    half_width_mm: tuple[float, float]
    half_depth_mm: tuple[float, float]
    waist: float
    concavity_mm: tuple[float, float]
    outline: Outline
    spurs: tuple[Limb, ...] = ()

    @property
    def height_mm(self) -> float:
        """Distance between the endplates' centroids."""
        return float(np.linalg.norm(self.superior_mm - self.inferior_mm))

    @property
    def middle_mm(self) -> Point:
        """Half-way between the endplates' centroids (not the centroid of the body)."""
        return np.asarray((self.superior_mm + self.inferior_mm) / 2)

    @property
    def back_mm(self) -> float:
        """Depth of the posterior wall behind the axis, at mid height on the midline."""
        centroid, *_ = _moments(self.outline)
        return (self.outline.back - centroid) * float(np.mean(self.half_depth_mm)) * (1 - self.waist)

    def box(self) -> tuple[Point, Point]:
        """Two corners of a box in mm that holds the body."""
        reach = 1.1 * max(*self.half_width_mm, *self.half_depth_mm) + 2
        ends = np.stack([self.superior_mm, self.inferior_mm])
        boxes = [(ends.min(axis=0) - reach, ends.max(axis=0) + reach), *(s.box() for s in self.spurs)]
        return np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)

    def spur(self, *, superior: bool, azimuth_deg: float, length_mm: float) -> Limb:
        """A beak on the rim (0 in front, 90 on the left), leaning over the disc."""
        anterior, _, left, right = self.plate_edges("superior" if superior else "inferior")
        centre = self.superior_mm if superior else self.inferior_mm
        a = np.radians(azimuth_deg)
        across = (left if azimuth_deg > 0 else right) - centre
        rim = centre + np.cos(a) * (anterior - centre) + abs(np.sin(a)) * across
        inward = self.axes[:, 2] * (-1.0 if superior else 1.0)
        start = centre + 0.9 * (rim - centre) + 3.0 * inward
        return rod(start, rim + unit(rim - centre) * length_mm - 0.3 * length_mm * inward, 2.6, 0.55)

    def distance(self, at: Lattice) -> Field:
        """Signed distance at each voxel, mm, negative inside."""
        centroid, mean, slope = _moments(self.outline)
        X, Y, _ = self.axes.T
        above = at.along(self.superior_normal, self.superior_mm)
        below = at.along(-self.inferior_normal, self.inferior_mm)
        x, y = at.coordinates(np.stack([X, Y]), self.inferior_mm).unbind(0)
        t = (-below).div_((above + below).neg_().clamp_min_(1e-3)).clamp_(0, 1)
        narrow = (1 - t).mul_(t).mul_(-4 * self.waist).add_(1)
        half = [(t * (s - i)).add_(i).mul_(narrow) for i, s in (self.half_width_mm, self.half_depth_mm)]
        x.div_(half[0])
        y.div_(half[1]).add_(centroid)
        k = self.outline.radius(x, y)
        gradient = x.div_(half[0]).square_().add_((y / half[1]).square_()).sqrt_().clamp_min_(1e-3)
        side = (k * k).sub_(k).div_(gradient)
        dish = (k * k).neg_().add_(1).clamp_min_(0).square_().sub_(mean - slope * centroid)
        dish.sub_(y, alpha=slope)
        dish = torch.where(k > 1.15, -mean, dish)
        above.add_(dish, alpha=self.concavity_mm[1])
        below.add_(dish, alpha=self.concavity_mm[0])
        out = torch.maximum(torch.maximum(above, below, out=above), side, out=side)
        for spur in self.spurs:
            low, high = spur.box()
            where = at.around(low - 5.0, high + 5.0)
            if where is not None:
                fillet_(out[where], spur.distance(at.block(where)), 1.0)
        return out

    def centroid_mm(self, step_mm: float = 1.25) -> Point:
        """Centroid of the body's volume, from its own signed distance on a fine lattice."""
        low, high = self.box()
        shape = tuple(int(n) for n in np.ceil((high - low) / step_mm).astype(int) + 1)
        affine = np.diag([step_mm, step_mm, step_mm, 1.0])
        affine[:3, 3] = low
        at = Lattice(shape, affine)  # type: ignore[arg-type]
        filled = (0.5 - self.distance(at) / step_mm).clamp_(0, 1).double().numpy()
        index = np.array([np.average(np.arange(n), weights=_sum_but(filled, k)) for k, n in enumerate(shape)])
        return np.asarray(low + step_mm * index)

    def plate_edges(self, which: str) -> tuple[Point, Point, Point, Point]:
        """Anterior, posterior, left and right edges of the "superior" or "inferior" endplate, mm."""
        top = which == "superior"
        centre, normal = (
            (self.superior_mm, self.superior_normal) if top else (self.inferior_mm, self.inferior_normal)
        )
        a, b = self.half_width_mm[top], self.half_depth_mm[top]
        centroid, *_ = _moments(self.outline)
        back, side = self.outline.back, _side(self.outline, centroid)

        def on_plane(x: float, y: float) -> Point:
            flat = x * self.axes[:, 0] + y * self.axes[:, 1]
            return np.asarray(
                centre + flat - self.axes[:, 2] * float(flat @ normal) / float(self.axes[:, 2] @ normal)
            )

        return (
            on_plane(0, (-1 - centroid) * b),
            on_plane(0, (back - centroid) * b),
            on_plane(side * a, 0),
            on_plane(-side * a, 0),
        )


def _sum_but(filled: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(filled.sum(axis=tuple(a for a in range(3) if a != axis)))


@lru_cache(maxsize=1024)
def _side(outline: Outline, y: float) -> float:
    """Half width of the outline at this y, unit coordinates."""
    x = torch.linspace(0.5, 1.2, 1401, dtype=torch.float64)
    inside = outline.radius(x, torch.full_like(x, y)) < 1
    return float(x[inside][-1])
