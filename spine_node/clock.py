"""Notices that somebody has set the machine's clock: what waits or ages by it must not believe the new time.

Only a step of the clock while the process lives is seen; time that passed while it did not is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class ClockWatch:
    """Compares the clock that people set with the one that nobody sets.

    Parameters
    ----------
    wall, steady : callable
        Seconds by either.

    Examples
    --------
    >>> wall, steady = iter([100.0, 110.0, 5000.0]), iter([0.0, 10.0, 20.0])
    >>> watch = ClockWatch(wall.__next__, steady.__next__)
    >>> watch.step_s(), watch.step_s()
    (0.0, 4880.0)
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _ahead: float = field(init=False)

    def __post_init__(self) -> None:
        self._ahead = self.wall() - self.steady()

    def step_s(self) -> float:
        """By how many seconds the clock was set since this was last asked; below 0 when it was set back."""
        before, self._ahead = self._ahead, self.wall() - self.steady()
        return self._ahead - before
