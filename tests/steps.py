"""How much work a call is: steps of Python and of SQLite, the same on every machine, however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import sqlalchemy as sa


@dataclass
class Steps:
    """Instructions that the interpreter and the database have run."""

    number: int = 0


def steps_of(call: Callable[[], object]) -> int:
    """What a call costs once it is in the swing: the first one compiles queries and fills caches."""
    call()
    with counted() as steps:
        call()
    return steps.number


@contextmanager
def counted() -> Iterator[Steps]:
    """Counts the instructions of this thread, in Python and in every SQLite database; what is in C is not."""
    steps = Steps()

    def of_database() -> int:
        steps.number += 1
        return 0

    def of_python(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is of_database.__code__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps.number += event == "opcode"
        return of_python

    def lent(connection: Any, *_: Any) -> None:
        ours = sys.gettrace() is of_python  # other threads have connections of their own at the same time
        connection.set_progress_handler(of_database if ours else None, 1)

    before = sys.gettrace()
    sa.event.listen(sa.Pool, "checkout", lent)
    sys.settrace(of_python)
    try:
        yield steps
    finally:
        sys.settrace(before)
        sa.event.remove(sa.Pool, "checkout", lent)
