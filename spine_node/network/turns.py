"""Taking turns at receiving: one thread of a process at a time works on what has come, until it must wait.

Threads that all work at once hand the interpreter from one to another at every call to the system, dozens of
times an instance. With turns an instance is worked on in one go. A turn ends where its thread waits, for the
peer or for the disk.

It is a courtesy, no lock on anything: who has waited `LONGEST_WAIT_S` goes on without, so that a slow disk,
or a peer that sends without a pause, holds up nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_S = 0.05
"""Some twenty instances of CT."""

_one = threading.Lock()
_mine = threading.local()


@contextmanager
def turn() -> Iterator[None]:
    """Work in turn."""
    _mine.held = _one.acquire(timeout=LONGEST_WAIT_S)
    try:
        yield
    finally:
        _give_up()


@contextmanager
def waiting() -> Iterator[None]:
    """Let others have the turn, if this thread has it, while it waits for something."""
    held = _give_up()
    try:
        yield
    finally:
        if held:
            _mine.held = _one.acquire(timeout=LONGEST_WAIT_S)


def _give_up() -> bool:
    held = getattr(_mine, "held", False)
    if held:
        _mine.held = False
        _one.release()
    return held
