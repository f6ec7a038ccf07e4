"""Which device a net runs on."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from spine_node.errors import ConfigRefused


def device_of(name: str) -> torch.device:
    """The device of this name: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    ConfigRefused
        If there is no such device here.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ConfigRefused(f"device {name!r} is none of auto, cpu, cuda, cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    place = torch.device("cuda:0" if name == "cuda" else name)
    if place.type == "cuda" and (place.index or 0) >= count:
        seen = f"{count} GPU{'s' * (count != 1)}" if count else "no GPU"
        raise ConfigRefused(
            f"device {name} is not there: torch {torch.__version__} sees {seen} on this machine. Take "
            "cpu, or auto for what there is."
        )
    return place


def bfloat16_on_gpu(place: torch.device) -> bool:
    """Whether this GPU multiplies bfloat16 itself (Ampere and later, or ROCm), not in emulation."""
    return bool(torch.version.hip) or torch.cuda.get_device_properties(place).major >= 8


def bfloat16_in_hardware(instructions: tuple[str, ...]) -> bool:
    """Whether this processor has one of these instructions, which multiply bfloat16 ("amx_bf16")."""
    info = Path("/proc/cpuinfo")
    return info.exists() and any(name in info.read_text() for name in instructions)
