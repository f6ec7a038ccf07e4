"""How far apart vertebrae are, how they bend and turn in people who lie: facts of a public survey.

`python -m spine_node.phantom.prior vid_gt.npz` computes the table below again from keypoints of real CT.
The figures kept here are those of VID (2116 CT, body centres and pedicles; Bürgin, Prevost and Stollenga,
"Robust vertebra identification using simultaneous node and edge predicting graph neural networks", 2023;
github.com/ImFusionGmbH/VID-vertebra-identification-dataset, CC BY-SA 4.0). None of its data is here. Its
people lie, so `STANDING_LORDOSIS_DEG` is what standing adds; and the points that it calls C1 and C2 lie
elsewhere than the centroids of their bodies, so the two highest distances are no guide.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node.errors import Refused

LEVELS: tuple[str, ...] = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 7)),
)
"""Levels of the survey, cranial to caudal: the second axis of its array."""

TRIM = 1.0
"""Per cent at either end of each distribution that is left out: some of its labels are one level off."""

FEWEST = 20
"""Spines that a figure rests on at least."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over `n` spines."""

    mean: float
    sd: float
    n: int


SPACING_MM: dict[str, Spread] = {
    "C1-C2": Spread(17.4, 1.8, 65),
    "C2-C3": Spread(24.6, 2.4, 66),
    "C3-C4": Spread(17.8, 1.5, 70),
    "C4-C5": Spread(17.2, 1.5, 71),
    "C5-C6": Spread(16.9, 1.7, 79),
    "C6-C7": Spread(17.8, 2.1, 87),
    "C7-T1": Spread(19.9, 1.9, 114),
    "T1-T2": Spread(20.9, 1.7, 158),
    "T2-T3": Spread(21.0, 1.5, 171),
    "T3-T4": Spread(21.0, 1.4, 164),
    "T4-T5": Spread(21.6, 1.4, 156),
    "T5-T6": Spread(22.1, 1.5, 156),
    "T6-T7": Spread(22.6, 1.7, 192),
    "T7-T8": Spread(23.3, 1.6, 280),
    "T8-T9": Spread(24.0, 1.8, 565),
    "T9-T10": Spread(25.4, 1.9, 1082),
    "T10-T11": Spread(27.3, 2.1, 1593),
    "T11-T12": Spread(29.6, 2.2, 1874),
    "T12-L1": Spread(32.3, 2.3, 1964),
    "L1-L2": Spread(34.5, 2.3, 2002),
    "L2-L3": Spread(35.8, 2.5, 1965),
    "L3-L4": Spread(36.5, 2.5, 1922),
    "L4-L5": Spread(36.3, 2.8, 1849),
    "L5-L6": Spread(36.7, 2.7, 46),
}
"""Between the body centres of neighbours."""

LYING_BEND_DEG: dict[str, Spread] = {
    "C2": Spread(-10.2, 6.7, 65),
    "C3": Spread(3.7, 4.8, 66),
    "C4": Spread(2.7, 5.6, 70),
    "C5": Spread(0.7, 7.7, 71),
    "C6": Spread(5.6, 8.9, 79),
    "C7": Spread(6.6, 8.0, 86),
    "T1": Spread(0.1, 5.2, 107),
    "T2": Spread(-1.6, 3.8, 143),
    "T3": Spread(-4.8, 3.4, 162),
    "T4": Spread(-4.9, 2.9, 153),
    "T5": Spread(-5.5, 2.6, 150),
    "T6": Spread(-6.5, 2.9, 154),
    "T7": Spread(-5.7, 3.6, 191),
    "T8": Spread(-2.6, 3.5, 279),
    "T9": Spread(-1.2, 4.1, 565),
    "T10": Spread(-0.8, 4.1, 1081),
    "T11": Spread(-0.6, 3.9, 1584),
    "T12": Spread(-0.5, 3.9, 1868),
    "L1": Spread(-1.1, 3.5, 1960),
    "L2": Spread(2.6, 3.9, 1961),
    "L3": Spread(7.5, 4.2, 1921),
    "L4": Spread(13.0, 5.1, 1849),
    "L5": Spread(20.9, 6.5, 46),
}
"""Sagittal turn of the line of centres at a body, lying; lordosis is positive."""

ROTATION_DEG: dict[str, Spread] = {
    "C1": Spread(-1.3, 17.2, 65),
    "C2": Spread(-0.5, 4.7, 66),
    "C3": Spread(-0.3, 7.7, 70),
    "C4": Spread(1.0, 7.8, 71),
    "C5": Spread(0.3, 6.8, 79),
    "C6": Spread(2.9, 11.5, 87),
    "C7": Spread(5.9, 19.5, 115),
    "T1": Spread(0.9, 6.8, 165),
    "T2": Spread(-0.0, 5.4, 186),
    "T3": Spread(1.3, 3.2, 173),
    "T4": Spread(1.4, 3.0, 167),
    "T5": Spread(0.9, 3.1, 162),
    "T6": Spread(0.3, 3.2, 194),
    "T7": Spread(-0.1, 2.9, 281),
    "T8": Spread(0.4, 3.0, 566),
    "T9": Spread(0.4, 2.9, 1082),
    "T10": Spread(-0.2, 2.5, 1594),
    "T11": Spread(-0.9, 2.3, 1882),
    "T12": Spread(-1.2, 2.3, 1967),
    "L1": Spread(-0.4, 2.3, 2005),
    "L2": Spread(0.3, 2.3, 2005),
    "L3": Spread(0.7, 2.4, 1965),
    "L4": Spread(1.0, 2.9, 1918),
    "L5": Spread(0.5, 3.4, 1843),
    "L6": Spread(-0.8, 5.1, 45),
}
"""Axial rotation against the spine's own median, with the noise of its keypoints; left is positive."""

