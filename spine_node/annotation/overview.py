"""A picture of labels on their image: one coronal and one sagittal cut that follow the spine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import LEVEL_OF_VALUE, POSTERIOR_OFFSET
from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import FloatArray, Grid, LabelMap, Volume

STEP_MM = 1.0
HALF_WIDTH_MM = 90.0
"""Shown to each side of the line of bodies; of the pelvis all that is labelled."""

CHANGE_COLOURS = {"added": (0.1, 0.9, 0.2), "removed": (1.0, 0.2, 0.15), "relabelled": (1.0, 0.85, 0.1)}


def draw_overview(volume: Volume, label_map: LabelMap, path: Path, title: str) -> None:
    """Outlines of every structure in its colour, names beside the bodies; writes a PNG."""
    cuts = _cuts(label_map)
    figure, axes = _figure(title, cuts)
    for axis, points in zip(axes, cuts, strict=True):
        labels = _sample(label_map.labels, label_map.grid, points, order=0)
        _grey(axis, volume, points, labels > 0)
        for value in np.unique(labels[labels > 0]):
            if int(value) not in STRUCTURE_OF_VALUE:
                continue
            structure = STRUCTURES[STRUCTURE_OF_VALUE[int(value)]]
            style = "dashed" if value > POSTERIOR_OFFSET else "solid"
            axis.contour(
                labels == value, levels=[0.5], colors=[structure.rgb], linewidths=1.0, linestyles=style
            )
            if int(value) in LEVEL_OF_VALUE:
                row, column = np.argwhere(labels == value).mean(axis=0)
                axis.text(column, row, structure.name, color="white", fontsize=7, ha="center", va="center")
    _save(figure, path)


def draw_changes(
    volume: Volume | None, corrected: LabelMap, kinds: Mapping[str, NDArray[np.bool_]], path: Path, title: str
) -> None:
    """What was added, removed and relabelled, on the corrected outlines; writes a PNG."""
    changed = np.any(list(kinds.values()), axis=0)
    cuts = _cuts(corrected, changed)
    figure, axes = _figure(title, cuts)
    for axis, points in zip(axes, cuts, strict=True):
        labels = _sample(corrected.labels, corrected.grid, points, order=0)
        if volume is None:
            axis.imshow(np.where(labels > 0, 0.35, 0.0), cmap="gray", vmin=0, vmax=1, origin="upper")
        else:
            _grey(axis, volume, points, labels > 0)
        for value in np.unique(labels[labels > 0]):
            axis.contour(labels == value, levels=[0.5], colors="white", linewidths=0.4)
        for kind, mask in kinds.items():
            here = _sample(mask.astype(np.uint8), corrected.grid, points, order=0) > 0
            axis.imshow(np.dstack([*(np.full(here.shape, c) for c in CHANGE_COLOURS[kind]), 0.7 * here]))
    for number, (kind, colour) in enumerate(CHANGE_COLOURS.items()):
        figure.text(0.02 + 0.2 * number, 0.01, kind, color=colour, fontsize=9)
    _save(figure, path)


def _cuts(label_map: LabelMap, changed: NDArray[np.bool_] | None = None) -> tuple[FloatArray, FloatArray]:
    """LPS points (rows, columns, 3) of a coronal and a sagittal cut through the bodies, head up.

    Where changes are given, the cuts go through as many of them as they can at each height.
    """
    marked = np.argwhere(label_map.labels > 0)
    points = label_map.grid.to_mm(marked)
    body = np.isin(label_map.labels[tuple(marked.T)], list(LEVEL_OF_VALUE))
    followed = points[body] if body.any() else points
    top, bottom = points[:, 2].max() + 15, points[:, 2].min() - 15
    heights = np.arange(top, bottom, -STEP_MM)
    x, y = (_followed(followed[:, 2], followed[:, axis], heights) for axis in (0, 1))
    if changed is not None and changed.any():
        there = label_map.grid.to_mm(np.argwhere(changed))
        x, y = (
            np.where(_near(there[:, 2], heights), _followed(there[:, 2], there[:, axis], heights, 3.0), line)
            for axis, line in ((0, x), (1, y))
        )
    half = max(HALF_WIDTH_MM, np.abs(points[:, 0] - np.median(x)).max() + 10)
    across = np.arange(-half, half, STEP_MM)
    middle = np.median(x)
    coronal = np.stack(np.broadcast_arrays(middle + across[None, :], y[:, None], heights[:, None]), axis=-1)
    depth = np.arange(points[:, 1].min() - 40, points[:, 1].max() + 40, STEP_MM)
    sagittal = np.stack(np.broadcast_arrays(x[:, None], depth[None, :], heights[:, None]), axis=-1)
    return coronal, sagittal


def _followed(z: FloatArray, value: FloatArray, heights: FloatArray, window_mm: float = 12.0) -> FloatArray:
    """Mean value around each height, held where there is none."""
    low = float(heights.min())
    bins = np.clip(((z - low) / STEP_MM).astype(int), 0, len(heights))
    count = ndimage.gaussian_filter1d(np.bincount(bins, minlength=len(heights) + 1).astype(float), window_mm)
    total = ndimage.gaussian_filter1d(np.bincount(bins, value, minlength=len(heights) + 1), window_mm)
    known = np.flatnonzero(count > 1e-6)
    line = np.interp(np.arange(len(count)), known, total[known] / count[known])
    return np.asarray(line[np.clip(((heights - low) / STEP_MM).astype(int), 0, len(line) - 1)])


def _near(z: FloatArray, heights: FloatArray) -> NDArray[np.bool_]:
    found = np.sort(z)
    right = np.clip(np.searchsorted(found, heights), 0, len(found) - 1)
    left = np.clip(right - 1, 0, len(found) - 1)
    return np.minimum(np.abs(found[right] - heights), np.abs(found[left] - heights)) < 3.0


def _sample(values: NDArray[np.generic], grid: Grid, points: FloatArray, order: int) -> NDArray[np.float64]:
    index = np.moveaxis(grid.to_index(points), -1, 0)
    return np.asarray(ndimage.map_coordinates(values, index, order=order, mode="constant", cval=values.min()))


def _grey(axis, volume: Volume, points: FloatArray, bone: NDArray[np.bool_]) -> None:  # type: ignore[no-untyped-def]
    """The cut, from a little below soft tissue to bright bone, whatever metal and air are in it."""
    grey = _sample(volume.values, volume.grid, points, order=1).astype(float)
    middle = grey[:, grey.shape[1] // 4 : 3 * grey.shape[1] // 4]
    low = float(np.percentile(middle, 30))
    usual = float(np.median(grey[bone])) if bone.any() else float(np.percentile(middle, 95))
    axis.imshow(grey, cmap="gray", vmin=low, vmax=low + max(2.2 * (usual - low), 1.0), origin="upper")


def _figure(title: str, cuts: tuple[FloatArray, FloatArray]):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    rows = cuts[0].shape[0]
    widths = [cut.shape[1] for cut in cuts]
    scale = 9.0 / max(rows, 120)
    figure = Figure(figsize=(sum(widths) * scale + 0.4, max(rows, 120) * scale + 0.5), facecolor="black")
    axes = figure.subplots(1, 2, width_ratios=widths)
    figure.subplots_adjust(0.01, 0.03, 0.99, 0.95, wspace=0.02)
    figure.suptitle(title, color="white", fontsize=10)
    for axis, name in zip(
        axes, ("coronal, the patient's left at the right", "sagittal, front at the left"), strict=True
    ):
        axis.set_axis_off()
        axis.set_title(name, color="white", fontsize=8)
    return figure, axes


def _save(figure, path: Path) -> None:  # type: ignore[no-untyped-def]
    figure.savefig(path, dpi=130, facecolor="black", metadata={"Software": None})
