"""What a person is made from: every attitude, size and offset, written down before it is built.

Attitudes of plates are absolute (slope and tilt in the patient's frame), never increments. All in mm
and degrees; signs as in the panel: kyphosis, left, anterior and counter-clockwise positive.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from tests.accuracy.frames import Array, about, plate_normal


@dataclass(frozen=True)
class VertebraInputs:
    """One vertebra: the attitude of its plates, its turn, its sizes and its shape.

    Attributes
    ----------
    sup, inf : tuple of float
        Slope and tilt of the superior and inferior plate in the patient's frame, degrees.
    axial : float
        Axial rotation (left +), degrees.
    height, disc : float
        Distance of the plates' centres along Z, and of the inferior one from the plate below, mm.
    top, bottom : tuple of float
        Half width and half depth of the plates, mm.
    slip, shift : float
        Anterior slip of the posterior edges, and left slip of the centres, on the vertebra below, mm.
    crushed : float
        Share of the mid height that a fracture has taken, 0 for none.
    """

    sup: tuple[float, float]
    inf: tuple[float, float]
    axial: float
    height: float
    disc: float
    top: tuple[float, float]
    bottom: tuple[float, float]
    slip: float
    shift: float
    canal_ap: float
    canal_w: float
    dish_sup: float = 0.0
    dish_inf: float = 0.0
    uncus: float = 0.0
    crushed: float = 0.0


@dataclass(frozen=True)
class PelvisInputs:
    """The pelvis: PI, PT, how it stands, and its sizes.

    `s1_tilt` and `s1_turn` make the sacrum asymmetric within the pelvis. `dome` is the S1 plate's.
    `heads` hold radius, kept share and neck length, left then right.
    """

    pi: float
    pt: float
    obliquity: float
    half_width: float
    thickness: float
    s1_offset: float
    s1_tilt: float
    s1_turn: float
    s1_half: tuple[float, float]
    dome: float
    ala_drop: float
    ala_lean: float
    processes: float
    canal_ap: float
    tail: float
    heads: tuple[tuple[float, float, float], tuple[float, float, float]]
    crests: tuple[tuple[float, float, float], tuple[float, float, float]]

    @property
    def turn(self) -> Array:
        """Pelvic frame to patient frame: the pitch inside the oblique pelvis that shows the asked PT."""
        tangent, oblique = np.tan(np.radians(self.pt)), np.radians(self.obliquity)
        # y / z of the S1 centre, which an offset to the side lifts when the pelvis is oblique
        lean = tangent * np.cos(oblique)
        lift = tangent * np.sin(oblique) * self.s1_offset / self.thickness
        pitch = np.arctan(lean) + np.arcsin(lift / np.hypot(1, lean))
        return about(1, -self.obliquity) @ about(0, -float(np.degrees(pitch)))

    @property
    def s1_normal(self) -> Array:
        """Cranial normal of the S1 plate in the patient's frame."""
        return self.turn @ plate_normal(self.pi, self.s1_tilt)


@dataclass(frozen=True)
class Person:
    """Everything that is put in. `levels` run from C2 down to the last lumbar vertebra."""

    seed: int
    plain: bool
    power: float
    dent: float
    waist: float
    lamina: float
    roof: float
    levels: tuple[str, ...]
    vertebrae: dict[str, VertebraInputs]
    pelvis: PelvisInputs
    yaw: float
    offset: tuple[float, float, float]
    asked: dict[str, float] = field(default_factory=dict)
    curves: tuple[tuple[str, str, float], ...] = ()

    @property
    def family(self) -> str:
        """The shapes in a word or two, for tables."""
        if self.plain:
            return "plain"
        outline = "ellipse" if self.power == 2 else "superellipse"
        return "kidney" if self.dent else outline

    def mirrored(self) -> Person:
        """The same person in a mirror."""

        def flip(v: VertebraInputs) -> VertebraInputs:
            return replace(
                v,
                sup=(v.sup[0], -v.sup[1]),
                inf=(v.inf[0], -v.inf[1]),
                axial=-v.axial,
                shift=-v.shift,
            )

        p = self.pelvis
        pelvis = replace(
            p,
            obliquity=-p.obliquity,
            s1_offset=-p.s1_offset,
            s1_tilt=-p.s1_tilt,
            s1_turn=-p.s1_turn,
            heads=p.heads[::-1],
            crests=p.crests[::-1],
        )
        return replace(
            self,
            vertebrae={level: flip(v) for level, v in self.vertebrae.items()},
            pelvis=pelvis,
            yaw=-self.yaw,
            offset=(-self.offset[0], *self.offset[1:]),
            curves=tuple((u, low, -cobb) for u, low, cobb in self.curves),
        )