SPACING_LAG = (0.68, 0.62, 0.57, 0.53, 0.52, 0.50)
"""Correlation of spacings 1, 2, 3 ... levels apart: half of their spread is the size of the person."""

STANDING_LORDOSIS_DEG = 13.0
"""What standing adds to the lordosis T12-S1: 49.8 against 36.8 degrees, 627 adults (PMC6680033)."""

STANDING_BEND_DEG = 7.0
"""The part of it in the line of centres L2 to L4: 8.6 of the 13 lie above L4, one disc of four above L1."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What a survey of keypoints says.

    Attributes
    ----------
    spacing_mm : dict of pair ("L1-L2") to Spread
        Between body centres of neighbours.
    bend_deg : dict of level to Spread
        Sagittal turn of the line of centres at a body, lordosis positive, lying.
    rotation_deg : dict of level to Spread
        Axial rotation against the spine's own median, to the left positive.
    lag : tuple of float
        Correlation of the spacings (as deviations from their means) of pairs 1, 2, 3 ... levels apart.
    """

    spacing_mm: dict[str, Spread]
    bend_deg: dict[str, Spread]
    rotation_deg: dict[str, Spread]
    lag: tuple[float, ...]


def survey(npz: Path) -> Prior:
    """Compute the prior from keypoints.

    Parameters
    ----------
    npz : Path
        Holds `xyz`, shape (spines, len(LEVELS), 3, 3): body centre, left and right pedicle of each level
        in LPS, mm, NaN where there is none.

    Raises
    ------
    Refused
        If there is no such array.
    """
    with np.load(npz, allow_pickle=False) as found:
        names = sorted(found.files)
        xyz = found["xyz"].astype(np.float64) if "xyz" in names else np.zeros(0)
    if xyz.ndim != 4 or xyz.shape[1:] != (len(LEVELS), 3, 3):
        raise Refused(
            f"{npz} holds {', '.join(names) or 'nothing'} with xyz of shape {xyz.shape}; expected an array "
            f"xyz of shape (spines, {len(LEVELS)}, 3, 3): body centre, left and right pedicle. "
            "No prior was computed."
        )
    centre = xyz[:, :, 0]
    chord = np.diff(centre, axis=1)
    spacing = np.linalg.norm(chord, axis=2)
    slope = np.degrees(np.arctan2(chord[..., 1], -chord[..., 2]))  # of the way down: backwards is positive
    across = xyz[:, :, 1] - xyz[:, :, 2]
    turned = np.degrees(np.arctan2(across[..., 1], across[..., 0]))
    with np.errstate(all="ignore"):
        turned = turned - np.nanmedian(turned, axis=1, keepdims=True)
    pairs = [f"{a}-{b}" for a, b in itertools.pairwise(LEVELS)]
    return Prior(
        _spreads(pairs, spacing),
        _spreads(LEVELS[1:-1], np.diff(slope, axis=1)),
        _spreads(LEVELS, turned),
        _lag(spacing),
    )


def _kept(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values without NaN and without the tails."""
    values = values[np.isfinite(values)]
    if len(values) < FEWEST:
        return values
    low, high = np.percentile(values, [TRIM, 100 - TRIM])
    return np.asarray(values[(values >= low) & (values <= high)])


def _spreads(names: list[str] | tuple[str, ...], columns: NDArray[np.float64]) -> dict[str, Spread]:
    found = {}
    for name, column in zip(names, columns.T, strict=True):
        kept = _kept(column)
        if len(kept) >= FEWEST:
            found[name] = Spread(float(kept.mean()), float(kept.std(ddof=1)), len(kept))
    return found


def _lag(spacing: NDArray[np.float64], most: int = 6) -> tuple[float, ...]:
    z = np.full(spacing.shape, np.nan)
    for k, column in enumerate(spacing.T):
        kept = _kept(column)
        if len(kept) >= FEWEST:
            inside = (column >= kept.min()) & (column <= kept.max())
            z[inside, k] = (column[inside] - kept.mean()) / kept.std()
    out = []
    for lag in range(1, most + 1):
        a, b = z[:, :-lag].ravel(), z[:, lag:].ravel()
        both = np.isfinite(a) & np.isfinite(b)
        out.append(float(np.corrcoef(a[both], b[both])[0, 1]) if both.sum() >= FEWEST else float("nan"))
    return tuple(out)


def table(prior: Prior) -> str:
    """The figures as they stand in this module."""
    lines: list[str] = []
    for name, rows in (
        ("SPACING_MM", prior.spacing_mm),
        ("LYING_BEND_DEG", prior.bend_deg),
        ("ROTATION_DEG", prior.rotation_deg),
    ):
        lines += [f"{name} = {{"]
        lines += [f'    "{key}": Spread({s.mean:.1f}, {s.sd:.1f}, {s.n}),' for key, s in rows.items()]
        lines += ["}"]
    return "\n".join([*lines, f"SPACING_LAG = ({', '.join(f'{r:.2f}' for r in prior.lag)})", ""])


if __name__ == "__main__":
    sys.stdout.write(table(survey(Path(sys.argv[1]))))
