"""What a segmenter is evaluated on: one scan and what is known of it.

Phantoms have an exact truth. Labelled scans have a reference that somebody drew, or only body centres
that somebody marked: a figure on them says how far two readers agree, not how right one is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spine_node.evaluation.identification import body_centres
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.parameters.model import Measurements

TEST_SEED, STRESS_SEED, TEMPLATE_SEED = 2_000_000, 3_000_000, 4_000_000
"""First seeds of the phantoms that nobody trains on; training and validation stay below."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One examination with what is known of it.

    Attributes
    ----------
    volume : Volume
    truth : LabelMap, optional
        On the grid of the volume, 255 where nobody annotated; None where only centres are known.
    centres : dict of level to ndarray, shape (3,)
        Marked body centres, LPS mm, where there is no label map.
    parameters : Measurements, optional
        Exact for phantoms, measured on the reference labels for scans.
    untrusted : frozenset of int
        Label values that were made unknown in `truth`: of such a vertebra only the rest is compared.
    """

    volume: Volume
    truth: LabelMap | None
    centres: dict[str, FloatArray]
    parameters: Measurements | None
    untrusted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """A scan that is made or read when its turn comes.

    Attributes
    ----------
    group : str
        Its set, one of `sets.WHAT`.
    name : str
        Unique in its set; names files.
    make : callable
    stamp : str
        Changes with the files it is read from.
    about : str
        A sentence on what was left out of it, or how it was made, that its figures need.
    """

    group: str
    name: str
    make: Callable[[], Scan]
    stamp: str = ""
    about: str = ""


def true_centres(scan: Scan, labels: np.ndarray | None) -> dict[str, FloatArray]:
    """Body centres of a scan: of its (scored) labels where it has some, else as marked."""
    return dict(scan.centres) if labels is None else body_centres(labels, scan.volume.grid)
