"""A person as placed shapes: where every bone lies, in closed form, and what a mirror or a move does.

Built in the patient's frame (z up, x along the horizontal part of the hip axis, origin in the middle
between the femoral heads), then turned by the yaw and shifted into the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tests.accuracy import pelvis as bones
from tests.accuracy.arches import ArchInputs, arch, atlas_ring, axis_arch
from tests.accuracy.bodies import Body, Plate
from tests.accuracy.dimensions import SIZES
from tests.accuracy.frames import UP, Array, about, across, plate_normal, standing_on, unit
from tests.accuracy.inputs import PelvisInputs, Person, VertebraInputs
from tests.accuracy.outlines import Outline
from tests.accuracy.people import random_person
from tests.accuracy.solids import Bone

SMALLEST_GAP_MM = 1.0
"""Facing plates closer than this anywhere count as intersecting, and the person is drawn anew."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A shape with its frame: world = turn @ local + origin."""

    shape: Body | Bone | bones.Sacrum | bones.Head | bones.HipBone
    turn: Array
    origin: Array

    def out(self, point: Array) -> Array:
        """Local mm to world mm, shape (..., 3)."""
        return point @ self.turn.T + self.origin

    def into(self, point: Array) -> Array:
        """World mm to local mm, shape (..., 3)."""
        return (point - self.origin) @ self.turn

    def moved(self, turn: Array, shift: Array) -> Placed:
        return replace(self, turn=turn @ self.turn, origin=turn @ self.origin + shift)


@dataclass(frozen=True, eq=False)
class Skeleton:
    """All bones of one person, in the world of the scanner.

    Attributes
    ----------
    bodies, arches : dict
        By level, C2 downwards; a body's frame is V of its vertebra, and the arch shares it.
    atlas : tuple
        C1: its front, its posterior arch.
    heads, hips : dict
        By side, "left" and "right"; in the pelvic frame.
    up : ndarray, shape (3,)
        Against gravity.
    """

    person: Person
    bodies: dict[str, Placed]
    arches: dict[str, Placed]
    atlas: tuple[Placed, Placed]
    sacrum: Placed
    heads: dict[str, Placed]
    hips: dict[str, Placed]
    up: Array

    def moved(self, turn: Array, shift: Array) -> Skeleton:
        """The same person after a rigid motion, gravity turned along."""

        def all_moved(parts: dict[str, Placed]) -> dict[str, Placed]:
            return {name: part.moved(turn, shift) for name, part in parts.items()}

        return replace(
            self,
            bodies=all_moved(self.bodies),
            arches=all_moved(self.arches),
            atlas=(self.atlas[0].moved(turn, shift), self.atlas[1].moved(turn, shift)),
            sacrum=self.sacrum.moved(turn, shift),
            heads=all_moved(self.heads),
            hips=all_moved(self.hips),
            up=turn @ self.up,
        )

    @property
    def levels(self) -> tuple[str, ...]:
        return self.person.levels

    def gaps_mm(self) -> dict[str, float]:
        """Smallest distance along Z from each body's inferior plate to the plate below, by upper level."""
        below: list[tuple[str, Placed, Plate]] = [
            (n, self.bodies[n], self.bodies[n].shape.superior)
            for n in self.levels  # type: ignore[union-attr]
        ]
        below.append(("S1", self.sacrum, self.sacrum.shape.plate))  # type: ignore[union-attr]
        found = {}
        for (level, upper, _), (_, lower, plate) in pairwise(below):
            points = lower.into(upper.out(upper.shape.inferior.samples()))  # type: ignore[union-attr]
            near = plate.outline.contains(points[:, 0] / plate.a / 1.05, points[:, 1] / plate.b / 1.05)
            heights = points[:, 2] - plate.surface(points[:, 0], points[:, 1])
            found[level] = float(heights[near].min()) if near.any() else np.inf
        return found


def _pelvis(p: PelvisInputs, sacrum: bones.Sacrum) -> tuple[Placed, dict[str, Placed], dict[str, Placed]]:
    """Sacrum, heads and hip bones about the middle of the hip axis.

    In the pelvic frame the S1 centre lies straight above the hip axis (PT 0), so the plate's slope
    there is PI.
    """
    turn, nought = p.turn, np.zeros(3)
    normal = plate_normal(p.pi, p.s1_tilt)
    frame = standing_on(normal, p.s1_turn)
    centre = np.array([p.s1_offset, 0.0, p.thickness])
    heads, hips = {}, {}
    for side, sign, head, crest in zip(("left", "right"), (1, -1), p.heads, p.crests, strict=True):
        radius, kept, neck = head
        lateral = unit([sign * 0.75, 0.15, -0.65])
        ball = bones.Head(np.array([sign * p.half_width, 0, 0]), radius, lateral, kept, neck)
        height, half, sag = crest
        wing = bones.HipBone(
            np.array([sign * 96.0, 8.0, height]),
            about(2, sign * -25) @ about(1, sign * 14) @ about(0, sag),
            np.array([13.0, 62.0, half]),
            ball,
            sign,
        )
        heads[side], hips[side] = Placed(ball, turn, nought), Placed(wing, turn, nought)
    return Placed(sacrum, turn @ frame, turn @ centre), heads, hips


def _sacrum(person: Person, outline: Outline) -> bones.Sacrum:
    p = person.pelvis
    a, b = p.s1_half
    if person.plain:
        return bones.plain_sacrum(a, b)
    return bones.shaped_sacrum(outline, a, b, p.dome, p.ala_drop, p.ala_lean, p.processes, p.canal_ap, p.tail)


