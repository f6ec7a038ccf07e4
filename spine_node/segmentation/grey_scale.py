"""Grey values on a scale of their own: tissue near 0, dense bone near 1, whatever the scanner.

Cone-beam values are no Hounsfield units, so only their order is trusted: air, tissue, bone, metal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.errors import SeriesRefused

CLIP = 3.0
"""Largest scaled grey value kept: metal and rims stay metal, everything else keeps its range."""

LEAST_TISSUE = 0.1
"""Share of a field that a patient usually fills, or more: what is brighter than air and rarer may be
metal alone."""

RARE_TISSUE = 0.05
"""Share down to which a slim patient in a wide field is believed, if no metal explains it."""

SURE_TISSUE = 0.25
"""Share from which it surely is a patient in air, and not bone in soft tissue."""

LEAST_GAP = 0.7
"""Air lies at least this far below tissue, where dense bone lies 1 above it (usually 1.0 to 3): nearer,
either the top is metal or what was taken for air is soft tissue."""

CLEAR_OF_AIR = 5.0
"""Gap between air and tissue over the scatter of tissue (scaled MAD). Fat and muscle are closer."""

TRIMMED = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Shares of the brightest voxels that are tried as metal, least first."""

METAL = 2.0
"""Brighter above tissue than this many times the gap down to air (2000 HU) is metal: the densest bone has
1600."""

LEAST_PADDING = 0.03
"""Share of a volume that one exact value must fill, all corners included, to be padding."""


def scaled(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Grey values on a scale of their own: cone-beam values are no Hounsfield units.

    Air is told from tissue by Otsu's threshold; then tissue's median becomes 0 and its 99.5th
    percentile 1. Where much metal or a field without air would spoil that, metal is left out, or
    all is tissue. Outside the volume the value is that of its darkest half per cent.

    Raises
    ------
    SeriesRefused
        If all values are the same.
    """
    seen = values[inside]
    low, high = (float(v) for v in np.percentile(seen, (0.5, 99.9))) if len(seen) else (0.0, 0.0)
    # Interpolating one value may change its last digits: that is no image either.
    if not high - low > 1e-5 * max(abs(low), abs(high)):
        raise SeriesRefused(
            f"every grey value is {low:g} (0.5th to 99.9th percentile): there is no image. "
            "Nothing was segmented."
        )
    middle, dense = _tissue_range(values, inside)
    width = max(dense - middle, (high - low) * 1e-3)
    result = np.clip((values - middle) / width, -CLIP, CLIP).astype(np.float32)
    result[~inside] = np.float32(np.clip((low - middle) / width, -CLIP, CLIP))
    return result


@dataclass(frozen=True, slots=True)
class _Split:
    """Air and tissue: median and 99.5th percentile of tissue, and what tells whether it is that."""

    middle: float
    dense: float
    gap: float
    scatter: float
    share: float

    @classmethod
    def of(cls, seen: NDArray[np.float32]) -> _Split | None:
        low, high = (float(v) for v in np.percentile(seen, (0.5, 99.9)))
        bright = seen > _otsu(np.clip(seen, low, high))
        tissue, air = seen[bright], seen[~bright]
        if not (len(tissue) and len(air)):
            return None
        middle, dense = (float(v) for v in np.percentile(tissue, (50, 99.5)))
        scatter = 1.4826 * float(np.median(np.abs(tissue - middle)))
        return cls(middle, dense, middle - float(np.median(air)), scatter, len(tissue) / len(seen))

    @property
    def plausible(self) -> bool:
        return self.gap >= LEAST_GAP * (self.dense - self.middle)

    @property
    def certain(self) -> bool:
        return self.plausible and self.share >= SURE_TISSUE and self.gap >= CLEAR_OF_AIR * self.scatter


def _tissue_range(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """What becomes 0 and 1."""
    seen = values[inside]
    first = _Split.of(seen)
    if first is not None and first.plausible and first.share >= LEAST_TISSUE:
        return first.middle, first.dense
    for share in TRIMMED:
        split = _Split.of(seen[seen <= np.quantile(seen, 1 - share)])
        if split is not None and split.certain:
            limit = split.middle + METAL * split.gap
            above = split.middle - split.gap / 2
            return _without_metal(values, inside & (values > above), limit)
    if first is not None and first.plausible and first.share >= RARE_TISSUE:
        return first.middle, first.dense
    # No air in the field: a threshold would part bone from soft tissue.
    middle, bone = (float(v) for v in np.percentile(seen, (50, 97)))
    return _without_metal(values, inside, middle + 3 * (bone - middle))


def _without_metal(
    values: NDArray[np.float32], tissue: NDArray[np.bool_], limit: float
) -> tuple[float, float]:
    """Median and 99.5th percentile of tissue away from metal, which is brighter than `limit`."""
    metal = ndimage.binary_dilation(tissue & (values > limit), iterations=2)
    kept = values[tissue & ~metal]
    middle, dense = np.percentile(kept if len(kept) else values[tissue], (50, 99.5))
    return float(middle), float(dense)


def padding(values: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Voxels that a scanner filled with one value which is neither air nor tissue; None without any.

    A cylinder in a field of -3024 has another darkness than air, one in a field of 0 would be tissue.
    Padding as dark as air does no harm, and is all the air there is in a field within the body.
    """
    corners = values[tuple(slice(None, None, max(n - 1, 1)) for n in values.shape)]
    value = float(corners.flat[0])
    # Blocks of one value: their means may differ in the last digit.
    near = 1e-5 * max(1.0, abs(value))
    if np.ptp(corners) > near:
        return None
    padded = np.abs(values - value) <= near
    if not LEAST_PADDING <= padded.mean() < 1:
        return None
    rest = values[~padded]
    split = _Split.of(rest)
    if split is None or not split.certain:
        return None
    low, high = np.percentile(rest, (0.5, 99.9))
    darker_than_air = value < low - 0.25 * (high - low)
    return padded if darker_than_air or value > split.middle - split.gap / 2 else None


def _otsu(values: NDArray[np.float32]) -> float:
    """Otsu, IEEE Trans SMC 1979: the threshold with the largest variance between its two sides."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = total / below - (total[-1] - total) / above
    between = np.nan_to_num(below * above * gap**2)
    return float(edges[1:][int(np.argmax(between))])
