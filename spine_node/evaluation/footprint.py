"""What a piece of work takes: the highest resident memory while it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Footprint:
    """Measures the process (and its GPU) between entry and exit.

    Attributes
    ----------
    peak_mib : float or None
        Highest resident memory of this process meanwhile, MiB; None where the system cannot tell it for a
        part of the process's life (only Linux can).
    gpu_mib : float or None
        Highest memory that torch held on the GPU; None without one.
    """

    def __init__(self) -> None:
        self.peak_mib: float | None = None
        self.gpu_mib: float | None = None

    def __enter__(self) -> Footprint:
        try:
            _RESET.write_text("5")  # man 5 proc: the peak starts again from the present size
            self._can = True
        except OSError:
            self._can = False
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._can:
            line = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM"))
            self.peak_mib = round(int(line.split()[1]) / 1024, 1)
        if (cuda := _cuda()) is not None:
            self.gpu_mib = round(cuda.max_memory_allocated() / 2**20, 1)


def _cuda():  # type: ignore[no-untyped-def]
    """torch.cuda where torch is in use already and sees a GPU: nobody else imports it for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
