"""From a person's parameters to where every vertebra, the sacrum and the hips are.

Everything is in the patient frame: origin midway between the femoral heads, x to the left along the
horizontal part of the hip axis, y posterior, z against gravity, millimetres.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.phantom import dimensions as dims
from spine_node.phantom.body import Body, Outline
from spine_node.phantom.person import Segment, SpineSpec
from spine_node.phantom.shapes import unit
from spine_node.phantom.templates import Fitted

Point = NDArray[np.float64]
Axes = NDArray[np.float64]

STANDING = "phantom: drawn standing, z axis of the image against gravity"


@dataclass(frozen=True, eq=False)
class Bone:
    """A vertebra in place: its numbers, its body, and where its canal is."""

    segment: Segment
    body: Body
    template: Fitted | None = None
    """A real shape in place of the analytic one."""

    @cached_property
    def body_centre_mm(self) -> Point:
        """Centroid of the body's volume: an integral, so it is taken only where it is asked for."""
        return self.body.centroid_mm() if self.template is None else self.template.centroid_mm()

    @cached_property
    def canal_mm(self) -> Point:
        """Middle of the canal at mid height of the body."""
        if self.template is not None:
            return self.template.canal_mm
        return np.asarray(
            self.body.middle_mm + self.axes[:, 1] * (self.body.back_mm + self.segment.size.canal_depth_mm / 2)
        )

    @property
    def level(self) -> str:
        return self.segment.level

    @property
    def axes(self) -> Axes:
        """Columns: left, posterior, cranial."""
        return self.body.axes

    def wearing(self, template: Fitted) -> Bone:
        """The same vertebra with this real shape, its centre and canal."""
        return replace(self, template=template)


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """The person's bones as exact numbers, patient frame.

    Attributes
    ----------
    bones : tuple of Bone
        Cranial to caudal.
    s1 : Body
        First sacral body; its superior endplate is the S1 endplate.
    heads : dict of side to (centre, radius)
    hip_axis : ndarray, shape (3,)
        Unit vector from the right to the left femoral head.
    sacrum : Fitted, optional
        A real shape in place of the analytic one.
    """

    spec: SpineSpec
    bones: tuple[Bone, ...]
    s1: Body
    heads: dict[str, tuple[Point, float]]
    hip_axis: Point
    sacrum: Fitted | None = None


def plate_normal(slope_deg: float, tilt_deg: float) -> Point:
    """Cranial unit normal with this sagittal slope (forward +) and coronal tilt (left +)."""
    return unit([np.tan(np.radians(tilt_deg)), -np.tan(np.radians(slope_deg)), 1.0])


def turned_axes(cranial: Point, rotation_deg: float) -> Axes:
    """Vertebral axes whose anterior, in their own transverse plane, is turned to the left by this much."""
    posterior = unit(np.array([0.0, 1.0, 0.0]) - cranial[1] * cranial)
    left = np.cross(posterior, cranial)
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    return np.stack([c * left + s * posterior, c * posterior - s * left, cranial], axis=1)


def build(spec: SpineSpec) -> Skeleton:
    """Stand the person up, from the hips to the head."""
    tilt = np.radians(spec.obliquity_deg)
    hip_axis = np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    heads = {
        side: (sign * spec.hip_half_width_mm * hip_axis, radius)
        for side, sign, radius in zip(("left", "right"), (1, -1), spec.head_radius_mm, strict=True)
    }
    s1_normal = plate_normal(spec.SS_deg, spec.s1_tilt_deg)
    across = unit(s1_normal - (s1_normal @ hip_axis) * hip_axis)
    PI = np.radians(spec.PI_deg)
    # from the hip axis to S1: the plate's normal turned back by PI within the plane across the hip axis
    to_s1 = across * np.cos(PI) - np.cross(hip_axis, across) * np.sin(PI)
    s1_centre = spec.pelvic_thickness_mm * to_s1
    s1 = _s1_body(spec, s1_centre, s1_normal, hip_axis)

    bones: list[Bone] = []
    below, normal = s1_centre, s1_normal
    up = spec.segments[::-1]
    for k, segment in enumerate(up):
        above = up[k + 1] if k + 1 < len(up) else segment
        inferior_n = plate_normal(segment.slope_inferior_deg, segment.tilt_inferior_deg)
        superior_n = plate_normal(segment.slope_superior_deg, segment.tilt_superior_deg)
        axes = turned_axes(unit(inferior_n + superior_n), segment.rotation_deg)
        inferior = below + segment.size.disc_mm * unit(normal + inferior_n)
        superior = inferior + segment.size.height_mm * axes[:, 2]
        beneath = up[k - 1].size if k else None
        bone = _bone(segment, beneath, above, axes, (inferior, inferior_n), (superior, superior_n))
        bones.append(bone)
        below, normal = superior, superior_n
    return Skeleton(spec, tuple(reversed(bones)), s1, heads, hip_axis)


