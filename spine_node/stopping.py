"""SIGTERM and SIGINT as an event to wait for: how every process of the node is asked to end."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def stop_signals() -> threading.Event:
    """An event that the signals set, from now on and in the place of what they did before."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping
