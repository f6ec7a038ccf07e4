"""Which voxels are which vertebra: bodies and posterior elements cut out of a label map."""

from __future__ import annotations

from dataclasses import dataclass

from spine_node.anatomy.levels import LEVEL_OF_VALUE, POSTERIOR_OFFSET, VERTEBRA_VALUES, order
from spine_node.imaging.components import Blob, cut_out
from spine_node.imaging.volume import Box, FloatArray, LabelMap

SMALLEST_BODY_MM3 = 600.0
"""Less than a quarter of a newborn's cervical body: such a piece is a splinter, not a vertebra."""

POSTERIOR_KEEP_FRACTION = 0.15
"""Laminae come apart in coarse label maps; smaller splinters are dropped."""

WORTH_SAYING = 0.02
"""Fraction of a structure in islands from which the report mentions them."""

EDGE_AREA_MM2 = 20.0
"""A structure that touches the volume's border with more than this is cut by it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The voxels of one vertebra.

    Attributes
    ----------
    level : str
    body : Blob
    posterior : Blob or None
        Posterior elements; None where the label map does not separate or show them.
    centre_mm : ndarray, shape (3,)
        Centroid of the body, LPS.
    posterior_centre_mm : ndarray, shape (3,), or None
        Centroid of the posterior elements, LPS.
    """

    level: str
    body: Blob
    posterior: Blob | None
    centre_mm: FloatArray
    posterior_centre_mm: FloatArray | None


def vertebrae_in(
    label_map: LabelMap, found: dict[int, Box]
) -> tuple[tuple[Pieces, ...], dict[str, str], tuple[str, ...]]:
    """Every vertebra that the label map shows, cranial to caudal.

    Returns
    -------
    pieces : tuple of Pieces
    missing : dict
        Reasons, as in `Spine.missing`.
    quality : tuple of str
        Sentences on islands that were left out.
    """
    pieces: list[Pieces] = []
    missing: dict[str, str] = {}
    quality: list[str] = []
    for value in sorted(set(found) & set(LEVEL_OF_VALUE), key=lambda v: order(LEVEL_OF_VALUE[v])):
        level = LEVEL_OF_VALUE[value]
        if level == "C1":
            missing[level] = "C1 has no body and is not measured"
            continue
        body = cut_out(label_map, value, found[value])
        if body.volume_mm3 < SMALLEST_BODY_MM3:
            missing[level] = (
                f"{level} has only {body.volume_mm3:.0f} mm3 in the label map, too little for a vertebra"
            )
            continue
        _mention_islands(quality, f"{level} body", body)
        posterior = None
        behind: FloatArray | None = None
        if value + POSTERIOR_OFFSET in found:
            posterior = cut_out(
                label_map,
                value + POSTERIOR_OFFSET,
                found[value + POSTERIOR_OFFSET],
                keep_fraction=POSTERIOR_KEEP_FRACTION,
            )
            _mention_islands(quality, f"{level} posterior elements", posterior)
            behind = posterior.centre_mm
        pieces.append(Pieces(level, body, posterior, body.centre_mm, behind))
    return tuple(pieces), missing, tuple(quality)


def absent_levels(pieces: tuple[Pieces, ...]) -> dict[str, str]:
    """Reasons for the levels between the highest and the lowest seen that are not there."""
    seen = {p.level for p in pieces}
    positions = [order(level) for level in seen]
    return {
        level: f"{level} is not in the label map, though vertebrae above and below it are"
        for level in VERTEBRA_VALUES
        if positions
        and level not in seen
        and level not in ("T13", "L6")
        and min(positions) < order(level) < max(positions)
    }


def _mention_islands(quality: list[str], name: str, blob: Blob) -> None:
    if blob.dropped > WORTH_SAYING:
        quality.append(f"{name}: {100 * blob.dropped:.0f} % of its voxels lie apart and were left out.")
