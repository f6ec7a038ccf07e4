"""How well landmarks are known, and what else they may as well have been.

The outline of a label map errs smoothly: neighbouring points go up and down together, so a small plate
is tipped as a whole and shows nothing of it, while a large one shows the ripple. So one number is made for
the whole spine: how far its outlines err, from what all plates scatter about smooth surfaces. From it, and
from each landmark's size, follow the standard deviations of places and directions. A stack of draws of all
landmarks then goes through the very formulas that measure, so that each number, however it is made, has
its own spread.

The constants were fitted to random phantoms with exact outlines and with outlines that err by 0.5 mm RMS
over some 8 mm (`tests/benchmarks/bench_accuracy.py`). The vertical, the posture and a wrong level are not
in these figures.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import numpy as np

from spine_node.anatomy.landmarks import Canal, Endplate, FemoralHead, Spine, Vertebra
from spine_node.imaging.volume import FloatArray

DRAWS = 100
"""Pairs of draws: what is drawn is drawn with both signs, so that the mean is what was located."""

PATCH_MM = 12.0
"""Side of the patch in which outline errors go together."""

TIPPED_MM = 8.7
"""A plate much smaller than a ripple is tipped by the ripple's slope: its height over this length."""

RIPPLE, RIPPLE_POWER = 0.0095, 1.6
"""Part of the outline's variance that a plate shows about its own smooth surface: the factor times its
number of patches to this power."""

FLOOR_MM, FLOOR_PART = 0.02, 0.045
"""No outline is known better than this: in mm, and in voxels."""

SMOOTH_PART = 0.1
"""Scatter, in voxels, that an exact outline shows: it tells of no error."""

ODD = 2.5
"""Scatter that is so many times the usual one counts no more than that."""

RIM_MM, SACRAL_RIM = 0.25, 1.6
"""An edge is known less well than a surface: it is where two of them meet; at 1 mm voxels. S1 passes into
wings and canal without a border: so many times less well."""

HEAD_MM = 0.12
"""No sphere is known better than this."""

CREST_MM = 0.3
"""A highest point is one place on a surface, not the mean of many."""

AXIAL_DEG, AXIAL_DEG_PER_MM = 0.1, 1.2
"""Rotation of a vertebra: at least this, and so much for each mm that the outline errs by."""

YAW_DEG = {"PATIENT": 0.0, "SACRUM": 3.0, "SCANNER": 7.0}
"""How far a patient stands turned from the direction that a frame takes for forward, one standard deviation:
none with both femoral heads; the sacrum's own asymmetry; people in a scanner."""

Z_95 = 1.96


@lru_cache(maxsize=4096)
def draws(name: str, columns: int) -> FloatArray:
    """Standard normal numbers for one landmark, shape (1 + 2 DRAWS, columns), read-only; the first row is 0.

    The name is the seed: a vertebra that is missing changes nothing for the others.
    """
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal((DRAWS, columns))
    drawn /= np.sqrt((drawn**2).mean(axis=0))
    every = np.vstack([np.zeros((1, columns)), drawn, -drawn])
    every.setflags(write=False)  # one array for all who ask
    return every


def spread(values: FloatArray) -> float:
    """Standard deviation of a stack about its first row, which is the measured value."""
    if len(values) == 1:
        return 0.0
    return float(np.sqrt(np.mean((values[1:] - values[0]) ** 2)))


def outline_noise_mm(spine: Spine) -> float:
    """How far the outlines of this spine err, RMS over the surface; 0 where all landmarks are given."""
    plates = [p for p in _plates(spine) if p.residual_mm > 0]
    if not plates:
        heads = [h.residual_mm for h in spine.heads.values()]
        return max(heads, default=0.0)
    floor = max(math.hypot(FLOOR_MM, FLOOR_PART * p.voxel_mm) for p in plates)
    # a crushed plate is rough by itself: it tells nothing of how the others were outlined
    most = ODD * float(np.median([_scatter_mm(p) for p in plates]))
    scatter = [min(_scatter_mm(p), most) for p in plates]
    shown = sum(
        max(s**2 - (SMOOTH_PART * p.voxel_mm) ** 2, 0.0) for s, p in zip(scatter, plates, strict=True)
    )
    part = sum(min(RIPPLE * _patches(p) ** RIPPLE_POWER, 1.0) for p in plates)
    return math.sqrt(floor**2 + shown / part)


