"""The axis is parted where its dens was put on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.dens import Dens, find_dens
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import Grid, LabelMap
from tests.anatomy.vertebra_shapes import Array, Shape

POSE = Rotation.from_euler("ZYX", [25, -12, 18], degrees=True)


def axis_bone(lean_deg: float = 6.0, length: float = 15.0, radius: float = 5.0) -> tuple[Shape, Array]:
    """C2 with its body's centroid at 0, and the place of the dens' tip; the dens leans back."""
    lean = np.radians(lean_deg)
    along = np.array([0.0, np.sin(lean), np.cos(lean)])
    foot = np.array([0.0, 0.0, 8.5])
    top = foot + (length - radius) * along

    def parts(x: Array, y: Array, z: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        body = ((x / 10) ** 2 + (y / 8.5) ** 2 < 1) & (np.abs(z) < 8.5)
        p = np.stack([x, y, z], axis=-1) - foot
        t = np.clip(p @ along, 0, length - radius)
        dens = (np.linalg.norm(p - t[..., None] * along, axis=-1) < radius) & (z > 7.5 - y)
        return body | (dens & (z > 8)), np.zeros(x.shape, bool)

    return Shape("C2", parts, 32.0), top + np.array([0, 0, radius])


def dens_of(shape: Shape, spacing_mm: float, axes: Array | None = None) -> tuple[Dens, dict[str, str]]:
    body, _ = shape.pieces(POSE, spacing_mm)
    return find_dens(body, field_of(body), POSE.as_matrix() if axes is None else axes)


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0])
@pytest.mark.parametrize(("lean", "length", "radius"), [(0, 15, 5.2), (8, 15, 5), (12, 13, 4.2)])
def test_body_and_tip_are_where_they_are(
    lean: float, length: float, radius: float, spacing_mm: float
) -> None:
    shape, tip = axis_bone(lean, length, radius)
    dens, reasons = dens_of(shape, spacing_mm)
    assert not reasons
    assert np.linalg.norm(dens.body_centre_mm) < 0.3
    assert dens.tip_mm is not None
    assert POSE.inv().apply(np.array(dens.tip_mm)) == pytest.approx(tip, abs=0.7)
    assert POSE.inv().apply(np.array(dens.tip_mm))[2] == pytest.approx(tip[2], abs=0.3)


def test_a_rough_guess_of_the_axes_is_enough_for_the_body() -> None:
    shape, _ = axis_bone()
    rough = (POSE * Rotation.from_euler("xy", [14, -10], degrees=True)).as_matrix()
    dens, _ = dens_of(shape, 1.0, rough)
    assert np.linalg.norm(dens.body_centre_mm) < 1.0


def test_a_body_without_a_dens_has_no_tip() -> None:
    shape, _ = axis_bone(length=1.0, radius=0.5)
    dens, reasons = dens_of(shape, 1.0)
    assert dens.tip_mm is None
    assert np.linalg.norm(dens.body_centre_mm) < 0.3
    assert reasons == {"C2.dens": "no dens stands on the body of C2 in the label map"}


def test_a_dens_cut_by_the_fields_edge_has_no_tip_but_a_body() -> None:
    shape, tip = axis_bone()
    whole = shape.label_map(Rotation.identity(), 1.0)
    last = int(whole.grid.to_index(tip - [0, 0, 4.0])[2])
    labels = np.ascontiguousarray(whole.labels[:, :, :last])
    cut = LabelMap(Grid(labels.shape, whole.grid.affine), labels)
    body = cut_out(cut, 2, boxes(cut)[2])
    dens, reasons = find_dens(body, field_of(body), np.eye(3))
    assert np.linalg.norm(dens.body_centre_mm) < 0.6  # half a voxel of a body that lies along the grid
    assert dens.tip_mm is None
    assert reasons == {"C2.dens": "the dens of C2 is cut by the field's edge"}
