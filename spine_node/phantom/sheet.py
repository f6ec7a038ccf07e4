"""A contact sheet of phantoms, for a person to judge: each with the slices that show its spine.

Coronal and sagittal pictures follow the column (curved reformats), so that a scoliotic spine is seen whole;
the axial one cuts the apex of the largest curve, or L3. Patient's left is on the right, anterior on the
left of the sagittal picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy import levels
from spine_node.phantom.generate import Phantom
from spine_node.phantom.order import Order
from spine_node.phantom.variants import described

Picture = NDArray[np.float64]

SLAB_MM = 3.0
"""Thickness of a picture: a voxel line of its own would show more noise than a reader's screen does."""

GAP = 4
"""Black pixels between the pictures of one phantom."""

REACH_MM = 120.0
"""Depth of the sagittal picture in front of and behind the column."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One phantom's pictures in a row, RGB 0..1, and what is written over them."""

    picture: Picture
    caption: str


def cell_of(phantom: Phantom, *, painting: str = "cbct", outlines: bool = False) -> Cell:
    """Pictures of one phantom; `outlines` draws the borders of its labels."""
    views = _views(phantom, phantom.volume.values, SLAB_MM)
    low, high = window(phantom.volume.values)
    grey = [np.clip((v - low) / (high - low), 0, 1)[..., None].repeat(3, axis=2) for v in views]
    if outlines:
        labelled = _views(phantom, phantom.label_map.labels, 0.0)
        grey = [_outlined(g, names) for g, names in zip(grey, labelled, strict=True)]
    tall = max(g.shape[0] for g in grey)
    padded = [np.pad(g, ((0, tall - g.shape[0]), (0, GAP), (0, 0))) for g in grey]
    return Cell(np.concatenate(padded, axis=1), caption(phantom, painting))


def caption(phantom: Phantom, painting: str = "cbct") -> str:
    """Seed, what the person measures, and what is unusual: two lines.

    They tell of the person: real shapes, where its bones wear them, carry no spurs and no dish.
    """
    found = phantom.truth
    curves = sorted((p for p in found.parameters if p.key == "COBB"), key=lambda p: -p.value)
    said = [f"{p.side} {p.upper}-{p.lower} {p.value:.0f}°" for p in curves[:2]] or ["straight"]
    names = tuple(s.level for s in phantom.spec.segments)
    unusual = [*described(names, dict(phantom.spec.fractures))]
    spurs = sum(bool(s.osteophytes) for s in phantom.spec.segments)
    unusual += [f"spurs on {spurs} levels"] if spurs > 2 else []
    kind = "" if painting == "cbct" else " RANDOM CONTRAST"
    first = (
        f"{phantom.seed}{kind}: {phantom.spec.age_years:.0f} y, PI {phantom.spec.PI_deg:.0f}, "
        + ", ".join(said)
    )
    return first + "\n" + ", ".join(unusual)


def window(values: NDArray[np.float32]) -> tuple[float, float]:
    """Grey values from black to white: soft tissue dark grey, dense bone white, as a reader sets it."""
    thin = values[::3, ::3, ::3]
    air, bright = np.percentile(thin, [2, 99.7])
    tissue = float(np.median(thin[thin > air + 0.35 * (bright - air)]))
    wide = max(float(bright) - tissue, 1e-3)
    return tissue - 0.45 * wide, tissue + 1.05 * wide