def tilt_sigma_deg(plate: Endplate, plane: str, noise_mm: float) -> float:
    """Standard deviation of an endplate's angle, as seen in its own "sagittal" or "coronal" plane."""
    depth, width = _extent_mm(plate)
    extent = depth if plane == "sagittal" else width
    along = extent / 4  # standard deviation over an ellipse
    lever = math.sqrt(0.8 * along**2 * _patches(plate) + TIPPED_MM**2)
    return math.degrees(math.hypot(_noise_mm(plate, noise_mm) / lever, plate.unresolved_mm / extent))


def height_sigma_mm(plate: Endplate, noise_mm: float) -> float:
    """Standard deviation of an endplate's place along its normal."""
    return _noise_mm(plate, noise_mm) / math.sqrt(1 + _patches(plate))


def surface_sigma_mm(plate: Endplate, noise_mm: float) -> float:
    """Standard deviation of the surface's place at one point of an endplate, beside that of its plane."""
    patches = _patches(plate)
    return 0.75 * _noise_mm(plate, noise_mm) * math.sqrt(patches / (1 + patches))


def edge_sigma_mm(plate: Endplate, noise_mm: float) -> float:
    """Standard deviation of an endplate's edge within its plane."""
    return math.hypot(noise_mm, RIM_MM * max(plate.voxel_mm, 0.5)) if plate.residual_mm > 0 else 0.0


def sacral_edge_sigma_mm(plate: Endplate, noise_mm: float) -> float:
    """The same at S1."""
    return SACRAL_RIM * edge_sigma_mm(plate, noise_mm)


def centroid_sigma_mm(noise_mm: float) -> float:
    """Standard deviation of a body's centroid along any direction."""
    return noise_mm / 4


def tip_sigma_mm(noise_mm: float) -> float:
    """Standard deviation of the tip of the dens."""
    return math.hypot(0.8 * noise_mm, RIM_MM) if noise_mm > 0 else 0.0


def head_sigma_mm(head: FemoralHead) -> float:
    """Standard deviation of a femoral head's centre along any one direction."""
    if head.residual_mm == 0:
        return 0.0
    patches = max(2 * math.pi * head.radius_mm**2 / PATCH_MM**2, 4.0)
    return math.hypot(head.residual_mm, HEAD_MM) * math.sqrt(3 / patches)


def axial_sigma_deg(vertebra: Vertebra, noise_mm: float) -> float:
    """Standard deviation of a vertebra's axes about its own Z."""
    if vertebra.axes_deg == 0:
        return 0.0
    return math.hypot(vertebra.axes_deg, AXIAL_DEG, AXIAL_DEG_PER_MM * noise_mm)


def canal_sigma_mm(canal: Canal, noise_mm: float) -> float:
    """Standard deviation of a point on the canal's walls."""
    return math.hypot(noise_mm, RIM_MM) if canal.residual_mm > 0 else 0.0


def volume_sigma_mm3(vertebra: Vertebra, noise_mm: float) -> float:
    """Standard deviation of a body's volume: as many patches go up as down, but not quite."""
    return noise_mm * PATCH_MM * math.sqrt(vertebra.surface_mm2)


def _plates(spine: Spine) -> list[Endplate]:
    plates = [p for v in spine.vertebrae for p in (v.superior, v.inferior)] + [spine.s1]
    return [p for p in plates if p is not None]


def _extent_mm(plate: Endplate) -> tuple[float, float]:
    depth = float(np.linalg.norm(plate.anterior_mm - plate.posterior_mm))
    return depth, float(np.linalg.norm(plate.left_mm - plate.right_mm))


def _patches(plate: Endplate) -> float:
    depth, width = _extent_mm(plate)
    return max(math.pi / 4 * depth * width / PATCH_MM**2, 1.0)


def _scatter_mm(plate: Endplate) -> float:
    return plate.residual_mm if plate.scatter_mm is None else plate.scatter_mm


def _noise_mm(plate: Endplate, noise_mm: float) -> float:
    """The spine's noise, or more where a plate is rougher than that explains; none of a given plate."""
    if plate.residual_mm == 0:
        return 0.0
    return math.hypot(noise_mm, max(_scatter_mm(plate) - noise_mm, 0.0))
