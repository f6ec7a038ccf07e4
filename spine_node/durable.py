"""Names that survive a power cut: a file's fsync keeps its bytes, only its folder's keeps its name."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Have the names in this folder on the disk before this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def durable_folder(folder: Path) -> Path:
    """Make a folder and its parents, unless they are there; when this returns, a power cut leaves none out.

    Those that are there are synced too: another process may have made them and been killed before it did.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for parent in folder.absolute().parents:
        try:
            sync_folder(parent)
        except PermissionError:  # not ours to read, and so not made by us; nor is what is above it
            break
    return folder