def _body(level: str, v: VertebraInputs, outline: Outline, waist: float) -> tuple[Body, Array]:
    """A body in its own frame, and that frame in the patient's."""
    n_sup, n_inf = plate_normal(*v.sup), plate_normal(*v.inf)
    frame = standing_on(unit(n_sup + n_inf), v.axial)
    half = v.height / 2
    superior = Plate(outline, half, frame.T @ n_sup, *v.top, -v.dish_sup, v.uncus)
    inferior = Plate(outline, -half, frame.T @ n_inf, *v.bottom, v.dish_inf)
    knob = None
    if level == "C2":
        a, b = v.top
        knob = (0.55 * a, 1.15 * v.height, -0.15 * b, 0.42 * a)
    return Body(superior, inferior, waist, knob), frame


def _edge(placed: Placed, plate: Plate, direction: Array) -> Array:
    return placed.out(plate.edge(placed.turn.T @ direction))


def _set_upon(
    upper: Body, frame: Array, v: VertebraInputs, lower: Placed, plate: Plate, axes: Array
) -> Placed:
    """Place a body on the plate below, whose left and back are in `axes`, with disc, slip and shift."""
    n_low, n_up = lower.turn @ plate.normal, frame @ upper.inferior.normal
    seat = lower.out(plate.centre) + unit(n_low + n_up) * v.disc
    placed = Placed(upper, frame, seat - frame @ upper.inferior.centre)
    front, left = -across(axes[:, 1], n_low), across(axes[:, 0], n_low)
    slip = front @ (_edge(placed, upper.inferior, frame[:, 1]) - _edge(lower, plate, axes[:, 1]))
    shift = left @ (placed.out(upper.inferior.centre) - lower.out(plate.centre))
    # front and left lie in the plate but need not be at right angles: solve for both at once
    cross = front @ left
    steps = np.linalg.solve([[1.0, cross], [cross, 1.0]], [v.slip - slip, v.shift - shift])
    return replace(placed, origin=placed.origin + steps[0] * front + steps[1] * left)


def _arch_inputs(person: Person, level: str, v: VertebraInputs, disc_above: float) -> ArchInputs:
    usual = SIZES[level]
    size = v.top[0] * 2 / usual.width
    drop = 14.0 if level[0] == "T" else 5.0
    spinous = {"C": 18.0, "T": 26.0, "L": 24.0}[level[0]] * size
    high = v.height / 2
    return ArchInputs(
        canal_ap=v.canal_ap,
        canal_w=v.canal_w,
        pedicle_half_width=usual.pedicle_w * size,
        pedicle_half_height=min(usual.pedicle_h * size, 0.6 * high),
        pedicle_z=0.25 * high,
        lamina=person.lamina * (0.8 if level[0] == "C" else 1.0),
        roof=person.roof,
        transverse_span=max(usual.span * size, v.canal_w / 2 + 2 * usual.pedicle_w * size + 4),
        transverse_back={"C": 0.0, "T": 12.0, "L": 3.0}[level[0]],
        spinous=spinous,
        spinous_drop=drop,
        above=0.7 * disc_above,
        below=0.7 * v.disc + 2,
    )


def build(person: Person) -> Skeleton:
    """Place every bone. Nothing is checked here; see `standing`."""
    outline = Outline(person.power, person.dent)
    sacrum, heads, hips = _pelvis(person.pelvis, _sacrum(person, outline))
    bodies: dict[str, Placed] = {}
    arches: dict[str, Placed] = {}
    lower, plate = sacrum, sacrum.shape.plate  # type: ignore[union-attr]
    axes = _s1_axes(sacrum.turn[:, 2])
    above = dict(zip(person.levels[1:], person.levels, strict=False))
    for level in person.levels[::-1]:
        v = person.vertebrae[level]
        body, frame = _body(level, v, outline, person.waist)
        placed = _set_upon(body, frame, v, lower, plate, axes)
        bodies[level] = placed
        if level == "C2":
            bow = axis_arch(body, v.canal_ap, v.canal_w)
        else:
            disc_above = person.vertebrae[above[level]].disc
            bow = arch(body, _arch_inputs(person, level, v, disc_above), person.plain)
        arches[level] = Placed(bow, frame, placed.origin)
        lower, plate, axes = placed, body.superior, frame
    axis = bodies["C2"]
    knob = axis.shape.knob  # type: ignore[union-attr]
    front, rear = atlas_ring(knob[2], person.vertebrae["C2"].canal_ap, person.vertebrae["C2"].canal_w)
    seat = axis.out(np.array([0.0, 0.0, axis.shape.superior.height + 0.75 * knob[1]]))  # type: ignore[union-attr]
    atlas = (Placed(front, axis.turn, seat), Placed(rear, axis.turn, seat))
    upright = Skeleton(
        person, dict(reversed(bodies.items())), dict(reversed(arches.items())), atlas, sacrum, heads, hips, UP
    )
    return upright.moved(about(2, person.yaw), np.array(person.offset))


def _s1_axes(normal: Array) -> Array:
    # S1's posterior is the patient's (y here), not that of the sacrum's own mirror plane
    back = across(np.array([0.0, 1.0, 0.0]), normal)
    return np.column_stack([np.cross(back, normal), back, normal])


def standing(seed: int, plain: bool | None = None) -> Skeleton:
    """The first person of this seed whose bodies keep clear of each other."""
    for attempt in range(200):
        skeleton = build(random_person(seed + 100_000 * attempt, plain))
        if min(skeleton.gaps_mm().values()) >= SMALLEST_GAP_MM:
            return skeleton
    raise RuntimeError(f"no person without intersecting bodies after 200 draws from seed {seed}")
