"""A real shape on a person's endplates: its planes are theirs, its left is theirs, its size fits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.profiles import Curve
from spine_node.phantom.skeleton import Bone, Skeleton, build
from spine_node.phantom.templates import UNEQUAL, Fitted, Template
from tests.phantom.real_shapes import block_template


@cache
def bent() -> Skeleton:
    """A person with a left lumbar curve."""
    return build(standing_spec(curves=(Curve(apex=17, half_length=3, angle_deg=-50, rotation_ratio=0.6),)))


def scoliotic(level: str) -> Bone:
    """A vertebra that is tilted, wedged and turned."""
    return next(b for b in bent().bones if b.level == level)


def distances_at(fitted: Fitted, points: np.ndarray) -> np.ndarray:
    """Body and whole distance at points in the patient frame, (n, 3) to (n, 2)."""
    out = []
    for p in points:
        affine = np.eye(4)
        affine[:3, 3] = p
        out.append([float(d) for d in fitted.distances(Lattice((1, 1, 1), affine))])
    return np.array(out)


def on_plate(fitted: Fitted, bone: Bone, which: str, reach: float) -> np.ndarray:
    """Points of an endplate's plane, out to this part of the way to its edges."""
    centre = getattr(bone.body, f"{which}_mm")
    edges = np.array(fitted.plate_edges(which)) - centre
    mixes = [(a, b) for a in (0, reach) for b in (-reach, 0, reach)]
    return np.array(
        [centre + a * edges[k] + abs(b) * edges[2 if b > 0 else 3] for k in (0, 1) for a, b in mixes]
    )


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("which", ["superior", "inferior"])
@pytest.mark.parametrize("level", ["L2", "L5", "T9"])
def test_the_drawn_surface_is_the_endplate_that_was_given(level: str, which: str, mirrored: bool):
    """Within a tenth of a millimetre, out to near the rim."""
    bone = scoliotic(level)
    fitted = Fitted.onto(bone.body, block_template(), mirrored=mirrored, quirk=7)
    points = on_plate(fitted, bone, which, 0.65)
    assert np.abs(distances_at(fitted, points)[:, 0]).max() < 0.1
    inward = getattr(bone.body, f"{which}_normal") * (-1 if which == "superior" else 1)
    assert distances_at(fitted, points + 2 * inward)[:, 0].max() < -1.2
    assert distances_at(fitted, points - 2 * inward)[:, 0].min() > 1.2


def test_edges_lie_on_the_endplate_and_on_the_rim_of_the_shape():
    bone = scoliotic("L3")
    fitted = Fitted.onto(bone.body, block_template())
    for which in ("superior", "inferior"):
        centre, normal = getattr(bone.body, f"{which}_mm"), getattr(bone.body, f"{which}_normal")
        edges = np.array(fitted.plate_edges(which))
        assert np.abs((edges - centre) @ normal).max() < 1e-9
        assert (edges[1] - edges[0]) @ bone.axes[:, 1] > 20  # from front to back
        assert (edges[2] - edges[3]) @ bone.axes[:, 0] > 25  # from right to left
        inside = distances_at(
            fitted, centre + 0.9 * (edges - centre) + (2 if which == "inferior" else -2) * normal
        )
        outside = distances_at(fitted, centre + 1.1 * (edges - centre))
        assert inside[:, 0].max() < 0 < outside[:, 0].min()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_process_on_the_left_stays_left_unless_the_shape_is_mirrored(mirrored: bool):
    bone = scoliotic("L2")
    fitted = Fitted.onto(bone.body, block_template(), mirrored=mirrored)
    side = -1 if mirrored else 1
    tip = np.array([9.0, 52.0, -20.0]) / np.abs(fitted.scale)
    other = tip * [-1, 1, 1]
    tip, other = (bone.body.middle_mm + bone.axes @ (p * [side, 1, 1]) for p in (tip, other))
    assert distances_at(fitted, np.array([tip]))[0, 1] < 0 < distances_at(fitted, np.array([other]))[0, 1]


def test_a_shape_takes_the_persons_size_and_nearly_keeps_its_proportions():
    bone = scoliotic("L3")
    small = replace(
        bone.body, half_width_mm=tuple(0.8 * w for w in bone.body.half_width_mm),
        half_depth_mm=tuple(0.8 * d for d in bone.body.half_depth_mm),
    )  # fmt: skip
    usual, tiny = (Fitted.onto(body, block_template()) for body in (bone.body, small))
    assert np.array(tiny.scale) == pytest.approx(np.array(usual.scale) / 0.8)
    assert usual.scale[0] / usual.scale[1] == pytest.approx(1, abs=2.2 * UNEQUAL)


def test_the_centre_of_the_body_is_that_of_its_voxels():
    bone = scoliotic("L1")
    fitted = Fitted.onto(bone.body, block_template(), quirk=3)
    low, high = fitted.box()
    step = 1.0
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low
    at = Lattice(tuple(int(n) for n in (high - low) / step), affine)  # type: ignore[arg-type]
    body, whole = fitted.distances(at)
    centre = low + step * np.argwhere(body.numpy() < 0).mean(axis=0)
    assert fitted.centroid_mm() == pytest.approx(centre, abs=0.25)
    edge = whole.numpy() < 0
    for axis in range(3):  # nothing of it reaches the border of its box
        assert not np.take(edge, (0, -1), axis=axis).any()


def test_no_two_persons_have_the_same_processes_and_all_have_the_same_endplates():
    bone = scoliotic("L2")
    one, two = (Fitted.onto(bone.body, block_template(), quirk=q) for q in (1, 2))
    assert one.sway != two.sway
    points = on_plate(one, bone, "superior", 0.6)
    assert distances_at(one, points)[:, 0] == pytest.approx(distances_at(two, points)[:, 0], abs=1e-4)


def test_a_sacrum_stands_on_its_one_endplate():
    skeleton = build(standing_spec(SS_deg=47))
    block = block_template()
    flat = replace(block.superior, centre_mm=np.zeros(3), normal=np.array([0.0, 0, 1]))
    edges = flat.edges_mm * [1, 1, 0]
    rim = replace(flat, edges_mm=edges)
    shifted = replace(block, level="S1", superior=rim, inferior=rim, corner_mm=block.corner_mm - [0, 0, 8])
    level_block: Template = replace(shifted, distances=_levelled(shifted))
    fitted = Fitted.onto(skeleton.s1, level_block)
    s1 = skeleton.s1
    edge = np.array(fitted.plate_edges("superior"))
    points = s1.superior_mm + 0.7 * (edge - s1.superior_mm)
    assert np.abs(distances_at(fitted, points)[:, 1]).max() < 0.1
    assert np.abs((edge - s1.superior_mm) @ s1.superior_normal).max() < 1e-9


def _levelled(template: Template) -> np.ndarray:
    """The block cut flat at the origin of a sacrum."""
    z = template.corner_mm[2] + 0.8 * np.arange(template.distances.shape[3])
    top = np.clip(np.round(z / 0.05), -127, 127).astype(np.int8)
    return np.maximum(template.distances, np.broadcast_to(top, template.distances.shape))
