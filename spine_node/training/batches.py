"""Batches of patches: a step's follow from its number alone, and are made ahead where that pays.

On a CPU the cores are busy with the net, and patches are cut between two steps. Beside a GPU threads cut
those of the next steps meanwhile (numpy and torch let other threads run), into pinned memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from spine_node.training.augment import Patch

AHEAD = 2
"""Steps that each thread is ahead of the net."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Patches side by side; see `augment.Patch` for what each tensor holds, here with a first axis more."""

    image: Tensor
    tissue: Tensor
    offset: Tensor | None = None
    level: Tensor | None = None

    @classmethod
    def of(cls, patches: Sequence[Patch]) -> Batch:
        """Stack patches of one size."""
        columns = [[getattr(patch, field.name) for patch in patches] for field in fields(cls)]
        return cls(*(None if column[0] is None else torch.stack(column) for column in columns))

    def pinned(self) -> Batch:
        """In memory from which a GPU copies while it computes."""
        return self._each(Tensor.pin_memory)

    def to(self, place: torch.device) -> Batch:
        """On this device."""
        return self._each(lambda tensor: tensor.to(place, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = [getattr(self, field.name) for field in fields(self)]
        return Batch(*(None if value is None else change(value) for value in values))


class Batches:
    """The batch of each step.

    Parameters
    ----------
    patches : callable
        From the number of a step to its patches; called from several threads.
    threads : int
        That make batches ahead; 0: made when they are asked for.
    pin : bool
        Whether to put them into pinned memory.
    """

    def __init__(self, patches: Callable[[int], Sequence[Patch]], *, threads: int, pin: bool) -> None:
        self._patches, self._pin = patches, pin
        # One core each: every thread would otherwise start as many of its own as there are cores.
        self._pool = (
            ThreadPoolExecutor(threads, "patches", initializer=torch.set_num_threads, initargs=(1,))
            if threads
            else None
        )
        self._coming: dict[int, Future[Batch]] = {}
        self._reach = AHEAD * threads

    def take(self, step: int) -> Batch:
        """The batch of this step; those of the next ones are begun."""
        if self._pool is None:
            return self._make(step)
        for ahead in range(step, step + self._reach + 1):
            if ahead not in self._coming:
                self._coming[ahead] = self._pool.submit(self._make, ahead)
        return self._coming.pop(step).result()

    def _make(self, step: int) -> Batch:
        batch = Batch.of(self._patches(step))
        return batch.pinned() if self._pin else batch

    def close(self) -> None:
        """Make no more."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
