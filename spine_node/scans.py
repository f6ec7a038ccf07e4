"""Labelled scans in a folder: which files belong together, and whether they have changed."""

from __future__ import annotations

from pathlib import Path


def nifti_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images and label maps (`labels*`) among the NIfTI files of a folder."""
    files = sorted(folder.glob("*.nii.gz")) + sorted(folder.glob("*.nii"))
    labels = [f for f in files if f.name.startswith("labels")]
    return [f for f in files if f not in labels], labels


def verse_files(folder: Path) -> tuple[Path, Path, Path | None] | None:
    """Image, map of vertebrae and map of their parts, as VerSe and TPTBox name files; None where not so.

    `*_ct.nii.gz`, `*seg-vert*_msk.nii.gz`, and perhaps `*seg-subreg*_msk.nii.gz`; one of each.
    """
    found = [sorted(folder.glob(f"*{part}.nii.gz")) for part in ("_ct", "seg-vert*_msk", "seg-subreg*_msk")]
    images, vertebrae, parts = found
    if len(images) != 1 or len(vertebrae) != 1 or len(parts) > 1:
        return None
    return images[0], vertebrae[0], parts[0] if parts else None


def stamp_of(*places: Path) -> str:
    """Names, sizes and times of files, or of every file below a folder: changes when one of them does."""
    files = [f for place in places for f in sorted((place, *place.rglob("*"))) if f.is_file()]
    return " ".join(f"{f.name}:{(s := f.stat()).st_size}:{s.st_mtime_ns}" for f in files)
