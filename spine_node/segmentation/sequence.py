"""Bodies found, laid along numbered columns: the best of all ways, and the best through each place.

Max-product dynamic programming over (numbering, size of the patient, slip of the net, place in the
column), all at once. Places are counted in half vertebrae: a body at an odd one is two in one piece.
No torch, no words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import LEVELS
from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.columns import COLUMNS, HALF_STEPS, PLACES, READING, SLIPS
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.numbering import NUMBERINGS

SPACING_SPREAD = 0.13
"""Standard deviation of a distance as a share of it: more than the scans' 7 %, because a kyphotic or
scoliotic spine is measured along chords."""

SIZES = np.arange(0.7, 1.36, 0.05)
"""Sizes of a patient's spine that are tried, relative to the table."""

SIZE_SPREAD = 0.12
"""Usual spread of that size."""

FURTHEST = 12.0
"""Most that one odd distance may cost: beyond it, how odd it is says nothing more."""

FURTHEST_AT_END = 3.0
"""The same for the first and last distance when it is short: a body that the field cuts seems nearer."""

MISSED = 5.0
"""Price of a body that must be there but was not found."""

DROPPED = 4.0
"""Price of calling a body that was found no vertebra."""

MERGED = 7.0
"""Price of taking one body for two that were not told apart."""

WITNESS = 0.6
"""What the reading of one body counts: neighbours are read from the same surroundings."""

WITNESS_PINNED = 0.1
"""The same beside a pin: who fixes a level says that the net misread the spine, by however many levels.
What is left still tells a missed vertebra from a long distance."""

READING_FLOOR = -4.5
"""Least log probability one body may bring: a net is never surer than that it may err."""

SLIP = 3.0
"""Price of a stretch of bodies that the net reads one level off: it errs coherently, not body by body."""

SLIP_AT_NECK = 4.0
"""Added when the stretch begins at a body above which the field is open: C1 and C2 look like no other. No
such price holds on the sacrum: with four or six lumbar vertebrae a net calls the last one L5 too."""

MISSED_ABOVE = 2.5
"""Price of each vertebra that should be seen between the first body and the upper border of the field,
and was not found: cervical ones are small, and the border is noisy."""

MISSED_ABOVE_MOST = 8.0
"""Most that these cost together: nobody may be there at all (hair, head rest)."""

ROOM_ABOVE_MM = 25.0
"""Distance from a body's centre to the border within which the next one above would not be whole."""

OPEN_ABOVE_MM = 45.0
"""Such distance shows that no vertebra is above: the column begins there."""

ANCHORED_MM = 45.0
"""Nearer to the sacrum than this, a body lies on it."""

SACRUM_GAP_MM, SACRUM_GAP_SPREAD_MM = 22.0, 7.0
"""Usual distance from the centre of the lowest vertebra to the sacrum, and its spread."""

MISPLACED = 9.0
"""Most that the sacrum says against a naming: what looks like one may be something else."""

_NO_WAY = -1e6
_DROPS = 2  # at most so many in a row between two vertebrae; with pins, also before and after all
_SLIP_PRICE = SLIP * np.abs(np.subtract.outer(SLIPS, SLIPS))
_N = len(NUMBERINGS)


