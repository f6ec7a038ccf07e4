"""Do the stated 95 % intervals hold, and do they grow with what makes a measurement worse?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.locate import locate
from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.measure import measure
from spine_node.parameters.uncertainty import outline_noise_mm, tilt_sigma_deg
from tests.anatomy.voxel_spine import voxel_spine

LUMBAR = ("L1", "L2", "L3", "L4", "L5")


def plate(residual_mm: float, voxel_mm: float = 1.0):  # type: ignore[no-untyped-def]
    vertebra = voxel_spine().truth.vertebra("L3")
    assert vertebra is not None
    assert vertebra.superior is not None
    return replace(vertebra.superior, residual_mm=residual_mm, voxel_mm=voxel_mm)


def test_half_a_millimetre_of_smooth_error_costs_a_lumbar_endplate_a_degree_or_two() -> None:
    """The published effect of such an error is 1.6 to 2.3 degrees over both directions together."""
    sigma = np.hypot(*(tilt_sigma_deg(plate(0.1), plane, 0.5) for plane in ("sagittal", "coronal")))
    assert 1.2 < sigma < 2.3


def test_scatter_thick_slices_and_the_short_side_make_it_worse() -> None:
    assert tilt_sigma_deg(plate(1.0), "sagittal", 0.3) > tilt_sigma_deg(plate(0.2), "sagittal", 0.3)
    assert tilt_sigma_deg(plate(0.2), "sagittal", 0.5) > tilt_sigma_deg(plate(0.2), "sagittal", 0.3)
    along_the_slices = replace(plate(0.2), unresolved_mm=1.0)
    assert tilt_sigma_deg(along_the_slices, "sagittal", 0.3) > tilt_sigma_deg(plate(0.2), "sagittal", 0.3)
    assert tilt_sigma_deg(plate(0.5), "sagittal", 0.5) > tilt_sigma_deg(plate(0.5), "coronal", 0.5)


def test_outlines_that_err_are_seen_to_err() -> None:
    """Scatter of large plates tells of the noise of all; exact outlines have next to none."""
    spine = voxel_spine(LUMBAR).truth

    def rough(scatter_mm: float) -> float:
        def fitted(p: Endplate | None) -> Endplate | None:
            return p and replace(p, residual_mm=0.3, scatter_mm=scatter_mm, voxel_mm=1.0)

        return outline_noise_mm(
            replace(
                spine,
                vertebrae=tuple(
                    replace(v, superior=fitted(v.superior), inferior=fitted(v.inferior))
                    for v in spine.vertebrae
                ),
            )
        )

    assert rough(0.05) < 0.06
    assert 0.35 < rough(0.27) < 0.65
    assert outline_noise_mm(spine) == 0


def test_a_given_plate_has_none() -> None:
    assert tilt_sigma_deg(plate(0.0), "sagittal", 0.5) == 0


@pytest.mark.parametrize("spacing", [1.5, 2.5])
def test_the_intervals_hold_on_voxels(spacing: float) -> None:
    patient = voxel_spine(LUMBAR, dish_mm=1.0)
    truth, found = measure(patient.truth), measure(locate(patient.label_map(spacing)))
    once = {row.key for row in CATALOGUE if row.per == "spine"}
    inside = []
    for p in (p for p in found.parameters if p.key in once):
        true = truth.get(p.key)
        assert true is not None
        assert p.uncertainty is not None, p.key
        inside.append(abs(p.value - true.value) <= p.uncertainty)
        assert 0.05 < p.uncertainty < 12, p.key
    assert np.mean(inside) > 0.9
