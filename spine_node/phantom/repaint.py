"""A real labelled scan as other scanners would show it: new greys, or its own made worse.

The labels stay; what lies between them is told apart by its grey values alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy import levels
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.phantom import layers as fields
from spine_node.phantom import physics
from spine_node.phantom.drawing import FAR_MM, SEMANTIC, Drawing
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.paint import Palette, ct_palette, paint_bone, random_palette
from spine_node.phantom.rendering import one_thread_per_operation
from spine_node.phantom.smoothing import smooth
from spine_node.segmentation.classes import IGNORED
from spine_node.segmentation.device import device_of

Style = Literal["random", "cbct", "degrade"]

UNKNOWN = IGNORED
"""Label of what nobody annotated: painted as what it looks like, kept in the labels."""

CLUSTERS = 7
"""Kinds of grey outside the labels: air, lung, fat, two of soft tissue, contrast or ribs, cortex."""

FIELD_MM = (300.0, 380.0)
"""Side of the square about the spine that a scanner shows."""

TEXTURE_CLIP = 60.0
"""Grey values by which fine texture may differ from its tissue: more would be an edge."""

_SOFT = 2
"""First of the `CLUSTERS` that is patient and no lung."""

_KIND = np.zeros(256, np.uint8)
"""`SEMANTIC` value of each label, 0 for none of ours."""
for _value in levels.LEVEL_OF_VALUE:
    _KIND[_value], _KIND[_value + levels.POSTERIOR_OFFSET] = SEMANTIC["body"], SEMANTIC["arch"]
_KIND[levels.SACRUM] = SEMANTIC["sacrum"]
_KIND[[levels.HIP_LEFT, levels.HIP_RIGHT]] = SEMANTIC["hip"]
_KIND[[levels.FEMORAL_HEAD_LEFT, levels.FEMORAL_HEAD_RIGHT]] = SEMANTIC["femoral_head"]


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """A real scan with slices first, cut to a scanner's field; `order` are the axes it came with."""

    grid: Grid
    values: NDArray[np.float32]
    labels: NDArray[np.uint8]
    order: tuple[int, int, int]

    def back(self, values: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[Volume, LabelMap]:
        """In the axes it came with."""
        place = np.argsort(self.order)
        affine = self.grid.affine.copy()
        affine[:3, :3] = affine[:3, place]
        grid = Grid(tuple(np.array(self.grid.shape)[place]), affine)  # type: ignore[arg-type]
        return (
            Volume(grid, np.ascontiguousarray(values.transpose(place))),
            LabelMap(grid, np.ascontiguousarray(labels.transpose(place))),
        )


def repaint(
    volume: Volume, label_map: LabelMap, seed: int, *, style: Style = "random", device: str = "cpu"
) -> tuple[Volume, LabelMap]:
    """Another image of the same labelled anatomy; the same arguments give the same voxels.

    Parameters
    ----------
    volume : Volume
        A real scan; any scale of grey values with air darkest for "random" and "cbct", Hounsfield units
        for "degrade".
    label_map : LabelMap
        Values of `anatomy.levels` on the same grid; 255 where nobody annotated.
    seed : int
    style
        "random" paints every tissue in any contrast, "cbct" as attenuation in a cone-beam scanner,
        "degrade" keeps the scan's own greys; all three then go through the scanner's physics.
    device : str
        As `generate` takes it.

    Returns
    -------
    volume, label_map
        A part of the input's grid: a square about the spine, all slices. Labels are 0 where the
        scanner's cylinder ends.

    Raises
    ------
    LabelMapRefused
        If nothing that we know is labelled, or the two are not on the same grid.
    ConfigRefused
        If there is no such device here.
    """
    if not volume.grid.matches(label_map.grid):
        raise LabelMapRefused("the labels are not on the grid of the image: it cannot be repainted.")
    if not _KIND[label_map.labels].any():
        seen = ", ".join(map(str, np.unique(label_map.labels)))
        raise LabelMapRefused(
            f"the label map shows no bone of ours (it holds {seen}): there is nothing to paint."
        )
    rng = np.random.default_rng([seed, 2023])
    scan = _cut(volume, label_map, rng)
    scanner = physics.Scanner.draw(rng, clean=False)
    at = Lattice.of(scan.grid, np.eye(4), device_of(device))
    with one_thread_per_operation(), torch.inference_mode():
        real = torch.from_numpy(scan.values).to(at.device)
        kinds, centres = _clusters(real, scan.labels)
        depth, semantic = _bones(scan, at)
        if style == "degrade":
            image = real.clamp(-1024, 3071)
        else:
            palette = ct_palette(rng, clean=False) if style == "cbct" else random_palette(rng)
            image = _painted(real, kinds, centres, palette, style, rng)
            _paint_labels(image, real, depth, semantic, palette, at, seed, style, rng)
        values, outside = _exposed(image, kinds, depth, scanner, at, seed)
    labels = scan.labels.copy()
    labels[:, outside] = 0
    return scan.back(values, labels)


def _cut(volume: Volume, label_map: LabelMap, rng: np.random.Generator) -> _Scan:
    """Slices first, then rows and columns, and only a square about what is labelled."""
    direction = np.abs(volume.grid.affine[:3, :3] / volume.grid.spacing_mm)
    slices = int(direction[2].argmax())
    columns, rows = sorted((k for k in range(3) if k != slices), key=lambda k: -direction[0, k])
    order = (slices, rows, columns)
    values = np.asarray(volume.values, np.float32).transpose(order)
    labels = label_map.labels.transpose(order)
    affine = volume.grid.affine.copy()
    affine[:3, :3] = affine[:3, order]
    box = [slice(0, values.shape[0])]
    for axis in (1, 2):
        others = tuple(k for k in range(3) if k != axis)
        seen = np.nonzero(((labels > 0) & (labels != UNKNOWN)).any(axis=others))[0]
        spacing = float(np.linalg.norm(affine[:3, axis]))
        middle = (seen[0] + seen[-1]) / 2 + rng.normal(0, 6) / spacing
        half = max(rng.uniform(*FIELD_MM) / spacing, np.ptp(seen) + 30 / spacing) / 2
        box.append(slice(max(0, int(middle - half)), min(labels.shape[axis], int(middle + half) + 1)))
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    where = tuple(box)
    part = np.ascontiguousarray(values[where])
    return _Scan(Grid(part.shape, affine), part, np.ascontiguousarray(labels[where]), order)


def _clusters(real: Field, labels: NDArray[np.uint8]) -> tuple[torch.Tensor, Field]:
    """Kind of grey of each voxel (0 the darkest), and the kinds' centres, ascending."""
    free = torch.from_numpy((labels == 0) | (labels == UNKNOWN)).to(real.device)
    some = real[free]
    some = some[:: max(1, len(some) // 60_000)].contiguous()
    low, high = torch.quantile(some, torch.tensor([0.005, 0.998], device=real.device)).tolist()
    centres = torch.linspace(low, max(high, low + 1), CLUSTERS, device=real.device)
    for _ in range(12):
        nearest = torch.bucketize(some, (centres[1:] + centres[:-1]) / 2)
        count = torch.bincount(nearest, minlength=CLUSTERS)
        total = torch.zeros(CLUSTERS, device=real.device).index_add_(0, nearest, some)
        centres = torch.where(count > 0, total / count.clamp_min(1), centres).sort().values
    calm = smooth(real, (0.6, 0.6, 0.6))
    return torch.bucketize(calm, (centres[1:] + centres[:-1]) / 2), centres


def _bones(scan: _Scan, at: Lattice) -> tuple[Field, torch.Tensor]:
    """Signed distance, mm, to the surface of what is labelled, and the kind of the nearest bone."""
    kind = _KIND[scan.labels]
    reach = np.ceil(8 / scan.grid.spacing_mm).astype(int)
    box = tuple(
        slice(max(0, s.start - r), s.stop + r)
        for s, r in zip(ndimage.find_objects((kind > 0).view(np.uint8))[0], reach, strict=True)
    )
    inside = kind[box] > 0
    spacing = scan.grid.spacing_mm
    out, nearest = ndimage.distance_transform_edt(~inside, sampling=spacing, return_indices=True)
    within = ndimage.distance_transform_edt(inside, sampling=spacing)
    depth = np.full(kind.shape, FAR_MM, np.float32)
    half = float(spacing.min()) / 2
    depth[box] = ndimage.gaussian_filter(np.where(inside, half - within, out - half), 0.5)
    kind[box] = kind[box][tuple(nearest)]
    return torch.from_numpy(depth).to(at.device), torch.from_numpy(kind).to(at.device)


def _painted(
    real: Field,
    kinds: torch.Tensor,
    centres: Field,
    palette: Palette,
    style: Style,
    rng: np.random.Generator,
) -> Field:
    """Every kind of grey in its new value, softly where kinds meet, with the scan's own fine texture."""
    if style == "cbct":
        new = centres.cpu().numpy() + rng.normal(0, 25, CLUSTERS)
        new[-1] *= rng.uniform(0.7, 1.3)
        new[0] = palette.background
    else:
        new = rng.uniform(-300, 900, CLUSTERS)
        new[0] = palette.background
    values = torch.tensor(new, dtype=torch.float32, device=real.device)
    image = smooth(values[kinds], (0.5, 0.5, 0.5))
    texture = (real - smooth(real, (1.5, 1.5, 1.5))).clamp_(-TEXTURE_CLIP, TEXTURE_CLIP)
    texture *= kinds > 0  # the noise of air would tell the scans apart
    return image.add_(texture, alpha=float(rng.uniform(0.0, 0.8)))


def _paint_labels(
    image: Field,
    real: Field,
    depth: Field,
    kind: torch.Tensor,
    palette: Palette,
    at: Lattice,
    seed: int,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Shell and marrow of the labelled bones, in place; for CBCT partly as the scan shows them."""
    plane = (at.shape[1], at.shape[2])
    texture = physics.Grain(seed, plane, 1.2 / at.spacing_mm + 0.3, at.device).slices(0, at.shape[0])
    wide = fields.coarse(at)
    lumps = fields.refine(physics.coarse_noise(seed, wide), at.shape, (0, at.shape[0]))
    own = (depth < float(at.spacing_mm.min())).float()
    drawing = Drawing(kind, kind, depth, kind)
    painted = image.clone()
    paint_bone(painted, drawing, palette, texture, lumps, float(at.spacing_mm.min()))
    keep = float(rng.uniform(0, 1)) if style == "cbct" else 0.0
    image.lerp_(painted.lerp_(real, keep), own)


def _exposed(
    image: Field,
    kinds: torch.Tensor,
    depth: Field,
    scanner: physics.Scanner,
    at: Lattice,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scanner values, and which columns and rows its cylinder leaves out."""
    n, rows, columns = at.shape
    spacing = at.spacing_mm
    plane = (float(spacing[1]), float(spacing[2]))
    wide = fields.coarse(at)

    def coarsely(field: Field) -> Field:
        return torch.nn.functional.interpolate(field[None, None], size=wide.shape, mode="area")[0, 0]

    body = coarsely((kinds >= _SOFT).float())
    bone = coarsely(((depth < 0) | (kinds >= CLUSTERS - 1)).float())
    shade, relative_noise = physics.shading(scanner, body, bone, wide)
    grain = physics.Grain(seed + 1, (rows, columns), scanner.grain_mm / spacing, at.device)
    pattern, rim = physics.axial_pattern(seed, scanner, (rows, columns), plane, at.device)
    z = at.affine[2, 0] * np.arange(n)
    values = physics.expose(
        smooth(image, scanner.blur_voxels(spacing)),
        scanner,
        noise=grain.slices(0, n),
        shade=fields.refine(shade, at.shape, (0, n)),
        relative_noise=fields.refine(relative_noise, at.shape, (0, n)),
        pattern=pattern,
        rim=rim,
        heights=(z - z.min()) / max(float(np.ptp(z)), 1e-6),
        spacing_mm=plane,
    )
    j, i = np.ogrid[:rows, :columns]
    radius = np.hypot((j - (rows - 1) / 2) * plane[0], (i - (columns - 1) / 2) * plane[1])
    outside = radius > scanner.field_radius_mm
    result = values.cpu().numpy()
    result[:, outside] = scanner.offset - 1000 * scanner.gain
    return result, outside
