"""Two sections through a scan that follow the spine, with what is true and what was found on them.

Numbers only, small enough to keep: `pictures` draws them later, when all cases are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.evaluation.cases import Scan
from spine_node.evaluation.identification import body_centres
from spine_node.imaging.volume import FloatArray, LabelMap

PIXEL_MM = 1.0

THICKNESS_MM = (-3.0, 0.0, 3.0)
"""Grey values are averaged over these depths; labels are those of the middle."""

NAMES = ("coronal", "sagittal")
"""Seen from the front (patient's left on the right) and from the left (anterior on the left)."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """One array per view of `NAMES`, top row cranial, `PIXEL_MM` pixels.

    Attributes
    ----------
    grey : tuple of ndarray of uint8
    true, found : tuple of ndarray of uint8
        Values of `anatomy.levels`; `true` is 0 where there is no label map.
    marks : tuple of ndarray, shape (n, 2)
        Marked centres (column, row) where there is no label map.
    """

    grey: tuple[NDArray[np.uint8], ...]
    true: tuple[NDArray[np.uint8], ...]
    found: tuple[NDArray[np.uint8], ...]
    marks: tuple[FloatArray, ...]

    def save(self, path: Path) -> None:
        """Write as .npz."""
        fields = {name: getattr(self, name) for name in ("grey", "true", "found", "marks")}
        arrays = {f"{name}{i}": a for name, pair in fields.items() for i, a in enumerate(pair)}
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Views:
        """Read back; raises what numpy raises for a file that is not one."""
        with np.load(path, allow_pickle=False) as stored:
            grey, true, found, marks = (
                (stored[f"{name}0"], stored[f"{name}1"]) for name in ("grey", "true", "found", "marks")
            )
        return cls(grey, true, found, marks)


def views(scan: Scan, found: LabelMap) -> Views:
    """Cut the scan along its spine: the true one, or the found one, or straight down the middle."""
    grid = scan.volume.grid
    known = scan.centres if scan.truth is None else body_centres(scan.truth.labels, grid)
    path = np.array(list((known or body_centres(found.labels, grid) or {"": grid.centre_mm}).values()))
    path = path[np.argsort(path[:, 2])]
    corners = grid.to_mm(np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    heights = np.arange(high[2], low[2], -PIXEL_MM)
    cuts: dict[str, list[NDArray[np.generic]]] = {"grey": [], "true": [], "found": [], "marks": []}
    window = np.percentile(scan.volume.values[::4, ::4, ::4].astype(np.float32), (2, 99.7))
    for across, depth in ((0, 1), (1, 0)):
        along = np.arange(low[across], high[across], PIXEL_MM)
        points = np.empty((len(heights), len(along), 3))
        points[..., across], points[..., 2] = along, heights[:, None]
        points[..., depth] = np.interp(heights, path[:, 2], path[:, depth])[:, None]
        cuts["grey"].append(_grey(scan, points, depth, window))
        index = np.moveaxis(grid.to_index(points), -1, 0)
        for key, labels in (("true", scan.truth), ("found", found)):
            empty = np.zeros(points.shape[:2], np.uint8)
            cuts[key].append(
                empty if labels is None else ndimage.map_coordinates(labels.labels, index, order=0)
            )
        seen = np.array(list(scan.centres.values())).reshape(-1, 3)
        columns, rows = (seen[:, across] - low[across]) / PIXEL_MM, (high[2] - seen[:, 2]) / PIXEL_MM
        cuts["marks"].append(np.column_stack([columns, rows]))
    return Views(*(tuple(cuts[key]) for key in ("grey", "true", "found", "marks")))  # type: ignore[arg-type]


def _grey(scan: Scan, points: FloatArray, depth: int, window: FloatArray) -> NDArray[np.uint8]:
    total = np.zeros(points.shape[:2])
    for shift in THICKNESS_MM:
        moved = points.copy()
        moved[..., depth] += shift
        index = np.moveaxis(scan.volume.grid.to_index(moved), -1, 0)
        total += ndimage.map_coordinates(scan.volume.values, index, order=1, cval=float(window[0]))
    scaled = (total / len(THICKNESS_MM) - window[0]) / max(float(window[1] - window[0]), 1e-6)
    return (255 * np.clip(scaled, 0, 1)).astype(np.uint8)
