"""Pictures of a result, with what was measured drawn where it was measured. None carries a name.

coronal.png     from the front, the patient's left on the right
sagittal.png    from the left, the front of the patient on the left
axial-L2.png    the apex of each curve in its own transverse plane, seen from below; without a curve the
                most rotated vertebra
heights.png     every vertebra and disc with its heights, as a table beside the sagittal view
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spine_node.anatomy.landmarks import Spine
from spine_node.dicom.axial_picture import axial, axial_levels
from spine_node.dicom.coronal_picture import coronal
from spine_node.dicom.drawing import BACKGROUND, DPI
from spine_node.dicom.heights_picture import heights
from spine_node.dicom.picture_scene import Scene
from spine_node.dicom.sagittal_picture import sagittal
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.parameters.model import Measurements

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_pictures(
    volume: Volume | None, label_map: LabelMap, spine: Spine, measurements: Measurements, out: Path
) -> list[Path]:
    """Write coronal.png, sagittal.png, axial-LEVEL.png and heights.png into `out`, and return their paths.

    Parameters
    ----------
    volume : Volume or None
        On the grid of the label map. Without an image the labels are drawn as solid bodies.
    label_map : LabelMap
    spine : Spine
        The landmarks that were measured: they say in which frame, and where the endplates are.
    measurements : Measurements
        With their lines.

    Returns
    -------
    list of Path
        No axial picture where no vertebra shows its axes, no heights where there is no vertebra.

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    scene = Scene(volume, label_map, spine, measurements)
    pictures: dict[str, Callable[[], Figure]] = {
        "coronal": partial(coronal, scene),
        "sagittal": partial(sagittal, scene),
        **{f"axial-{level}": partial(axial, scene, level) for level in axial_levels(scene)},
    }
    if spine.vertebrae:
        pictures["heights"] = partial(heights, scene)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures.items():
        path = out / f"{name}.png"
        draw().savefig(
            path, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None}, pil_kwargs={"compress_level": 1}
        )
        paths.append(path)
    return paths
