"""Where the surfaces of endplates are: heights are read between surfaces, not between planes."""

from __future__ import annotations

import numpy as np

from spine_node.imaging.volume import FloatArray
from spine_node.parameters import uncertainty
from spine_node.parameters.view import Plate, View

BAND = 0.2
"""Half width of the band that a height is read in, as a part of the extent across it."""

FEWEST_POINTS = 4
"""Fewer points of the surface in the window say nothing; the plane stands in."""


def height_over(
    view: View,
    name: str,
    plate: Plate,
    foot: FloatArray,
    along: FloatArray,
    window: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Height of a plate's surface over points, along a direction, mm, shape (n,).

    Parameters
    ----------
    view : View
    name : str
        Of this place: its own scatter is drawn by it.
    plate : Plate
    foot, along : ndarray, shape (n, 3)
        The points and the unit direction of height, LPS.
    window : two ndarray, shape (3,)
        Half sides of the window around the foot in which the surface is averaged, as vectors, LPS.
    """
    slant = (plate.normal * along).sum(axis=1)
    flat = ((plate.centre - foot) * plate.normal).sum(axis=1)
    hollow = _above_plane(plate, foot[0], along[0], window)
    drawn = view.scatter(name, 1, uncertainty.surface_sigma_mm(plate.given))[:, 0]
    return np.asarray((flat + hollow + drawn) / slant)


def _above_plane(
    plate: Plate, foot: FloatArray, along: FloatArray, window: tuple[FloatArray, FloatArray]
) -> float:
    """Mean distance of the surface near a place from the plate's plane, along its normal, mm."""
    points = plate.given.surface_mm
    if not len(points):
        return 0.0
    away = points - foot
    away = away - (away @ along)[:, None] * along
    near = np.ones(len(points), bool)
    for side in window:
        half = float(np.linalg.norm(side))
        near &= np.abs(away @ side) <= half**2
    if near.sum() < FEWEST_POINTS:
        return 0.0
    return float(np.mean((points[near] - plate.given.centre_mm) @ plate.given.normal))
