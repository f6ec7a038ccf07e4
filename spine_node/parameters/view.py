"""A spine as a parameter sees it: landmarks in the patient frame, or the reason why not.

Every landmark is a stack, shape (n, 3): in the first row as it was located, in the others as it may as
well have been (`uncertainty`). A formula written for one works for all, and its spread is its error.

Formulas ask for what they need and never test for None: what is absent raises `Missing`, which
`measure` turns into a NotMeasured with the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import pairwise
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from spine_node.anatomy.landmarks import Canal, Endplate, FemoralHead, Spine, Vertebra
from spine_node.anatomy.levels import LEVELS, order
from spine_node.geometry.directions import DegenerateGeometry, across, axes_from, unit
from spine_node.imaging.volume import FloatArray
from spine_node.parameters import uncertainty
from spine_node.parameters.model import Line

PATIENT, SACRUM, SCANNER = "PATIENT", "SACRUM", "SCANNER"

S1 = "S1"
"""Stands for the sacrum where a level is asked for."""

MAY_LACK = ("T12", "T13", "L5", "L6")
"""Levels that some people do not have: their neighbours may face each other."""

FURTHEST_GAP_MM = 30.0
"""Plates further apart than this are not the two sides of one disc."""

_A = TypeVar("_A")
_B = TypeVar("_B")
_Place = ParamSpec("_Place")


class Missing(Exception):
    """A landmark that a parameter needs is not there; the message is the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A number and where it was read; the catalogue adds its unit, sign and definition.

    Attributes
    ----------
    values : ndarray, shape (n,)
        The number, then the numbers that it may as well have been, in the parameter's unit.
    """

    values: FloatArray
    lines: tuple[Line, ...] = ()
    level: str | None = None
    upper: str | None = None
    apex: str | None = None
    lower: str | None = None
    side: str | None = None

    @property
    def value(self) -> float:
        """The number itself."""
        return float(self.values[0])

    @property
    def sigma(self) -> float:
        """Standard deviation, 0 on given landmarks."""
        return uncertainty.spread(self.values)


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """An endplate as a stack; `given` is the endplate itself."""

    given: Endplate
    centre: FloatArray
    normal: FloatArray
    anterior: FloatArray
    posterior: FloatArray
    left: FloatArray
    right: FloatArray

    @property
    def depth_mm(self) -> FloatArray:
        """Midsagittal chord, shape (n,)."""
        return np.asarray(np.linalg.norm(self.anterior - self.posterior, axis=1))

    @property
    def width_mm(self) -> FloatArray:
        """Midcoronal chord, shape (n,)."""
        return np.asarray(np.linalg.norm(self.left - self.right, axis=1))


class View:
    """Landmarks of one spine and its patient frame.

    Attributes
    ----------
    spine : Spine
    axes : ndarray, shape (n, 3, 3)
        Columns: left, posterior, superior of the patient, LPS.
    noise_mm : float
        How far the outlines that the landmarks come from err, RMS.
    rows : int
        n, the height of every stack: 1 where all landmarks are given.
    known : dict
        What `once` remembers.
    frame : str
        PATIENT; where a femoral head is missing, SACRUM (its own symmetry tells left) or SCANNER.
    """

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.noise_mm = uncertainty.outline_noise_mm(spine)
        self.rows = 1 if self.noise_mm == 0 else 1 + 2 * uncertainty.DRAWS
        self._heads = {side: self._head(head) for side, head in spine.heads.items()}
        self.known: dict[tuple[Hashable, ...], Any] = {}
        self._plates: dict[tuple[str, str], Plate] = {}
        self._axes: dict[str, FloatArray] = {}
        z = spine.vertical.direction
        for frame, left in (
            (PATIENT, self._between_heads),
            (SACRUM, lambda: spine.sacral_left),
            (SCANNER, lambda: np.array([1.0, 0.0, 0.0])),
        ):
            direction = left()
            try:
                x = None if direction is None else across(direction, z)
            except DegenerateGeometry:
                continue
            if x is not None:
                self.frame = frame
                break
        else:  # the vertical is the scanner's x axis: a patient on the side
            self.frame, x = SCANNER, across([0.0, 0.0, 1.0], z)
        up = np.broadcast_to(z, (self.rows, 3))
        yaw = np.radians(self.scatter("yaw", 1, uncertainty.YAW_DEG[self.frame]))
        x = np.cos(yaw) * x + np.sin(yaw) * np.cross(up, x)
        self.axes: FloatArray = np.stack([x, np.cross(up, x), up], axis=-1)

    def _between_heads(self) -> FloatArray | None:
        return self._heads["left"] - self._heads["right"] if len(self._heads) == 2 else None

    @property
    def up(self) -> FloatArray:
        """Against gravity, LPS, shape (n, 3)."""
        return self.axes[:, :, 2]

    @property
    def left(self) -> FloatArray:
        """The patient's left, LPS, shape (n, 3)."""
        return self.axes[:, :, 0]

    def turned(self, vectors: FloatArray) -> FloatArray:
        """LPS points or directions, shape (n, 3) or (3,), as (left, posterior, superior) of the patient."""
        return np.asarray(np.einsum("ni,nij->nj", np.broadcast_to(vectors, self.up.shape), self.axes))

    def scatter(self, name: str, columns: int, sigma: float) -> FloatArray:
        """What a landmark is moved by in each row, shape (n, columns); nothing in the first."""
        if sigma == 0 or self.rows == 1:
            return np.zeros((self.rows, columns))
        return sigma * uncertainty.draws(name, columns)

    def lps(self, vector: FloatArray) -> FloatArray:
        """A point of the located patient frame, shape (3,), back in LPS."""
        return np.asarray(self.axes[0] @ vector)

    def head(self, side: str) -> FloatArray:
        """Centre of the femoral head of "left" or "right"."""
        try:
            return self._heads[side]
        except KeyError:
            raise Missing(self.reason(f"femoral_head_{side}", f"{side} femoral head")) from None

    def heads(self) -> tuple[FloatArray, FloatArray]:
        """Centres of the right and left femoral head; when both are missing, the reason names both."""
        return both(lambda: self.head("right"), lambda: self.head("left"))

    def hip_middle(self) -> FloatArray:
        """Midpoint of the femoral head centres."""
        right, left = self.heads()
        return np.asarray((right + left) / 2)

    def crests(self) -> tuple[FloatArray, FloatArray]:
        """Highest points of the right and left iliac crest."""
        return both(lambda: self._crest("right"), lambda: self._crest("left"))

    def _crest(self, side: str) -> FloatArray:
        if side not in self.spine.crests_mm:
            raise Missing(self.reason(f"crest_{side}", f"{side} iliac crest"))
        moved = self.scatter(f"crest {side}", 3, uncertainty.CREST_MM)
        return np.asarray(self.spine.crests_mm[side] + moved)

    def dens_tip(self) -> FloatArray:
        """Most cranial point of the dens."""
        if self.spine.dens_tip_mm is None:
            raise Missing(self.reason("C2.dens", "dens of C2"))
        sigma = uncertainty.tip_sigma_mm(self.noise_mm)
        return np.asarray(self.spine.dens_tip_mm + self.scatter("dens", 3, sigma))

    def vertebra(self, level: str) -> Vertebra:
        """The vertebra of this level."""
        found = self.spine.vertebra(level)
        if found is None:
            raise Missing(self.reason(level, level))
        return found

    def body(self, level: str) -> FloatArray:
        """Centroid of this level's body, which was seen as a whole."""
        vertebra = self.vertebra(level)
        if f"{level}.body" in self.spine.missing:
            raise Missing(self.spine.missing[f"{level}.body"])
        sigma = uncertainty.centroid_sigma_mm(self.noise_mm)
        return np.asarray(vertebra.body_centre_mm + self.scatter(f"{level} body", 3, sigma))

    def s1(self) -> Plate:
        """Superior endplate of S1."""
        return self.plate(S1, "superior")

    def superior(self, level: str) -> Plate:
        """Superior endplate of this level."""
        return self.plate(level, "superior")

    def inferior(self, level: str) -> Plate:
        """Inferior endplate of this level."""
        return self.plate(level, "inferior")

    def plate(self, level: str, which: str) -> Plate:
        """The "superior" or "inferior" endplate of a level, S1 included."""
        if (level, which) not in self._plates:
            if level == S1:
                found, key, name = self.spine.s1, "s1", "S1 endplate"
            else:
                found = getattr(self.vertebra(level), which)
                key, name = f"{level}.{which}", f"{level} {which} endplate"
            if found is None:
                raise Missing(self.reason(key, name))
            self._plates[level, which] = self._stack(f"{level} {which}", found)
        return self._plates[level, which]

    def own_axes(self, level: str) -> FloatArray:
        """Left, posterior and cranial directions of this level by its own symmetry, shape (n, 3, 3)."""
        if level not in self._axes:
            vertebra = self.vertebra(level)
            if vertebra.axes is None:
                raise Missing(self.reason(f"{level}.axes", f"{level} axes"))
            self._axes[level] = self._turned_axes(level, vertebra)
        return self._axes[level]

    def local_axes(self, level: str) -> FloatArray:
        """The same, from the plates' edges where no symmetry was seen: enough for chords, not for turns."""
        if level == S1:
            plate = self.s1()
            back = plate.posterior - plate.anterior
            if self.frame != PATIENT and self.spine.sacral_left is not None:
                back = np.cross(plate.normal, self.spine.sacral_left)
            return axes_from(plate.normal, back)
        if self.vertebra(level).axes is not None:
            return self.own_axes(level)
        plates = [self.plate(level, which) for which, _ in _named(self.vertebra(level))]
        if not plates:
            raise Missing(self.reason(f"{level}.superior", f"{level} superior endplate"))
        back = np.sum([unit(p.posterior - p.anterior) for p in plates], axis=0)
        return axes_from(np.sum([p.normal for p in plates], axis=0), back)

    def canal(self, level: str, what: str) -> tuple[FloatArray, FloatArray]:
        """Walls of the canal, "ap" (anterior, posterior) or "w" (right, left); independent draws."""
        canal = self.vertebra(level).canal
        first, second = (None, None) if canal is None else _CANAL[what](canal)
        if canal is None or first is None or second is None:
            key = f"{level}.canal_{what}"
            raise Missing(
                self.reason(key if key in self.spine.missing else f"{level}.axes", f"{level} canal")
            )
        drawn = self.scatter(f"{level} canal {what}", 6, uncertainty.canal_sigma_mm(canal, self.noise_mm))
        return first + drawn[:, :3], second + drawn[:, 3:]

    def _head(self, head: FemoralHead) -> FloatArray:
        moved = self.scatter(f"head {head.side}", 3, uncertainty.head_sigma_mm(head))
        return np.asarray(head.centre_mm + moved)

    def _stack(self, name: str, plate: Endplate) -> Plate:
        """Draws of a plate: it tips about both of its own axes, moves along its normal, its edges move."""
        n = plate.normal
        back = across(plate.posterior_mm - plate.anterior_mm, n)
        aside = np.cross(back, n)
        z = self.scatter(name, 9, 1.0 if plate.residual_mm > 0 else 0.0)
        tip = np.radians(uncertainty.tilt_sigma_deg(plate, "sagittal", self.noise_mm)) * z[:, :1]
        lean = np.radians(uncertainty.tilt_sigma_deg(plate, "coronal", self.noise_mm)) * z[:, 1:2]
        sigma_of_edge = uncertainty.edge_sigma_mm
        if plate is self.spine.s1:
            sigma_of_edge = uncertainty.sacral_edge_sigma_mm
        edge = sigma_of_edge(plate, self.noise_mm)
        up = uncertainty.height_sigma_mm(plate, self.noise_mm) * z[:, 2:3] * n
        # the centre is the middle of its edges, each of which errs by itself
        shift = up + edge / np.sqrt(2) * (z[:, 3:4] * back + z[:, 4:5] * aside)
        edges = []
        for k, end in enumerate((plate.anterior_mm, plate.posterior_mm, plate.left_mm, plate.right_mm)):
            away = end - plate.centre_mm
            sunk = -(float(away @ back) * tip + float(away @ aside) * lean) * n
            edges.append(end + up + sunk + edge * z[:, 5 + k : 6 + k] * unit(away))
        return Plate(plate, plate.centre_mm + shift, unit(n + tip * back + lean * aside), *edges)

    def _turned_axes(self, level: str, vertebra: Vertebra) -> FloatArray:
        """Draws of a vertebra's axes: Z tips as its plates do, and they turn about it."""
        assert vertebra.axes is not None
        x, y, z = vertebra.axes.T
        normals = [self.plate(level, which).normal for which, _ in _named(vertebra)]
        tipped = z + np.mean([n - n[0] for n in normals], axis=0) if normals else np.tile(z, (self.rows, 1))
        turn = np.radians(
            self.scatter(f"{level} axes", 1, uncertainty.axial_sigma_deg(vertebra, self.noise_mm))
        )
        return axes_from(tipped, y - turn * x)

    @cached_property
    def segments(self) -> tuple[tuple[str, str], ...]:
        """Neighbouring levels, cranial to caudal, that have a disc between them; the sacrum is S1."""
        levels = [v.level for v in self.spine.vertebrae]
        pairs = [
            (a, b)
            for a, b in pairwise(levels)
            if all(between in MAY_LACK for between in LEVELS[order(a) + 1 : order(b)])
        ]
        if levels and self.spine.s1 is not None and levels[-1] in ("L4", "L5", "L6"):
            pairs.append((levels[-1], S1))
        return tuple(pairs)

    def facing(self, upper: str, lower: str) -> tuple[Plate, Plate]:
        """The two plates at a disc: inferior of the upper, superior of the lower level."""
        above, below = both(lambda: self.inferior(upper), lambda: self.superior(lower))
        gap = float(np.linalg.norm(above.given.centre_mm - below.given.centre_mm))
        if gap > FURTHEST_GAP_MM:
            raise Missing(f"{upper} and {lower} lie {gap:.0f} mm apart: they are no neighbours")
        return above, below

    def reason(self, key: str, name: str) -> str:
        """Why a landmark is not there."""
        return self.spine.missing.get(key, f"{name} is not in the label map")


