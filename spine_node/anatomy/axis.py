"""First guess of each vertebra's axes: along the line of bodies, and towards the posterior elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spine_node.anatomy.pieces import Pieces
from spine_node.geometry.directions import DegenerateGeometry, axes_from, unit
from spine_node.imaging.volume import FloatArray

POSTERIOR = np.array([0.0, 1.0, 0.0])
"""Where the back is when nothing else tells, LPS."""


def rough_axes(pieces: Sequence[Pieces], vertical: FloatArray) -> dict[str, FloatArray]:
    """Left, posterior and cranial directions of each vertebra, columns, LPS, within some 15 degrees.

    Cranial is the tangent of the line through the body centroids (the vertical for a single one),
    posterior the way from the body to its posterior elements; a vertebra without takes that of the
    nearest one that has them.
    """
    if not pieces:
        return {}
    centres = np.array([p.centre_mm for p in pieces])
    cranial = _tangents(centres, vertical)
    known = [i for i, p in enumerate(pieces) if p.posterior_centre_mm is not None]
    axes: dict[str, FloatArray] = {}
    for i, piece in enumerate(pieces):
        source = min(known, key=lambda k: abs(k - i)) if known else None
        towards: FloatArray = POSTERIOR
        if source is not None and (there := pieces[source].posterior_centre_mm) is not None:
            towards = there - pieces[source].centre_mm
        try:
            axes[piece.level] = axes_from(cranial[i], towards)
        except DegenerateGeometry:
            axes[piece.level] = axes_from(vertical, POSTERIOR + 0.1 * vertical)
    return axes


def _tangents(centres: FloatArray, vertical: FloatArray) -> FloatArray:
    """Cranial tangents, shape (n, 3), of points ordered cranial to caudal."""
    if len(centres) == 1:
        return vertical[None]
    half = len(centres) // 2
    # Where two levels are swapped the line must not double back: position decides, not the label.
    up = centres[:half].mean(axis=0) - centres[-half:].mean(axis=0)
    order = np.argsort(-(centres @ up))
    steps = np.linalg.norm(np.diff(centres[order], axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-3))])
    tangents = np.empty_like(centres)
    tangents[order] = -np.gradient(centres[order], along, axis=0, edge_order=2 if len(centres) > 2 else 1)
    return unit(tangents)
