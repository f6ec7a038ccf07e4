"""What a segmenter is: the one seam where models plug in. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from spine_node.imaging.volume import LabelMap, Volume
from spine_node.parameters.model import LevelIdentification
from spine_node.segmentation.levels import Naming

Progress = Callable[[float, str], None]
"""Called with the fraction done (0..1) and a few words."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a label map: written into SEG and SR, and into result UIDs.

    `sha256` is that of the weights file; of a bundle's two, that of both (`bundle.Bundle.identity`).
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map on the grid of its volume, and what its maker saw.

    Attributes
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`; same grid as the volume that was segmented.
    model : ModelIdentity
    quality : tuple of str
        Sentences for the report ("levels counted from the sacrum", "level uncertain: ...").
    naming : Naming, optional
        How the vertebrae were named, and how else they could be; None from a model that names them itself.
    pinned : tuple of str
        Levels that a person has fixed.
    variant : str
        All names and what a person has fixed, if anything: the results are then other ones, with UIDs of
        their own.
    spine : bool
        Whether the values are those of `anatomy.levels`; not from a bundle with a label list of its own.
    """

    label_map: LabelMap
    model: ModelIdentity
    quality: tuple[str, ...] = ()
    naming: Naming | None = None
    pinned: tuple[str, ...] = ()
    variant: str = ""
    spine: bool = True

    @cached_property
    def digest(self) -> str:
        """What stands for the label map where it must not be taken for another."""
        labels = np.ascontiguousarray(self.label_map.labels)
        return hashlib.blake2b(labels.data, digest_size=16).hexdigest()

    @property
    def level_identification(self) -> LevelIdentification | None:
        """How sure the names are, for the report; None where nobody can say."""
        if self.naming is None:
            return LevelIdentification(None, "", self.pinned) if self.pinned else None
        others = self.naming.hypotheses[1:]
        return LevelIdentification(
            self.naming.margin, others[0].words if others else "", self.pinned, self.naming.uncertain
        )


class Segmenter(Protocol):
    """Anything that turns a volume into named structures."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        ...

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If no spine is found, or the volume cannot be segmented (too small, constant).
        """
        ...
