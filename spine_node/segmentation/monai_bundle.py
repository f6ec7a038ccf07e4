"""Segments with the net of a MONAI bundle: its channels become our structures."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spine_node.anatomy.femur import keep_heads
from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.schemes import FEMUR_VALUES
from spine_node.anatomy.split import BY_SHAPE, split
from spine_node.errors import BundleRefused, SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation.canonical import averaged, indices_by_slab, interpolated
from spine_node.segmentation.device import device_of
from spine_node.segmentation.monai_config import MonaiBundle, load_monai_bundle
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation

_TOWARDS = {
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip
"""LPS direction of each letter of axis codes."""


class MonaiSegmenter:
    """Segments with the MONAI bundle in a folder; loads it once and stays warm.

    Parameters
    ----------
    folder : Path
        The bundle.
    device : str
        "auto" (a GPU if there is one), "cpu" or "cuda:N".

    Raises
    ------
    BundleRefused
        If the bundle cannot be trusted or used.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.bundle: MonaiBundle = load_monai_bundle(folder)
        self.spacing_mm = max(self.bundle.spacing_mm)
        self.device = device_of(device)
        self._network = _network(self.bundle).to(self.device)

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self.bundle.identity

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If the net sees no vertebra, or the volume is too small or not finite.
        BundleRefused
            If the net's channels are not those that the bundle names.
        """
        say = progress or (lambda _fraction, _words: None)
        say(0.0, "resampling")
        grid = target_grid(volume.grid, self.bundle.axcodes, self.bundle.spacing_mm)
        image = _resampled(volume, grid)
        for step, arguments in self.bundle.scaling:
            image = scaled(image, step, arguments)
        say(0.1, "looking for structures")
        known = list(self.bundle.values)
        chances = self._inferred(image, known)
        say(0.7, "drawing outlines")
        values = np.array([0, *(self.bundle.values[c] for c in known)], np.uint8)
        labels = np.zeros(volume.grid.shape, np.uint8)
        for rows, index in indices_by_slab(volume.grid, grid):
            labels[rows] = values[interpolated(chances, index).argmax(axis=0)]
        if not np.isin(labels, list(VERTEBRA_VALUES.values())).any():
            raise SeriesRefused(
                f"no spine found: the model {self.identity.name} sees no vertebra in the volume. Is this "
                "a series "
                "of the spine? Nothing was measured."
            )
        say(0.9, "parting vertebrae")
        heads, said = keep_heads(LabelMap(volume.grid, labels), FEMUR_VALUES)
        parted = split(heads)
        say(1.0, "segmented")
        by_shape = () if parted is heads else (BY_SHAPE,)
        return Segmentation(parted, self.identity, (*self.bundle.quality, *said, *by_shape))

    def _inferred(self, image: NDArray[np.float32], known: list[int]) -> torch.Tensor:
        """Softmax of everything else, then of each known channel: shape (1, 1 + n, ...), on the CPU."""
        from monai.inferers import sliding_window_inference

        rest = [c for c in range(self.bundle.channels) if c not in known]

        def chosen(window: torch.Tensor) -> torch.Tensor:
            logits = self._network(window)
            if not isinstance(logits, torch.Tensor) or logits.shape[1] != self.bundle.channels:
                found = logits.shape[1] if isinstance(logits, torch.Tensor) else type(logits).__name__
                raise BundleRefused(
                    f"the net in {self.bundle.folder} has {found} channels, its channel map "
                    f"{self.bundle.channels}: "
                    "the map is that of another net. Nothing was segmented."
                )
            chance = logits.float().softmax(dim=1)
            # Only what is measured is kept: a hundred channels of a whole spine would fill the memory.
            other = chance[:, rest].amax(dim=1, keepdim=True) if rest else torch.zeros_like(chance[:, :1])
            return torch.cat([other, chance[:, known]], dim=1)

        with torch.inference_mode():
            result = sliding_window_inference(
                torch.from_numpy(image)[None, None],
                self.bundle.roi_size,
                1,
                chosen,
                overlap=self.bundle.overlap,
                mode="gaussian",
                padding_mode="replicate",
                sw_device=self.device,
                device=torch.device("cpu"),
            )
        assert isinstance(result, torch.Tensor)
        return result


def target_grid(grid: Grid, axcodes: str, spacing_mm: tuple[float, float, float]) -> Grid:
    """The smallest grid with axes along `axcodes` that holds every voxel centre of `grid`."""
    axes = np.array([_TOWARDS[letter] for letter in axcodes], dtype=np.float64).T
    spacing = np.array(spacing_mm)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    points = grid.to_mm(corners) @ axes
    low, high = points.min(axis=0), points.max(axis=0)
    shape = np.maximum(np.floor((high - low) / spacing + 1e-6).astype(int) + 1, 1)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ ((low + high) / 2 - (shape - 1) / 2 * spacing)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _resampled(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    if min(grid.shape) < 2:
        raise SeriesRefused(
            f"the volume has {' x '.join(map(str, grid.shape))} voxels of the model; at least two along "
            "each axis "
            "are needed. Nothing was segmented."
        )
    source, values = averaged(volume, float(grid.spacing_mm.min()))
    if not np.isfinite(values).all():
        raise SeriesRefused("the volume holds grey values that are not finite. Nothing was segmented.")
    image = torch.from_numpy(values)[None, None]
    result = np.empty(grid.shape, np.float32)
    for rows, index in indices_by_slab(grid, source):
        result[rows] = interpolated(image, index)[0]
    return result


def scaled(image: NDArray[np.float32], step: str, arguments: dict[str, Any]) -> NDArray[np.float32]:
    """Grey values as MONAI's transform of that name gives them.

    Raises
    ------
    BundleRefused
        If the transform has arguments that mean something else than a scaling of the whole volume.
    """
    import monai.transforms as transforms

    kinds = {
        "ScaleIntensityRanged": transforms.ScaleIntensityRange,
        "NormalizeIntensityd": transforms.NormalizeIntensity,
        "ScaleIntensityd": transforms.ScaleIntensity,
    }
    try:
        result = kinds[step](**{k: v for k, v in arguments.items() if k != "allow_missing_keys"})(image[None])
    except (TypeError, ValueError, RuntimeError) as error:
        raise BundleRefused(f"{step} of the bundle cannot be used with {arguments}: {error}.") from error
    return np.ascontiguousarray(np.asarray(result)[0], dtype=np.float32)


def _network(bundle: MonaiBundle) -> torch.nn.Module:
    import monai.networks.nets as nets

    weights = _weights(bundle.weights)
    try:
        network: torch.nn.Module = getattr(nets, bundle.network)(**bundle.arguments)
        network.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise BundleRefused(
            f"the weights in {bundle.weights} do not fit the network that the bundle names "
            f"({bundle.network}, "
            f"{bundle.arguments}): {str(error)[:300]}"
        ) from error
    return network.eval()


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file. Of a torch file nothing but tensors is read: no code of it runs."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise BundleRefused(f"{path} is no safetensors file: {error}") from error
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist()):
                raise BundleRefused(
                    f"{path} is a TorchScript program: it would run as code. Weights alone (a state_dict, "
                    "better as "
                    "safetensors) are needed."
                )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise BundleRefused(
            f"{path} holds more than weights, or is damaged; nothing of it was run. Save the net's "
            "state_dict alone. "
            f"({str(error).splitlines()[0][:200]})"
        ) from error
    for key in ("model", "state_dict", "network"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise BundleRefused(f"{path} is no state_dict: names with tensors were expected.")
    return {k: v.float() if v.is_floating_point() else v for k, v in content.items()}