def once(
    read: Callable[Concatenate[View, _Place], _A],
) -> Callable[Concatenate[View, _Place], _A]:
    """Have a view remember what was read of it: many numbers are made of the same heights."""

    @wraps(read)
    def remembered(view: View, /, *args: _Place.args, **kwargs: _Place.kwargs) -> _A:
        place = (read, *args, *kwargs.items())
        if place not in view.known:
            view.known[place] = read(view, *args, **kwargs)
        found: _A = view.known[place]
        return found

    return remembered


def both(first: Callable[[], _A], second: Callable[[], _B]) -> tuple[_A, _B]:
    """Two landmarks; when both are missing, the reason names both."""
    try:
        one = first()
    except Missing as reason:
        try:
            second()
        except Missing as other:
            if str(other) not in str(reason):
                raise Missing(f"{reason}; {other}") from None
        raise
    return one, second()


_CANAL: dict[str, Callable[[Canal], tuple[FloatArray | None, FloatArray | None]]] = {
    "ap": lambda canal: (canal.anterior_mm, canal.posterior_mm),
    "w": lambda canal: (canal.right_mm, canal.left_mm),
}


def _named(vertebra: Vertebra) -> list[tuple[str, Endplate]]:
    plates = (("superior", vertebra.superior), ("inferior", vertebra.inferior))
    return [(which, plate) for which, plate in plates if plate is not None]