@dataclass(frozen=True, slots=True)
class Path:
    """One whole naming: where in which numbering each body lies.

    Attributes
    ----------
    numbering : int
        Index into `NUMBERINGS`.
    places : tuple of int or None
        Half vertebrae from C1; odd: two vertebrae in one piece; None: no vertebra.
    score : float
        Nats; only differences mean something.
    """

    numbering: int
    places: tuple[int | None, ...]
    score: float

    @property
    def levels(self) -> tuple[str | None, ...]:
        """The name of each body; the upper one's for two in one piece."""
        names = NUMBERINGS[self.numbering].levels
        return tuple(None if p is None else names[p // 2] for p in self.places)


class Lattice:
    """All ways to name the bodies of one spine, weighed.

    Parameters
    ----------
    evidence : Evidence
        At least one body.
    pins : mapping of int to str
        Bodies whose level is known; they are named so in every way, and the rest follows.
    """

    def __init__(self, evidence: Evidence, pins: Mapping[int, str] | None = None) -> None:
        self._evidence, self._pins = evidence, dict(pins or {})
        self._count = len(evidence.centres_mm)
        self._unary = self._readings()
        self._links = dict(self._all_links())
        shape = (_N, len(SIZES), len(SLIPS), PLACES)
        self._starting = [np.broadcast_to(self._starts(body), shape) for body in range(self._count)]
        self._ending = [np.broadcast_to(self._ends(body), shape) for body in range(self._count)]
        self._forward = self._from_above()
        self._backward = self._from_below()
        self.totals = self._forward + self._backward
        """Best of all ways that have a body at a place: (body, numbering, size, slip, place), nats."""

    def through(self, where: NDArray[np.bool_]) -> Path | None:
        """The best way with a body at one of these places, shape (body, numbering, place); None: no way."""
        allowed = np.where(where[:, :, None, None, :], self.totals, _NO_WAY)
        at = np.unravel_index(int(allowed.argmax()), allowed.shape)
        if allowed[at] <= _NO_WAY / 2:
            return None
        return self._traced(*(int(x) for x in at), score=float(allowed[at]))

    @property
    def level(self) -> NDArray[np.intp]:
        """Index into `LEVELS` of each (numbering, place), -1 where there is none."""
        return COLUMNS.level

    def _readings(self) -> FloatArray:
        """Log chance of what the net said of each body: (body, numbering, 1, slip, place)."""
        chance = np.exp(self._evidence.log_chance.astype(np.float64))
        said = np.maximum(np.log(np.einsum("nk,scvk->ncsv", chance, READING) + 1e-12), READING_FLOOR)
        counts = WITNESS_PINNED if self._pins else WITNESS
        result = np.full((self._count, _N, len(SLIPS), PLACES), _NO_WAY)
        result[..., ::2] = counts * said
        result[..., 1::2] = counts * 0.5 * (said[..., :-1] + said[..., 1:]) - MERGED
        result[np.broadcast_to((COLUMNS.level < 0)[None, :, None, :], result.shape)] = _NO_WAY
        whole = np.arange(PLACES) % 2 == 0
        for body, name in self._pins.items():
            right = (COLUMNS.level == LEVELS.index(name)) & whole
            result[body][np.broadcast_to(~right[:, None, :], result[body].shape)] = _NO_WAY
        return result[:, :, None]

    def _all_links(self) -> Iterator[tuple[tuple[int, int], FloatArray]]:
        """Log chance of going from body i to body j by each half step: (step, numbering, size, 1, place)."""
        expected = SIZES[:, None] * COLUMNS.distance[:, :, None, :]
        spread = SPACING_SPREAD * expected
        price = np.minimum(MISSED * COLUMNS.missed, -_NO_WAY)[:, :, None, :]
        for i in range(self._count):
            for j in range(i + 1, min(self._count, i + 2 + _DROPS)):
                if any(i < pinned < j for pinned in self._pins):
                    continue
                gap = float(np.linalg.norm(self._evidence.centres_mm[j] - self._evidence.centres_mm[i]))
                off = (gap - expected) / spread
                odd = np.minimum(0.5 * off**2, FURTHEST)
                if i == 0 or j == self._count - 1:
                    odd = np.where(off < 0, np.minimum(odd, FURTHEST_AT_END), odd)
                yield (i, j), (-odd - price - DROPPED * (j - i - 1))[:, :, :, None, :]

    def _starts(self, body: int) -> FloatArray:
        """What it costs that this body is the first vertebra: (numbering, size, slip, place)."""
        if any(pinned < body for pinned in self._pins) or (self._pins and body > _DROPS):
            return np.full((_N, 1, 1, 1), _NO_WAY)
        price = np.array([n.price for n in NUMBERINGS])[:, None, None, None] + DROPPED * body
        neck = self._evidence.above_mm is not None and self._evidence.above_mm > OPEN_ABOVE_MM
        slips = (SLIP + SLIP_AT_NECK * neck) * np.abs(SLIPS)[None, None, :, None]
        sizes = 0.5 * ((SIZES - 1) / SIZE_SPREAD)[None, :, None, None] ** 2
        return np.asarray(-(price + slips + sizes + self._unseen_above(body)))

    def _unseen_above(self, body: int) -> FloatArray:
        if self._evidence.above_mm is None:
            return np.zeros((_N, 1, 1, PLACES))
        centres = self._evidence.centres_mm
        room = self._evidence.above_mm + float(np.linalg.norm(centres[body] - centres[0])) - ROOM_ABOVE_MM
        whole = COLUMNS.along[:, ::2]
        up = COLUMNS.along[:, None, :] - whole[:, :, None]  # (numbering, vertebra above, place)
        with np.errstate(invalid="ignore"):
            unseen = ((up > 1.0) & (up < room)).sum(axis=1)
        return np.minimum(MISSED_ABOVE * unseen, MISSED_ABOVE_MOST)[:, None, None, :]

    def _ends(self, body: int) -> FloatArray:
        """What it costs that this body is the last vertebra: (numbering, size, 1, place)."""
        if any(pinned > body for pinned in self._pins) or (self._pins and body < self._count - 1 - _DROPS):
            return np.full((_N, 1, 1, 1), _NO_WAY)
        dropped = DROPPED * (self._count - 1 - body)
        gap = self._evidence.sacrum_gap_mm
        if gap is None:
            return np.full((_N, 1, 1, PLACES), -dropped)
        centres = self._evidence.centres_mm
        gap += float(np.linalg.norm(centres[-1] - centres[body]))
        left = (COLUMNS.last[:, None] - np.arange(PLACES)) // 2  # vertebrae between it and the sacrum
        to_last = COLUMNS.along[np.arange(_N), COLUMNS.last][:, None] - COLUMNS.along
        expected = SIZES[:, None] * (SACRUM_GAP_MM + to_last[:, None, :])
        spread = np.hypot(SACRUM_GAP_SPREAD_MM, SPACING_SPREAD * (expected - SACRUM_GAP_MM))
        odd = np.minimum(0.5 * ((gap - expected) / spread) ** 2 + MISSED * left[:, None, :], MISPLACED)
        return np.nan_to_num(-odd - dropped, nan=_NO_WAY)[:, :, None, :]

    def _from_above(self) -> FloatArray:
        shape = (self._count, _N, len(SIZES), len(SLIPS), PLACES)
        result = np.empty(shape)
        slipped = np.empty(shape)
        for j in range(self._count):
            best = self._starting[j].copy()
            for i in range(max(0, j - 1 - _DROPS), j):
                if (i, j) not in self._links:
                    continue
                for step, link in zip(HALF_STEPS, self._links[i, j], strict=True):
                    way = slipped[i][..., :-step] + link[..., :-step]
                    np.maximum(best[..., step:], way, out=best[..., step:])
            result[j] = best + self._unary[j]
            slipped[j] = _slipped(result[j])
        return result

    def _from_below(self) -> FloatArray:
        shape = (self._count, _N, len(SIZES), len(SLIPS), PLACES)
        result = np.empty(shape)
        onward = np.empty(shape)
        for i in reversed(range(self._count)):
            best = self._ending[i].copy()
            for j in range(i + 1, min(self._count, i + 2 + _DROPS)):
                if (i, j) not in self._links:
                    continue
                for step, link in zip(HALF_STEPS, self._links[i, j], strict=True):
                    way = onward[j][..., step:] + link[..., :-step]
                    np.maximum(best[..., :-step], way, out=best[..., :-step])
            result[i] = best
            onward[i] = _slipped(best + self._unary[i])
        return result

    def _traced(self, body: int, c: int, size: int, slip: int, place: int, *, score: float) -> Path:
        """The way behind one entry of `totals`: up to its first body, and down to its last."""
        places: list[int | None] = [None] * self._count
        places[body] = place
        here: tuple[int, int, int] | None = (body, slip, place)
        while here := self._before(*here, c, size):
            places[here[0]] = here[2]
        here = body, slip, place
        while here := self._after(*here, c, size):
            places[here[0]] = here[2]
        return Path(c, tuple(places), score)

    def _before(self, j: int, s: int, p: int, c: int, size: int) -> tuple[int, int, int] | None:
        """Body, slip and place that the best way comes from; None where it begins."""
        best, choice = self._starting[j][c, size, s, p], None
        for i in range(max(0, j - 1 - _DROPS), j):
            if (i, j) in self._links:
                link = self._links[i, j][:, c, size, 0]
                for h, step in enumerate(HALF_STEPS[: max(0, p - 1)]):
                    ways = self._forward[i, c, size, :, p - step] - _SLIP_PRICE[:, s]
                    if (value := ways.max() + link[h, p - step]) > best:
                        best, choice = value, (i, int(ways.argmax()), p - step)
        return choice

    def _after(self, i: int, s: int, p: int, c: int, size: int) -> tuple[int, int, int] | None:
        """Body, slip and place that the best way goes on to; None where it ends."""
        best, choice = self._ending[i][c, size, s, p], None
        for j in range(i + 1, min(self._count, i + 2 + _DROPS)):
            if (i, j) in self._links:
                link = self._links[i, j][:, c, size, 0, p]
                for h, step in enumerate(HALF_STEPS):
                    if p + step < PLACES:
                        onward = self._backward[j, c, size, :, p + step] + self._unary[j, c, 0, :, p + step]
                        ways = onward - _SLIP_PRICE[s]
                        if (value := ways.max() + link[h]) > best:
                            best, choice = value, (j, int(ways.argmax()), p + step)
        return choice


def _slipped(score: FloatArray) -> FloatArray:
    """Best over slips that begin or end here, axis -2."""
    middle = np.maximum(score[..., 1, :], np.maximum(score[..., 0, :], score[..., 2, :]) - SLIP)
    result = np.maximum(score, (middle - SLIP)[..., None, :])
    result[..., 1, :] = middle
    return result
