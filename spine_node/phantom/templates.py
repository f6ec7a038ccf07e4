"""Real vertebrae and sacra as shapes of the phantom: kept as distances, bent onto a person's endplates.

A template is drawn so that its own endplate planes lie exactly on those of the skeleton: what the
phantom calls true holds for a real shape as it does for an analytic one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spine_node.phantom.body import Body
from spine_node.phantom.lattice import Lattice

Point = NDArray[np.float64]

STEP_MM = 0.8
"""Voxels of a template."""

QUANTUM_MM = 0.05
"""One step of a stored distance; the farthest kept is 127 of them."""

REACH_MM = 127 * QUANTUM_MM

UNEQUAL = 0.06
"""How much more a template is scaled in width than in depth, or less, to fit a person."""

SIZES = (0.6, 1.6)
"""A template is not scaled further than this."""

FEW_VOXELS = 600_000
"""Below this a template is cut to what is met of it before it becomes floats."""

SOFT_MM = 10.0
"""Beyond the rim of the body the tilt of an endplate fades out over this length."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a shape comes from; whoever trains on it has to name it.

    Attributes
    ----------
    name : str
    licence, citation : str
        As a model card prints them.
    role : str
        "train" or "test": shapes of one person are never in both.
    """

    name: str
    licence: str
    citation: str
    role: str = "train"


@dataclass(frozen=True, slots=True, eq=False)
class Rim:
    """An endplate in a template's own frame.

    Attributes
    ----------
    centre_mm, normal : ndarray, shape (3,)
        The normal is cranial.
    edges_mm : ndarray, shape (4, 3)
        Anterior, posterior, left, right.
    """

    centre_mm: Point
    normal: Point
    edges_mm: NDArray[np.float64]

    @property
    def width_mm(self) -> float:
        """Left to right."""
        return float(np.linalg.norm(self.edges_mm[2] - self.edges_mm[3]))

    @property
    def depth_mm(self) -> float:
        """Front to back."""
        return float(np.linalg.norm(self.edges_mm[0] - self.edges_mm[1]))

    def height_mm(
        self, x: float | NDArray[np.float64], y: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The plane's height over (x, y)."""
        n, c = self.normal, self.centre_mm
        return np.asarray(c[2] - (n[0] * (x - c[0]) + n[1] * (y - c[1])) / n[2])


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One bone as it is, in its own frame: left, posterior, cranial in mm.

    The origin of a vertebra is half-way between its endplates' centres, which lie on the third axis;
    that of a sacrum is the centre of its S1 endplate, across the third axis.

    Attributes
    ----------
    level : str
        A vertebra's level, or "S1" for a sacrum.
    distances : ndarray of int8, shape (2, nx, ny, nz)
        Signed distance in steps of `QUANTUM_MM`, negative inside: of the body, of the whole bone.
    corner_mm : ndarray, shape (3,)
        First voxel's centre; voxels are `STEP_MM` apart.
    superior, inferior : Rim
        Of a sacrum both are its S1 endplate.
    canal_mm : ndarray, shape (3,)
        Middle of the canal behind the body.
    source : Source
    """

    level: str
    distances: NDArray[np.int8]
    corner_mm: Point
    superior: Rim
    inferior: Rim
    canal_mm: Point
    source: Source

    @property
    def height_mm(self) -> float:
        """Between the endplates' centres; 0 for a sacrum."""
        return float(self.superior.centre_mm[2] - self.inferior.centre_mm[2])

    def box_mm(self) -> tuple[Point, Point]:
        """Two corners of a box that holds the bone, own frame."""
        inside = np.argwhere(self.distances[1] < 0)
        return (
            self.corner_mm + STEP_MM * (inside.min(axis=0) - 0.5),
            self.corner_mm + STEP_MM * (inside.max(axis=0) + 0.5),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A template brought onto the endplates of one body.

    Attributes
    ----------
    template : Template
    body : Body
        Whose endplates and axes it takes; its outline gives the size.
    scale : tuple of float
        Template mm per mm of the person: to the left (negative when mirrored), posterior, and along
        the spine beyond the endplates.
    sway : tuple of float
        How far the tip of a process 30 mm behind the body is moved to the left and upwards, mm.
    """

    template: Template
    body: Body
    scale: tuple[float, float, float]
    sway: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def onto(cls, body: Body, template: Template, *, mirrored: bool = False, quirk: int = 0) -> Fitted:
        """Fit by size; `quirk` seeds how its processes differ from the template's, 0 leaves them."""
        rims = (template.inferior, template.superior)
        edges = [np.stack(body.plate_edges(which)) for which in ("inferior", "superior")]
        if template.level in ("S1", "C2"):  # the one plate that was found
            rims, edges = (
                (template.superior,) * 2 if template.level == "S1" else (template.inferior,) * 2,
                ([edges[1]] if template.level == "S1" else [edges[0]]),
            )
        wide = np.mean([r.width_mm for r in rims]) / np.mean([np.linalg.norm(e[2] - e[3]) for e in edges])
        deep = np.mean([r.depth_mm for r in rims]) / np.mean([np.linalg.norm(e[0] - e[1]) for e in edges])
        both = float(np.clip(np.sqrt(wide * deep), *SIZES))
        stretch = float(np.clip(np.sqrt(wide / deep), 1 - UNEQUAL, 1 + UNEQUAL))
        sway = np.random.default_rng(quirk).normal(0, (0.8, 1.2)) if quirk else np.zeros(2)
        return cls(
            template,
            body,
            ((-1 if mirrored else 1) * both * stretch, both / stretch, both),
            (float(sway[0]), float(sway[1])),
        )

    @property
    def _plates(self) -> tuple[Rim, Rim]:
        """The body's endplates about its own middle, in its own axes: inferior, superior."""
        b, turn, o = self.body, self.body.axes.T, self.origin_mm
        return (
            Rim(turn @ (b.inferior_mm - o), turn @ b.inferior_normal, np.zeros((4, 3))),
            Rim(turn @ (b.superior_mm - o), turn @ b.superior_normal, np.zeros((4, 3))),
        )

    @property
    def origin_mm(self) -> Point:
        """Where the template's origin is in the patient frame."""
        return self.body.superior_mm if self.template.level == "S1" else self.body.middle_mm

    @property
    def _rim(self) -> tuple[float, float, float]:
        """Half width and both depths of the body, inside which endplates are planes."""
        edges = [self.edges_of(which) for which in ("inferior", "superior")]
        x = max(float(np.abs(e[2:, 0]).max()) for e in edges)
        return x, min(float(e[0, 1]) for e in edges), max(float(e[1, 1]) for e in edges)

    def edges_of(self, which: str) -> NDArray[np.float64]:
        """Anterior, posterior, left, right edge of an endplate about the body's middle, own axes, (4, 3)."""
        rim = self.template.superior if which == "superior" else self.template.inferior
        edges = rim.edges_mm.copy()
        edges[:, 0] /= self.scale[0]
        edges[:, 1] /= self.scale[1]
        if self.scale[0] < 0:
            edges = edges[[0, 1, 3, 2]]
        plate = self._plates[1 if which == "superior" or self.template.level == "S1" else 0]
        edges[:, 2] = plate.height_mm(edges[:, 0], edges[:, 1])
        return edges

    def plate_edges(self, which: str) -> tuple[Point, Point, Point, Point]:
        """Anterior, posterior, left and right edges of the "superior" or "inferior" endplate, mm."""
        anterior, posterior, left, right = self.origin_mm + self.edges_of(which) @ self.body.axes.T
        return anterior, posterior, left, right

    @property
    def canal_mm(self) -> Point:
        """Middle of the canal behind the body, patient frame."""
        local = self.template.canal_mm / [self.scale[0], self.scale[1], self.scale[2]]
        return np.asarray(self.origin_mm + self.body.axes @ local)

    def box(self, *, whole: bool = True) -> tuple[Point, Point]:
        """Two corners of a box in the patient frame that holds the bone (or about its body)."""
        low, high = self.template.box_mm()
        x, front, back = self._rim
        sides = np.sort([low[0] / self.scale[0], high[0] / self.scale[0]])
        depth = np.array([low[1], high[1]]) / self.scale[1]
        if not whole:
            sides, depth = np.array([-x - 6, x + 6]), np.array([front - 6, back + 6])
        inferior, superior = self._plates
        reach = np.meshgrid((-x - SOFT_MM, x + SOFT_MM), (front - SOFT_MM, back + SOFT_MM))
        tops, floors = superior.height_mm(*reach), inferior.height_mm(*reach)
        over = [reach[0] * self.scale[0], reach[1] * self.scale[1]]
        up = high[2] - self.template.superior.height_mm(*over).min()
        down = self.template.inferior.height_mm(*over).max() - low[2]
        sway = 2 + max(map(abs, self.sway)) * 4
        heights = (
            min(floors.min(), tops.min()) - max(down, 0) / self.scale[2] - sway,
            max(floors.max(), tops.max()) + max(up, 0) / self.scale[2] + sway,
        )
        sides = np.add(sides, (-sway, sway))
        corners = np.stack(np.meshgrid(sides, depth, heights), axis=-1).reshape(-1, 3)
        placed = self.origin_mm + corners @ self.body.axes.T
        return placed.min(axis=0), placed.max(axis=0)

    def distances(self, at: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance to the body and to the whole bone at each voxel, mm, negative inside.

        Both are followed to about `REACH_MM` only.
        """
        index = self._template_index(at)
        size = torch.tensor(self.template.distances.shape[:0:-1], device=index.device)
        first, last = torch.zeros_like(size), size
        if index.numel() < FEW_VOXELS:  # a thin slab meets little of the template
            flat = index.view(-1, 3)
            first = flat.amin(dim=0).floor().long().clamp(first, size - 2)
            last = (flat.amax(dim=0).ceil().long() + 1).clamp(first + 2, size)
        z, y, x = (slice(*pair) for pair in zip(first.tolist(), last.tolist(), strict=True))
        kept = torch.from_numpy(self.template.distances[:, x, y, z]).to(index.device)
        found = torch.nn.functional.grid_sample(
            kept[None].float(),
            ((index - first) * (2 / (last - first - 1)) - 1)[None],
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )[0]
        mean = float(np.prod(np.abs(self.scale))) ** (1 / 3)
        found *= QUANTUM_MM / mean
        return found[0], found[1]

    def _template_index(self, at: Lattice) -> torch.Tensor:
        """Place of each voxel in the template's array, last axis first; shape (*at.shape, 3)."""
        x, y, z = at.coordinates(self.body.axes.T, self.origin_mm)
        inferior, superior = self._plates
        half, front, back = self._rim
        xs, ys = _soften(x, -half, half), _soften(y, front, back)
        sx, sy, sz = self.scale
        below, above = _height(inferior, xs, ys), _height(superior, xs, ys)
        t = self.template
        below_t, above_t = _height(t.inferior, xs * sx, ys * sy), _height(t.superior, xs * sx, ys * sy)
        if t.level == "S1":
            z_t = above_t + sz * (z - above)
        else:
            share = ((z - below) / (above - below).clamp_min(2.0)).clamp(0, 1)
            z_t = below_t + share * (above_t - below_t)
            z_t += sz * ((z - above).clamp_min(0) - (below - z).clamp_min(0))
        if any(self.sway):
            behind = ((y - back).clamp_min(0) / 30) ** 2
            x = x - self.sway[0] * behind
            z_t = z_t - sz * self.sway[1] * behind
        corner = self.template.corner_mm
        return torch.stack(
            [
                (c * s - float(o)) / STEP_MM
                for c, s, o in ((z_t, 1.0, corner[2]), (y, sy, corner[1]), (x, sx, corner[0]))
            ],
            dim=-1,
        )

    def centroid_mm(self, step_mm: float = 1.25) -> Point:
        """Centroid of the body's volume, patient frame."""
        low, high = self.box(whole=False)
        shape = tuple(int(n) for n in np.ceil((high - low) / step_mm).astype(int) + 1)
        affine = np.diag([step_mm, step_mm, step_mm, 1.0])
        affine[:3, 3] = low
        front, _ = self.distances(Lattice(shape, affine))  # type: ignore[arg-type]
        filled = (0.5 - front / step_mm).clamp(0, 1).double().cpu().numpy()
        sums = [filled.sum(axis=tuple(a for a in range(3) if a != k)) for k in range(3)]
        index = np.array([np.average(np.arange(len(s)), weights=s) for s in sums])
        return np.asarray(low + step_mm * index)


def _height(plate: Rim, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    n, c = plate.normal, plate.centre_mm
    return (
        x * float(-n[0] / n[2]) + y * float(-n[1] / n[2]) + float(c[2] + (n[0] * c[0] + n[1] * c[1]) / n[2])
    )


def _soften(u: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """`u` itself between low and high, settling `SOFT_MM` beyond them."""
    inside = u.clamp(low, high)
    beyond = u - inside
    return inside + SOFT_MM * torch.tanh(beyond / SOFT_MM)
