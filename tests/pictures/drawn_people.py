"""People of whom only landmarks and balls for bones are made: enough for pictures, and made in no time."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from spine_node.anatomy.landmarks import Canal, Spine, Vertical
from spine_node.anatomy.levels import FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT, SACRUM, VERTEBRA_VALUES
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.parameters.measure import measure
from spine_node.phantom.person import SpineSpec
from spine_node.phantom.pose import random_spec
from spine_node.phantom.profiles import Curve
from spine_node.phantom.skeleton import build, landmarks, standing_place
from spine_node.pictures.drawing import Sheet
from spine_node.pictures.scene import Scene

TWO_CURVES = (Curve(3.0, 2.8, -32.0, 0.5), Curve(9.5, 3.7, 48.0, 0.5))
SPACING_MM, BALL_MM = 3.0, 11.0


def person(curves: tuple[Curve, ...] = TWO_CURVES, *, seed: int = 5, yaw_deg: float = 14.0) -> Spine:
    """Exact landmarks of somebody who stands turned in the scanner, with canals and crests."""
    spec: SpineSpec = replace(random_spec(np.random.default_rng(seed), curves=curves), yaw_deg=yaw_deg)
    spine = landmarks(build(spec), standing_place(spec))
    vertebrae = []
    for v in spine.vertebrae:
        if v.axes is not None:
            x, y, _ = v.axes.T
            middle = v.body_centre_mm + 24 * y
            canal = Canal(middle, middle - 8 * y, middle + 8 * y, middle + 10 * x, middle - 10 * x)
            v = replace(v, canal=canal)
        vertebrae.append(v)
    away = {"left": np.array([30.0, 20.0, 140.0]), "right": np.array([-30.0, 20.0, 146.0])}
    crests = {side: head.centre_mm + away[side] for side, head in spine.heads.items()}
    upright = Vertical(provenance="image axis, posture declared standing", standing=True)
    return replace(spine, vertebrae=tuple(vertebrae), crests_mm=crests, vertical=upright)


def balls(spine: Spine) -> LabelMap:
    """A ball at each body, at the femoral heads and below S1."""
    centres = {VERTEBRA_VALUES[v.level]: (v.body_centre_mm, BALL_MM) for v in spine.vertebrae}
    for side, value in (("left", FEMORAL_HEAD_LEFT), ("right", FEMORAL_HEAD_RIGHT)):
        if side in spine.heads:
            centres[value] = (spine.heads[side].centre_mm, spine.heads[side].radius_mm)
    if spine.s1 is not None:
        centres[SACRUM] = (spine.s1.centre_mm - 22 * spine.s1.normal, 18.0)
    places = np.array([centre for centre, _ in centres.values()])
    low, high = places.min(axis=0) - 40, places.max(axis=0) + 40
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = low
    shape = tuple(int(n) for n in np.ceil((high - low) / SPACING_MM))
    grid = Grid(shape, affine)  # type: ignore[arg-type]
    points = grid.to_mm(np.stack(np.indices(grid.shape), axis=-1))
    labels = np.zeros(grid.shape, np.uint8)
    for value, (centre, radius) in centres.items():
        labels[np.linalg.norm(points - centre, axis=-1) <= radius] = value
    return LabelMap(grid, labels)


def scene_of(spine: Spine, *, image: bool = True) -> Scene:
    """Somebody measured, with or without an image."""
    label_map = balls(spine)
    values = np.where(label_map.labels > 0, 1000, 0).astype(np.int16)
    return Scene(Volume(label_map.grid, values) if image else None, label_map, spine, measure(spine))


class Print:
    """A page as pixels."""

    def __init__(self, page: Sheet) -> None:
        self.figure = page.figure

    @cached_property
    def pixels(self) -> np.ndarray:
        """Drawn when first looked at, shape (rows, columns, 3), 0..1."""
        self.figure.canvas.draw()
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3] / 255.0  # type: ignore[attr-defined]

    def shows(self, colour: str, point_mm: np.ndarray) -> bool:
        """Whether this colour lies within a pixel or two of a place in the view."""
        x, y = self.figure.axes[0].transData.transform(point_mm)
        row, column = round(self.pixels.shape[0] - 1 - y), round(x)
        wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        around = self.pixels[row - 2 : row + 3, column - 2 : column + 3]
        return bool(np.abs(around - wanted).max(axis=-1).min() < 0.12)

    def words(self) -> str:
        """Everything that is written on it."""
        return "\n".join(t.get_text() for axes in self.figure.axes for t in axes.texts)

    def collisions(self) -> list[str]:
        """Texts that lie over each other or leave the page; in a table grey cells stand in gaps of a row."""
        renderer = self.figure.canvas.get_renderer()  # type: ignore[attr-defined]
        texts = [t for axes in self.figure.axes for t in axes.texts if t.get_text().strip()]
        boxes = np.array([t.get_window_extent(renderer).extents for t in texts])
        boxes += [1, 1, -1, -1]  # letters may touch
        page = self.figure.bbox.extents
        found = [
            f"{t.get_text()!r} leaves the page"
            for t, b in zip(texts, boxes, strict=True)
            if (b[:2] < page[:2]).any() or (b[2:] > page[2:]).any()
        ]
        for i, a in enumerate(boxes):
            over = (np.minimum(a[2:], boxes[i + 1 :, 2:]) > np.maximum(a[:2], boxes[i + 1 :, :2])).all(axis=1)
            found += [
                f"{texts[i].get_text()!r} over {other.get_text()!r}"
                for other in (texts[i + 1 + j] for j in np.flatnonzero(over))
                if "monospace" not in other.get_fontfamily()
                or other.get_position()[1] != texts[i].get_position()[1]
            ]
        return found
