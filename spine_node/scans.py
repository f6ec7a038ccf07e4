"""Labelled scans in a folder: which files belong together, and whether they have changed."""

from __future__ import annotations

from pathlib import Path


def nifti_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images and label maps (`labels*`) among the NIfTI files of a folder."""
    files = sorted(folder.glob("*.nii.gz")) + sorted(folder.glob("*.nii"))
    labels = [f for f in files if f.name.startswith("labels")]
    return [f for f in files if f not in labels], labels


def stamp_of(*places: Path) -> str:
    """Names, sizes and times of files, or of every file below a folder: changes when one of them does."""
    files = [f for place in places for f in sorted((place, *place.rglob("*"))) if f.is_file()]
    return " ".join(f"{f.name}:{(s := f.stat()).st_size}:{s.st_mtime_ns}" for f in files)
