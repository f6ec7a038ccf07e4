"""The default segmenter: a bundle's nets in sliding windows, then vertebrae, names and sides.

The context net, where the bundle has one, looks at the whole volume first: the fine net then works
where it saw something, and which level a body is follows mostly from what it says. Memory is bounded
by the nets' own grids: at the grid of the series there is only the label map, made slab by slab from
interpolated log probabilities: outlines are smooth, not made of the net's voxels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spine_node.anatomy import levels
from spine_node.errors import BundleRefused, SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation.bearings import doubts
from spine_node.segmentation.belief import beliefs
from spine_node.segmentation.bundle import Bundle, Net, load_bundle
from spine_node.segmentation.canonical import Canonical, canonical
from spine_node.segmentation.classes import BODY, HEAD, HIP, POSTERIOR, SACRUM
from spine_node.segmentation.context import Context, look
from spine_node.segmentation.device import device_of
from spine_node.segmentation.instances import LEAST_BODY_MM3, Instances, find_vertebrae, pelvic_midline
from spine_node.segmentation.islands import corner_of_sacrum, holes, pelvis_below, without_islands
from spine_node.segmentation.labelling import drawn
from spine_node.segmentation.levels import Naming, name_levels
from spine_node.segmentation.naming import evidence_of, mean_log_chance
from spine_node.segmentation.networks import SpineNet
from spine_node.segmentation.outline import settled_by_grey
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation
from spine_node.segmentation.windows import LOG_FLOOR, infer

LEAST_VERTEBRAE = 2
"""One body alone is as likely a mistake, and nothing can be measured on it."""

CONTEXT_SHARE = 0.8
"""Weight of the context net's word on a level; the rest is the fine net's, which sees five vertebrae
at a time and can tell a rib from none, but not T6 from T7."""

EVEN_SHARE = 0.5
"""The same in a field no higher than the fine net's window: there it sees all that there is to see."""


class BundleSegmenter:
    """Segments with the bundle in a folder; loads it once and stays warm.

    Parameters
    ----------
    folder : Path
        The bundle.
    device : str
        "auto" (a GPU if there is one), "cpu" or "cuda:N".

    Raises
    ------
    BundleRefused
        If the bundle cannot be trusted or used, or segments something else than the spine.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.bundle: Bundle = load_bundle(folder)
        if not self.bundle.is_spine:
            named = ", ".join(self.bundle.scheme.classes[1:])
            raise BundleRefused(
                f"the bundle in {folder} segments {named}: the node measures spines and cannot use it. "
                "`spine-node segment --model` makes label maps with it. Nothing was segmented."
            )
        self.device = device_of(device)
        self._fine = self._placed(self.bundle.fine)
        self._context = None if self.bundle.context is None else self._placed(self.bundle.context)

    def _placed(self, net: Net) -> SpineNet:
        return net.network().to(self.device, memory_format=torch.channels_last_3d)

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self.bundle.identity

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If no spine is found, or the volume is too small or constant.
        """
        say = progress or (lambda _fraction, _words: None)
        say(0.0, "resampling")
        context = self._looked_at(volume, say)
        fine = self.bundle.fine
        view = canonical(volume, fine.spacing_mm)
        heads = infer(
            self._fine,
            view.values,
            fine.patch,
            fine.overlap,
            self.device,
            lambda done: say(0.3 + 0.5 * done, "drawing bones"),
            None if context is None else context.near_on(view.grid),
        )
        semantic = heads.semantic.numpy()
        say(0.8, "naming vertebrae")
        tissue = without_islands(_decided(semantic, view), fine.spacing_mm)
        _fill(semantic, tissue)
        vertebrae = find_vertebrae(tissue, heads.offset.numpy(), fine.spacing_mm, view.values)
        if len(vertebrae.centres) < LEAST_VERTEBRAE:
            raise SeriesRefused(
                f"no spine found: {len(vertebrae.centres)} vertebral bodies in {_extent(view.grid)} mm, at "
                f"least {LEAST_VERTEBRAE} neighbouring ones were expected. Is this a series of the spine? "
                "Nothing was measured."
            )
        believed = beliefs(semantic, tissue, vertebrae, heads.offset.numpy(), fine.spacing_mm) > 0
        if believed.sum() < LEAST_VERTEBRAE:
            raise SeriesRefused(
                f"no spine found: of {len(believed)} shapes like bodies in {_extent(view.grid)} mm, "
                f"{believed.sum()} have an arch behind and a middle that their voxels agree on, at least "
                f"{LEAST_VERTEBRAE} were expected. Is this a series of the spine? Nothing was measured."
            )
        doubted = doubts(tissue, vertebrae, fine.spacing_mm)
        tissue = pelvis_below(tissue, vertebrae.centres, fine.spacing_mm)
        naming = self._named(view, tissue, vertebrae, heads.level.numpy(), context)
        if sum(name is not None for name in naming.levels) < LEAST_VERTEBRAE:
            raise SeriesRefused("no spine found: what looks like bodies is not lined up as a spine.")
        say(0.85, "drawing outlines")
        corner = corner_of_sacrum(tissue, vertebrae.parts)
        tissue[corner] = SACRUM
        said = semantic[:, corner]
        semantic[BODY][corner], semantic[SACRUM][corner] = said[SACRUM], said[BODY]
        settled_by_grey(semantic, view.values, vertebrae.parts, tissue)
        labels = self._labels(volume, view, semantic, tissue, vertebrae, naming)
        say(1.0, "segmented")
        quality = (*naming.quality, *doubted)
        return Segmentation(LabelMap(volume.grid, labels), self.identity, quality, naming)

    def _looked_at(self, volume: Volume, say: Progress) -> Context | None:
        """What the context net says, if the bundle has one; refuses at once what shows no spine."""
        net = self.bundle.context
        if self._context is None or net is None:
            return None
        context = look(
            self._context, net, volume, self.device, lambda done: say(0.3 * done, "looking for the spine")
        )
        if not context.shows_spine:
            raise SeriesRefused(
                f"no spine found: nothing in {_extent(context.grid)} mm looks like a vertebral body "
                f"({context.body_mm3 / 1000:.1f} ml, {LEAST_BODY_MM3 / 1000:.1f} ml expected). Is this a "
                "series of the spine? Nothing was measured."
            )
        return context

    def _named(
        self,
        view: Canonical,
        tissue: NDArray[np.uint8],
        vertebrae: Instances,
        level: NDArray[np.float32],
        context: Context | None,
    ) -> Naming:
        chance = mean_log_chance(tissue, vertebrae, level)
        if context is not None:
            bodies = np.where(tissue == BODY, vertebrae.parts, 0)
            seen = context.level_of(view.grid, bodies, len(vertebrae.centres))
            higher = view.grid.shape[0] > self.bundle.fine.patch[0]
            share = CONTEXT_SHARE if higher else EVEN_SHARE
            chance = share * seen + (1 - share) * chance
        return name_levels(evidence_of(view.grid, view.inside, tissue, vertebrae, chance))

    def _labels(
        self,
        volume: Volume,
        view: Canonical,
        semantic: NDArray[np.float32],
        tissue: NDArray[np.uint8],
        vertebrae: Instances,
        naming: Naming,
    ) -> NDArray[np.uint8]:
        marks = _marks(tissue, vertebrae, naming, self.bundle.fine.spacing_mm)
        kept = np.where(marks > 0, tissue, 0)
        return drawn(volume.grid, view, semantic, kept, marks)


