"""Small studies for campaigns: one phantom under as many UIDs as are wanted, quick to send and to measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from spine_node.dicom.ct import write_ct_series
from spine_node.imaging.volume import Grid, Volume
from spine_node.phantom.generate import generate

SLICES = 24
EARLY = 20
"""Slices of a late study that come first: whole by their geometry."""


@dataclass(frozen=True, slots=True)
class Study:
    """One study to send.

    Attributes
    ----------
    kind : str
        What it is for, and how it must end (`KINDS`).
    study_uid, series_uid : str
    parts : tuple of tuple of Path
        What is sent at once; a later part comes when the series has been quiet, or not.
    """

    kind: str
    study_uid: str
    series_uid: str
    parts: tuple[tuple[Path, ...], ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All its instances."""
        return tuple(path for part in self.parts for path in part)


KINDS = {
    "whole": ("delivered",),
    "late": ("delivered",),
    "gap": ("refused",),
    "few": ("ignored",),
}
"""How a study of each kind must end. A gap is never filled; few slices are no spine by the rules."""


class Phantom:
    """The series that every study is a copy of, and its labels in `labels`."""

    def __init__(self, folder: Path) -> None:
        whole = generate(5, spacing_mm=4, clean=True, field_of_view="lumbopelvic")
        first = (40, 20, 16)
        here = tuple(slice(a, a + n) for a, n in zip(first, (SLICES, 52, 56), strict=True))
        affine = whole.volume.grid.affine.copy()
        affine[:3, 3] = whole.volume.grid.to_mm(first)
        values = np.ascontiguousarray(whole.volume.values[here])
        self.labels = folder / "labels.npy"
        np.save(self.labels, whole.label_map.labels[here])
        written = write_ct_series(Volume(Grid(values.shape, affine), values), folder / "phantom")
        self._slices = [dcmread(path) for path in written]
        self._folder = folder

    def study(self, kind: str) -> Study:
        """A new study of that kind, as files."""
        study_uid, series_uid = generate_uid(), generate_uid()
        folder = self._folder / "studies" / series_uid
        folder.mkdir(parents=True)
        paths = [self._write(ds, study_uid, series_uid, folder) for ds in self._slices]
        parts = {
            "whole": [paths],
            "late": [paths[:EARLY], paths[EARLY:]],
            "gap": [paths[:9] + paths[10:]],
            "few": [paths[:5]],
        }[kind]
        return Study(kind, study_uid, series_uid, tuple(tuple(part) for part in parts))

    @staticmethod
    def _write(ds: Dataset, study_uid: str, series_uid: str, folder: Path) -> Path:
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study_uid, series_uid, generate_uid()
        ds.AccessionNumber = series_uid[-16:]
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        ds.save_as(path, enforce_file_format=True)
        return path