def _s1_body(spec: SpineSpec, centre: Point, normal: Point, hip_axis: Point) -> Body:
    left = unit(hip_axis - (hip_axis @ normal) * normal)
    axes = np.stack([left, np.cross(normal, left), normal], axis=1)
    height = 29.0 * spec.scale
    # the fused first body narrows downwards and its lower face is hidden in the bone
    lower_normal = unit(normal * np.cos(np.radians(12)) + axes[:, 1] * np.sin(np.radians(12)))
    a, b = dims.S1_WIDTH_MM / 2 * spec.scale, dims.S1_DEPTH_MM / 2 * spec.scale
    return Body(
        superior_mm=centre,
        inferior_mm=centre - height * normal,
        superior_normal=normal,
        inferior_normal=lower_normal,
        axes=axes,
        half_width_mm=(0.72 * a, a),
        half_depth_mm=(0.68 * b, b),
        waist=0.03,
        concavity_mm=(0.0, 0.6),
        outline=Outline(notch=0.10),
    )


def _bone(
    segment: Segment,
    beneath: dims.LevelSize | None,
    above: Segment,
    axes: Axes,
    inferior: tuple[Point, Point],
    superior: tuple[Point, Point],
) -> Bone:
    size = segment.size
    width_below = 0.5 * (size.width_mm + beneath.width_mm) if beneath else 1.02 * size.width_mm
    depth_below = 0.5 * (size.depth_mm + beneath.depth_mm) if beneath else 1.01 * size.depth_mm
    region = segment.level[0]
    body = Body(
        superior_mm=superior[0],
        inferior_mm=inferior[0],
        superior_normal=superior[1],
        inferior_normal=inferior[1],
        axes=axes,
        half_width_mm=(width_below / 2, size.width_mm / 2),
        half_depth_mm=(depth_below / 2, size.depth_mm / 2),
        waist=segment.waist * (0.6 if region == "C" else 1.0),
        concavity_mm=(segment.concavity_inferior_mm, segment.concavity_superior_mm),
        outline=segment.outline,
    )
    spurs = tuple(
        body.spur(superior=o.superior, azimuth_deg=o.azimuth_deg, length_mm=o.length_mm)
        for o in segment.osteophytes
    )
    return Bone(segment, replace(body, spurs=spurs))


def standing_place(spec: SpineSpec) -> NDArray[np.float64]:
    """Patient frame to LPS: leant as a whole, turned about the vertical, shifted in the scanner; (4, 4)."""
    forward, left = spec.lean_deg
    place = np.eye(4)
    # An extrinsic turn keeps the order: first the lean to the left, then forward, then the yaw.
    place[:3, :3] = Rotation.from_euler("yxz", [left, forward, spec.yaw_deg], degrees=True).as_matrix()
    place[:2, 3] = spec.shift_mm
    return place


def landmarks(
    skeleton: Skeleton, to_patient: NDArray[np.float64], *, only: Collection[str] | None = None
) -> Spine:
    """Every landmark exactly, moved to LPS by the rigid (4, 4) `to_patient`; C1 has none.

    `only` limits the vertebrae, for cohorts of which a few angles are asked.
    """
    turn, shift = to_patient[:3, :3], to_patient[:3, 3]

    def move(point: Point) -> Point:
        return np.asarray(turn @ point + shift)

    def plate(body: Body, which: str, drawn: Fitted | None) -> Endplate:
        centre, normal = (
            (body.superior_mm, body.superior_normal)
            if which == "superior"
            else (body.inferior_mm, body.inferior_normal)
        )
        anterior, posterior, left, right = (move(p) for p in (drawn or body).plate_edges(which))
        return Endplate(move(centre), turn @ normal, 0.0, anterior, posterior, left, right)

    vertebrae = tuple(
        Vertebra(
            bone.level,
            move(bone.body_centre_mm),
            plate(bone.body, "superior", bone.template) if bone.level != "C2" else None,
            plate(bone.body, "inferior", bone.template),
            turn @ bone.axes,
        )
        for bone in skeleton.bones
        if bone.level != "C1" and (only is None or bone.level in only)
    )
    heads = {
        side: FemoralHead(side, move(centre), radius, 0.0)
        for side, (centre, radius) in skeleton.heads.items()
    }
    return Spine(
        vertebrae,
        plate(skeleton.s1, "superior", skeleton.sacrum),
        heads,
        Vertical(provenance=STANDING, standing=True),
    )
