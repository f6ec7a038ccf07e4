"""What a segmenter is: the one seam where models plug in. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spine_node.imaging.volume import LabelMap, Volume
from spine_node.segmentation.levels import Naming

Progress = Callable[[float, str], None]
"""Called with the fraction done (0..1) and a few words."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a label map: written into SEG and SR, and into result UIDs.

    `sha256` is that of the weights file.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
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
    """

    label_map: LabelMap
    model: ModelIdentity
    quality: tuple[str, ...] = ()
    naming: Naming | None = None


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
