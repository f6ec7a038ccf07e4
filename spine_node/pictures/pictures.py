"""Pictures of a result, with what was measured drawn where it was measured. None carries a name.

coronal     from the front, the patient's left on the right
sagittal    from the left, the front of the patient on the left
spine-3d    the bones in space: from the front, from the left and from above
axial-L2    the apex of each curve in its own transverse plane, seen from below; without a curve the most
            rotated vertebra
heights     every vertebra and disc with its heights, as a table beside the sagittal view
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from spine_node.anatomy.landmarks import Spine
from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.parameters.model import Measurements
from spine_node.pictures.axial import axial, axial_levels
from spine_node.pictures.coronal import coronal
from spine_node.pictures.drawing import DPI, Sheet
from spine_node.pictures.heights import heights
from spine_node.pictures.raster import pixels_of
from spine_node.pictures.sagittal import sagittal
from spine_node.pictures.scene import Scene
from spine_node.pictures.solid import Surfaces, solid


def draw_pictures(
    volume: Volume | None,
    label_map: LabelMap,
    spine: Spine,
    measurements: Measurements,
    surfaces: Surfaces | None = None,
) -> list[Picture]:
    """Every picture of a result, in the order in which people want them; the same input, the same pixels.

    Parameters
    ----------
    volume : Volume or None
        On the grid of the label map. Without an image the labels are drawn as solid bodies.
    label_map : LabelMap
    spine : Spine
        The landmarks that were measured: they say in which frame, and where the endplates are.
    measurements : Measurements
        With their lines.
    surfaces : Surfaces, optional
        Of the label map, where they are prepared.

    Returns
    -------
    list of Picture
        No axial picture where no vertebra shows its axes, no heights where there is no vertebra, no 3D on
        machines for which there is no Embree (other than x86).

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    scene = Scene(volume, label_map, spine, measurements)
    drawn = [
        _picture("coronal", "Coronal: Cobb angles, balance, pelvis", coronal(scene)),
        _picture("sagittal", "Sagittal: pelvis, lordosis, kyphosis, balance", sagittal(scene)),
    ]
    if find_spec("embreex") is not None:
        drawn.append(_picture("spine-3d", "3D: from the front, the left and above", solid(scene, surfaces)))
    apices = {curve.apex: curve for curve in scene.curves}
    for level in axial_levels(scene):
        curve = apices.get(level)
        what = f"apex of {curve.upper}-{curve.lower}" if curve else "most rotated vertebra"
        drawn.append(
            _picture(f"axial-{level}", f"Axial {level}: {what}, rotation, canal", axial(scene, level))
        )
    if spine.vertebrae:
        drawn.append(_picture("heights", "Heights of vertebrae and discs", heights(scene)))
    return drawn


def write_pictures(
    volume: Volume | None, label_map: LabelMap, spine: Spine, measurements: Measurements, out: Path
) -> list[Path]:
    """Draw and write NAME.png for every picture of `draw_pictures` into `out`, and return their paths."""
    return write_png(draw_pictures(volume, label_map, spine, measurements), out)


def write_png(pictures: Iterable[Picture], out: Path) -> list[Path]:
    """Write NAME.png for each picture into `out`, without a word about patient, machine or hour."""
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)

    def write(picture: Picture) -> Path:
        path = out / f"{picture.name}.png"
        Image.fromarray(picture.rgb).save(path, dpi=(DPI, DPI), compress_level=1)
        return path

    with ThreadPoolExecutor(2) as threads:  # compressing leaves the other core free
        return list(threads.map(write, pictures))


def _picture(name: str, title: str, page: Sheet) -> Picture:
    rgb = pixels_of(page.figure)
    return Picture(name, title, rgb, rgb.shape[1] - round(page.panel_inches * DPI))
