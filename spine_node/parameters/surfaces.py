"""Where the surfaces of endplates are: heights are read between surfaces, not between planes."""

from __future__ import annotations

import numpy as np

from spine_node.imaging.volume import FloatArray
from spine_node.parameters import uncertainty
from spine_node.parameters.view import Plate, View

BAND = 0.2
"""Half width of the band that a height is read in, as a part of the extent across it."""

FEWEST_POINTS, ENOUGH_POINTS = 6, 20
"""Fewer points of the surface in the window say nothing; the plane stands in."""


def height_over(
    view: View,
    name: str,
    plate: Plate,
    foot: FloatArray,
    along: FloatArray,
    window: tuple[FloatArray, FloatArray],
    banded: int | None = None,
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
        Half sides of the window around the foot that the surface is fitted in, as vectors, LPS.
    banded : int, optional
        The side of the window over which the surface is averaged; at the foot only where it is None.
    """
    slant = (plate.normal * along).sum(axis=1)
    flat = ((plate.centre - foot) * plate.normal).sum(axis=1)
    hollow = _above_plane(plate, foot[0], along[0], window, banded)
    drawn = view.scatter(name, 1, uncertainty.surface_sigma_mm(plate.given, view.noise_mm))[:, 0]
    return np.asarray((flat + hollow + drawn) / slant)


def _above_plane(
    plate: Plate,
    foot: FloatArray,
    along: FloatArray,
    window: tuple[FloatArray, FloatArray],
    banded: int | None,
) -> float:
    """Distance of the surface at a place from the plate's plane, along its normal, mm.

    A plane, or where points abound a bowl, is fitted across the window: near the rim the window has points
    on one side only.
    """
    points = plate.given.surface_mm
    if not len(points):
        return 0.0
    away = points - foot
    away = away - (away @ along)[:, None] * along
    half = np.array([np.linalg.norm(side) for side in window])
    across = np.column_stack([away @ side for side in window]) / half**2  # -1 to 1 within the window
    near = (np.abs(across) <= 1).all(axis=1)
    if near.sum() < FEWEST_POINTS:
        return 0.0
    above = (points[near] - plate.given.centre_mm) @ plate.given.normal
    bent = near.sum() >= ENOUGH_POINTS
    fit = np.linalg.lstsq(_terms(across[near], bent), above, rcond=1e-3)[0]
    # where the points end on one side the surface is read there: carried on, a bowl has no bounds
    places = np.clip(0.0, across[near].min(axis=0), across[near].max(axis=0))[None]
    if banded is not None:
        places = np.repeat(places, 21, axis=0)
        places[:, banded] = np.linspace(-1, 1, 21)
    return float((_terms(places, bent) @ fit).mean())


def _terms(across: FloatArray, bent: bool) -> FloatArray:
    return np.column_stack([np.ones(len(across)), across, *([across**2] if bent else [])])
