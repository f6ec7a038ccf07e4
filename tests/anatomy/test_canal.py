"""Depth and width of the vertebral canal against formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.anatomy.canal import facing_deg, find_canal
from spine_node.anatomy.landmarks import Canal
from spine_node.imaging.surface import field_of
from tests.anatomy.vertebra_shapes import Shape, box_arch, with_processes, without

POSE = Rotation.from_euler("ZYX", [25, -12, 18], degrees=True)


def canal_of(shape: Shape, spacing_mm: float = 1.0) -> tuple[Canal | None, dict[str, str]]:
    body, posterior = shape.pieces(POSE, spacing_mm)
    assert posterior is not None
    return find_canal(
        shape.level, field_of(body), field_of(posterior), POSE.as_matrix(), body.points_mm.mean(axis=0)
    )


def size(canal: Canal | None) -> tuple[float, float]:
    """Depth and width, mm; NaN where there is none."""
    assert canal is not None

    def apart(a: np.ndarray | None, b: np.ndarray | None) -> float:
        return float("nan") if a is None or b is None else float(np.linalg.norm(a - b))

    return apart(canal.anterior_mm, canal.posterior_mm), apart(canal.left_mm, canal.right_mm)


@pytest.mark.parametrize("spacing_mm", [0.7, 1.0])
@pytest.mark.parametrize(("half_width", "depth"), [(11.0, 16.0), (8.0, 13.0), (13.0, 20.0)])
def test_a_canal_is_as_deep_and_wide_as_it_is(half_width: float, depth: float, spacing_mm: float) -> None:
    canal, reasons = canal_of(box_arch(half_width=half_width, depth=depth), spacing_mm)
    assert size(canal) == pytest.approx((depth, 2 * half_width), abs=0.35)
    assert not reasons


def test_its_points_lie_on_the_walls_on_their_own_sides() -> None:
    canal, _ = canal_of(box_arch())
    assert canal is not None
    assert canal.left_mm is not None
    assert canal.posterior_mm is not None
    assert canal.anterior_mm is not None
    left, anterior, posterior = (
        POSE.inv().apply(np.array(p)) for p in (canal.left_mm, canal.anterior_mm, canal.posterior_mm)
    )
    assert left[0] == pytest.approx(11, abs=0.3)
    assert anterior[[0, 1]] == pytest.approx([0, 15], abs=0.3)
    assert posterior[[0, 1]] == pytest.approx([0, 31], abs=0.3)
    assert [left[2], anterior[2]] == pytest.approx([4, 4], abs=1.0)  # the height of the pedicles


def test_round_pedicles_and_laminae_like_a_roof() -> None:
    """The pedicles' nearest points count, and the ridge of the roof, where the spinous process begins."""
    assert size(canal_of(with_processes())[0]) == pytest.approx((32 - 15, 2 * 9), abs=0.5)


@pytest.mark.parametrize("lower", [6.0, 14.0])
def test_a_lamina_below_the_pedicles_still_closes_the_canal(lower: float) -> None:
    assert size(canal_of(box_arch(lower=lower))[0])[0] == pytest.approx(16, abs=0.5)


def test_an_open_arch_has_no_depth_but_a_width() -> None:
    """After a laminectomy."""
    canal, reasons = canal_of(without(box_arch(), lambda x, y, z: (np.abs(x) < 9) & (y > 25)))
    depth, width = size(canal)
    assert np.isnan(depth)
    assert width == pytest.approx(22, abs=0.35)
    assert reasons == {"L2.canal_ap": "the arch of L2 is open behind its canal: no spinolaminar line is met"}


def test_one_pedicle_gives_a_depth_but_no_width() -> None:
    canal, reasons = canal_of(without(box_arch(), lambda x, y, z: (x > 9) & (y < 30)))
    depth, width = size(canal)
    assert depth == pytest.approx(16, abs=0.35)
    assert np.isnan(width)
    assert reasons == {"L2.canal_w": "the left pedicle of L2 is not seen"}


def test_a_spinous_process_alone_is_no_canal() -> None:
    canal, reasons = canal_of(without(with_processes(), lambda x, y, z: y < 36))
    assert canal is None
    assert set(reasons.values()) == {"no pedicle of L2 is seen beside its canal"}


def test_axes_that_are_turned_do_not_face_the_canal() -> None:
    """Turned by 8 degrees to the left, the axes see the canal 8 degrees to their right."""
    shape = box_arch()
    canal, _ = canal_of(shape)
    assert canal is not None
    assert facing_deg(canal, np.zeros(3), POSE.as_matrix()) == pytest.approx(0, abs=0.7)
    turned = (POSE * Rotation.from_euler("z", 8, degrees=True)).as_matrix()
    assert facing_deg(canal, np.zeros(3), turned) == pytest.approx(8, abs=0.7)
