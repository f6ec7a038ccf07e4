"""Segments with TotalSegmentator, where somebody has installed it and fetched its weights.

Nothing is fetched from here, and nothing is told to anybody: downloads and usage statistics of the
package are switched off while it works for us. It is imported when a segmenter is made, no earlier.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from spine_node.anatomy.schemes import from_scheme, value_of
from spine_node.errors import BundleRefused, LabelMapRefused, SeriesRefused
from spine_node.imaging.affine import lps_from_ras, ras_from_lps
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation.bundle import sha256_of
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation

NAME, FAST_NAME = "totalsegmentator", "totalsegmentator-fast"
"""How configs and commands call it: at 1.5 mm, and at 3 mm."""

DATASETS = {NAME: (291, 292, 293, 294, 295, 298), FAST_NAME: (297, 298)}
"""nnU-Net data sets whose weights task "total" of version 2 reads; 298 finds where to look."""

FETCH = {NAME: "totalseg_download_weights -t total", FAST_NAME: "totalseg_download_weights -t total_fast"}
"""Their own command for it; the licence of the weights is between them and whoever runs it."""

VERSIONS = "2."
"""Version 3 numbers its classes anew; names are read, but its interface was not looked at."""


def identity_of(name: str) -> ModelIdentity:
    """Version of the package and SHA-256 over all weights files it reads. Imports nothing of it.

    Raises
    ------
    BundleRefused
        If the package or its weights are not there.
    """
    version = _version()
    digest = hashlib.sha256()
    for path in _weights(name):
        digest.update(f"{path.parts[-4:]} {sha256_of(path)}\n".encode())
    return ModelIdentity(
        f"TotalSegmentator {'3 mm' if name == FAST_NAME else '1.5 mm'}", version, digest.hexdigest()
    )


def weights_folder() -> Path:
    """Where the package keeps its weights, by its own rules."""
    if told := os.environ.get("TOTALSEG_WEIGHTS_PATH"):
        return Path(told)
    home = os.environ.get("TOTALSEG_HOME_DIR")
    return (Path(home) if home else Path.home() / ".totalsegmentator") / "nnunet" / "results"


def _version() -> str:
    if importlib.util.find_spec("totalsegmentator") is None:
        raise BundleRefused(
            "the package TotalSegmentator is not installed: pip install 'spine-node[totalsegmentator]' "
            "brings it. "
            "Nothing was segmented."
        )
    try:
        version = importlib.metadata.version("TotalSegmentator")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    if version != "unknown" and not version.startswith(VERSIONS):
        raise BundleRefused(f"TotalSegmentator {version} is installed; version {VERSIONS}x was expected.")
    return version


def _weights(name: str) -> list[Path]:
    folder = weights_folder()
    found: list[Path] = []
    for number in DATASETS[name]:
        files = sorted(folder.glob(f"Dataset{number}_*/**/checkpoint_final.pth"))
        if not files:
            raise BundleRefused(
                f"TotalSegmentator has no weights of data set {number} in {folder}: `{FETCH[name]}` "
                "fetches them "
                "(their licence is yours to read). Nothing is fetched from here; nothing was segmented."
            )
        found += files
    return found


class TotalSegmentatorSegmenter:
    """Whole vertebrae, sacrum, hip bones and femora by TotalSegmentator; parted by their shape.

    Parameters
    ----------
    name : str
        `NAME` or `FAST_NAME`.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    BundleRefused
        If the package or its weights are not there.
    """

    def __init__(self, name: str = NAME, device: str = "auto") -> None:
        self._identity = identity_of(name)
        self._fast = name == FAST_NAME
        self.spacing_mm = 3.0 if self._fast else 1.5
        # Late: the receiving process asks which model this is, and must start without torch.
        from spine_node.segmentation.device import device_of

        self.device = str(device_of(device))
        try:
            self._api = importlib.import_module("totalsegmentator.python_api")
            classes = importlib.import_module("totalsegmentator.map_to_binary").class_map["total"]
        except (ImportError, AttributeError, KeyError) as error:
            raise BundleRefused(
                f"TotalSegmentator {self._identity.version} cannot be used: {error}."
            ) from error
        self._names: dict[int, str] = {v: n for v, n in classes.items() if value_of(n) is not None}

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self._identity

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If no spine is found.
        """
        import nibabel as nib

        say = progress or (lambda _fraction, _words: None)
        say(0.0, "TotalSegmentator works")
        image = nib.Nifti1Image(np.asarray(volume.values, np.float32), ras_from_lps(volume.grid.affine))
        with _offline(self._api):
            made: Any = self._api.totalsegmentator(
                image,
                None,
                ml=True,
                task="total",
                fast=self._fast,
                roi_subset=list(self._names.values()),
                quiet=True,
                device=_device(self.device),
            )
        say(0.85, "parting vertebrae")
        grid = Grid(made.shape, lps_from_ras(np.asarray(made.affine)))
        values = np.asarray(made.dataobj).astype(np.int64)
        try:
            label_map, said = from_scheme(grid, values, self._names)
        except LabelMapRefused as none:
            raise SeriesRefused(
                "no spine found: TotalSegmentator sees no vertebra and no sacrum. Is this a series of "
                "the spine? "
                "Nothing was measured."
            ) from none
        if not grid.matches(volume.grid, tolerance_mm=0.01):
            from spine_node.segmentation.canonical import nearest

            label_map = LabelMap(volume.grid, nearest(label_map.labels, grid, volume.grid))
        else:
            label_map = LabelMap(volume.grid, label_map.labels)
        say(1.0, "segmented")
        return Segmentation(label_map, self._identity, said)


def _device(name: str) -> str:
    """Its own words for a device."""
    return name.replace("cuda", "gpu")


@contextlib.contextmanager
def _offline(api: ModuleType) -> Iterator[None]:
    """No downloads and no usage statistics, while it works for us."""

    def no_download(task_id: object, *_: object, **__: object) -> None:
        if not any(weights_folder().glob(f"Dataset{task_id}_*")):
            raise BundleRefused(
                f"TotalSegmentator wanted to fetch weights of data set {task_id} from the network: its "
                "own command "
                f"`{FETCH[NAME]}` does that. Nothing was segmented."
            )

    def no_statistics(*_: object, **__: object) -> None:
        return None

    stands_in = {"download_pretrained_weights": no_download, "send_usage_stats": no_statistics}
    before = {name: getattr(api, name) for name in stands_in if hasattr(api, name)}
    for name in before:
        setattr(api, name, stands_in[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(api, name, value)