def _decided(semantic: NDArray[np.float32], view: Canonical) -> NDArray[np.uint8]:
    tissue = semantic.argmax(axis=0).astype(np.uint8)
    tissue[~view.inside] = 0
    return tissue


def _fill(semantic: NDArray[np.float32], tissue: NDArray[np.uint8]) -> None:
    """What bone closes round is bone: in the tissue, and for the outline drawn of it."""
    marrow = holes(tissue)
    where = np.nonzero(marrow)
    tissue[where] = marrow[where]
    semantic[(slice(None), *where)] = LOG_FLOOR
    semantic[(marrow[where], *where)] = 0.0


def _extent(grid: Grid) -> str:
    return " x ".join(f"{n * s:.0f}" for n, s in zip(grid.shape, grid.spacing_mm, strict=True))


def _marks(
    tissue: NDArray[np.uint8], vertebrae: Instances, naming: Naming, spacing_mm: float
) -> NDArray[np.uint8]:
    """Final values on the canonical grid; 0 where a tissue belongs to nothing that was kept."""
    body = np.zeros(256, np.uint8)
    for index, name in enumerate(naming.levels):
        if name is not None:
            body[index + 1] = levels.VERTEBRA_VALUES[name]
    value = body[vertebrae.parts]
    marks = np.where(tissue == BODY, value, 0).astype(np.uint8)
    behind = (tissue == POSTERIOR) & (value > 0)
    marks[behind] = value[behind] + levels.POSTERIOR_OFFSET
    marks[tissue == SACRUM] = levels.SACRUM
    midline = pelvic_midline(tissue, vertebrae.centres[-1], spacing_mm)
    assert midline is not None  # a lowest body is there
    sides = {
        HIP: (levels.HIP_LEFT, levels.HIP_RIGHT),
        HEAD: (levels.FEMORAL_HEAD_LEFT, levels.FEMORAL_HEAD_RIGHT),
    }
    for kind, (left, right) in sides.items():
        where = np.argwhere(tissue == kind)
        side = np.where(midline.left_of(where) > 0, left, right)
        marks[tuple(where.T)] = side
    return marks