def _views(phantom: Phantom, values: NDArray[np.generic], slab_mm: float) -> list[Picture]:
    """Coronal and sagittal along the column, axial at the apex; superior and anterior on top."""
    grid = phantom.volume.grid
    spacing = grid.spacing_mm
    n, rows, columns = grid.shape
    path = _column(phantom)
    z = grid.to_mm(np.stack([np.arange(n), np.zeros(n), np.zeros(n)], axis=1))[:, 2]
    x, y = (np.interp(z, path[:, 2], path[:, k]) for k in (0, 1))
    at = grid.to_index(np.stack([x, y, z], axis=1))
    half = [round(slab_mm / 2 / s) for s in spacing]

    def mean(parts: Iterable[NDArray[np.generic]]) -> Picture:
        return np.asarray(np.mean([p.astype(np.float64) for p in parts], axis=0))

    row = np.clip(np.round(at[:, 1]).astype(int), half[1], rows - 1 - half[1])
    column = np.clip(np.round(at[:, 2]).astype(int), half[2], columns - 1 - half[2])
    each = np.arange(n)
    coronal = mean(values[each, row + d, :] for d in range(-half[1], half[1] + 1))
    sagittal = mean(values[each, :, column + d] for d in range(-half[2], half[2] + 1))
    if z[0] < z[-1]:
        coronal, sagittal = coronal[::-1], sagittal[::-1]
    middle = int(np.median(row))
    reach = round(REACH_MM / spacing[1])
    sagittal = sagittal[:, max(middle - reach, 0) : middle + reach]
    k = int(np.clip(round(float(grid.to_index(_apex(phantom)[None])[0, 0])), half[0], n - 1 - half[0]))
    axial = mean(values[k + d] for d in range(-half[0], half[0] + 1))
    return [coronal, sagittal, axial]


def _column(phantom: Phantom) -> NDArray[np.float64]:
    """Points down the column and to the hips, by rising z, shape (n, 3), LPS mm."""
    spine = phantom.landmarks
    points = [v.body_centre_mm for v in spine.vertebrae]
    points += [spine.s1.centre_mm] if spine.s1 is not None else []
    if len(spine.heads) == 2:
        points.append(np.mean([h.centre_mm for h in spine.heads.values()], axis=0))
    if not points:
        return np.array([phantom.volume.grid.centre_mm])
    found = np.array(points)
    return np.asarray(found[np.argsort(found[:, 2])])


def _apex(phantom: Phantom) -> NDArray[np.float64]:
    curves = [p for p in phantom.truth.parameters if p.key == "COBB" and p.apex]
    wanted = max(curves, key=lambda p: p.value).apex if curves else "L3"
    seen = {v.level: v.body_centre_mm for v in phantom.landmarks.vertebrae}
    return np.asarray(seen.get(str(wanted), _column(phantom)[len(_column(phantom)) // 2]))


def _outlined(grey: Picture, names: Picture) -> Picture:
    """Borders of the labels in colours that tell neighbours apart."""
    edge = np.zeros(names.shape, bool)
    edge[:-1] |= names[:-1] != names[1:]
    edge[:, :-1] |= names[:, :-1] != names[:, 1:]
    number = names.astype(int) % levels.POSTERIOR_OFFSET
    hue = (number * 0.381966) % 1.0
    colour = np.stack([np.abs((hue * 6 - s) % 6 - 3) - 1 for s in (0, 2, 4)], axis=2).clip(0.25, 1)
    return np.where(edge[..., None], colour, grey)


def draw(cells: Sequence[Cell], out: Path, *, columns: int = 4) -> None:
    """Write the sheet as PNG; a pixel is a voxel, so its size follows from the phantoms' spacing."""
    from matplotlib.figure import Figure

    across = min(columns, len(cells))
    down = -(-len(cells) // across)
    wide = max(c.picture.shape[1] for c in cells)
    tall = max(c.picture.shape[0] for c in cells)
    dpi, text = 100, 44
    figure = Figure(figsize=(across * wide / dpi, down * (tall + text) / dpi), dpi=dpi, facecolor="black")
    for k, cell in enumerate(cells):
        row, column = divmod(k, across)
        high, broad = cell.picture.shape[:2]
        top = 1 - (row * (tall + text) + text) / (down * (tall + text))
        height, width = high / (down * (tall + text)), broad / (across * wide)
        axes = figure.add_axes((column / across, top - height, width, height))
        axes.imshow(cell.picture, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(cell.caption, color="white", fontsize=9, loc="left", pad=3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, facecolor="black")


def draw_sheet(
    order: Order,
    seeds: Sequence[int],
    out: Path,
    *,
    outlines: bool = False,
    report: Callable[[float, str], None] = lambda share, words: None,
) -> None:
    """Make the phantoms one at a time (a sheet of whole spines would not fit into memory) and draw them."""
    cells = []
    for done, seed in enumerate(seeds):
        report(done / len(seeds), f"seed {seed}, {done + 1} of {len(seeds)}")
        painting = order.painting_of(seed)
        cells.append(cell_of(order.make(seed), painting=painting, outlines=outlines))
    draw(cells, out)
