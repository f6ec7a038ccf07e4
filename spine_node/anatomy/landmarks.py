"""Landmarks of a standing spine, as plain facts in LPS millimetres. `locate` finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from spine_node.imaging.volume import FloatArray


def _freeze(array: FloatArray, shape: tuple[int | None, ...], *, unit: bool = False) -> FloatArray:
    frozen = np.array(array, dtype=np.float64)
    fits = frozen.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, frozen.shape, strict=True))
    if not fits or not np.isfinite(frozen).all():
        raise ValueError(f"expected finite numbers of shape {shape}, got {frozen.tolist()}")
    if unit and abs(float(np.linalg.norm(frozen)) - 1) > 1e-6:
        raise ValueError(f"a direction must have unit length, got {float(np.linalg.norm(frozen)):.6f}")
    frozen.setflags(write=False)
    return frozen


@dataclass(frozen=True, slots=True, eq=False)
class Endplate:
    """One vertebral endplate, as the plane that best fits its surface.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
        Centroid of the surface, LPS.
    normal : ndarray, shape (3,)
        Unit vector, LPS, pointing cranially for both endplates of a body.
    residual_mm : float
        RMS distance of the surface points used to the plane; 0 when the plane is given, not fitted.
    anterior_mm, posterior_mm, left_mm, right_mm : ndarray, shape (3,)
        The plate's edges on its midsagittal and midcoronal chords, LPS.
    voxel_mm : float
        How far the voxels it was found in reach along its normal; 0 when the plate is given.
    scatter_mm : float or None
        RMS distance of those points to the smooth surface through them, which may be hollow: what the
        outline errs by. None where only the residual is known.
    unresolved_mm : float
        Rise from one end of the plate to the other that the voxels leave open, one standard deviation: a
        flat plate along the slices may be a single stair.
    surface_mm : ndarray, shape (n, 3)
        Points of the bone's surface there, LPS: heights are read between surfaces, which are hollow.
        Empty where only the plane is known.
    """

    centre_mm: FloatArray
    normal: FloatArray
    residual_mm: float
    anterior_mm: FloatArray
    posterior_mm: FloatArray
    left_mm: FloatArray
    right_mm: FloatArray
    voxel_mm: float = 0.0
    scatter_mm: float | None = None
    unresolved_mm: float = 0.0
    surface_mm: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "surface_mm", _freeze(self.surface_mm, (None, 3)))
        for name in ("centre_mm", "anterior_mm", "posterior_mm", "left_mm", "right_mm"):
            object.__setattr__(self, name, _freeze(getattr(self, name), (3,)))
        object.__setattr__(self, "normal", _freeze(self.normal, (3,), unit=True))


@dataclass(frozen=True, slots=True, eq=False)
class Canal:
    """The vertebral canal at the height of the pedicles, as points on its walls.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
        Middle of the foramen, LPS.
    anterior_mm, posterior_mm : ndarray, shape (3,), or None
        On the posterior wall of the body and on the spinolaminar line, on the chord along the vertebra's
        own midsagittal plane, LPS; both or neither.
    left_mm, right_mm : ndarray, shape (3,), or None
        On the inner walls of the pedicles; both or neither.
    residual_mm : float
        Scatter of the walls over the slices they were read in; 0 when the canal is given.
    """

    centre_mm: FloatArray
    anterior_mm: FloatArray | None = None
    posterior_mm: FloatArray | None = None
    left_mm: FloatArray | None = None
    right_mm: FloatArray | None = None
    residual_mm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("centre_mm", "anterior_mm", "posterior_mm", "left_mm", "right_mm"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _freeze(getattr(self, name), (3,)))


@dataclass(frozen=True, slots=True, eq=False)
class Vertebra:
    """One vertebra's landmarks; what could not be located is None, and `Spine.missing` says why.

    Attributes
    ----------
    level : str
        A key of `levels.VERTEBRA_VALUES`.
    body_centre_mm : ndarray, shape (3,)
        Centroid of the vertebral body (not of the whole vertebra), LPS.
    superior, inferior : Endplate or None
    axes : ndarray, shape (3, 3), or None
        Columns: the vertebra's own left (X), posterior (Y) and cranial (Z) unit directions, LPS.
        None without posterior elements: a body alone does not show its rotation.
    axes_deg : float
        Standard deviation of the direction of `axes` about Z, degrees; 0 when they are given.
    canal : Canal or None
    body_mm3, whole_mm3 : float or None
        Volume of the body, and with the posterior elements.
    surface_mm2 : float
        Area of the body's surface: what an error of its outline costs in volume; 0 when that is given.
    grey_mean : float or None
        Mean grey value of the body's inside, where there is an image.
    """

    level: str
    body_centre_mm: FloatArray
    superior: Endplate | None
    inferior: Endplate | None
    axes: FloatArray | None
    axes_deg: float = 0.0
    canal: Canal | None = None
    body_mm3: float | None = None
    whole_mm3: float | None = None
    surface_mm2: float = 0.0
    grey_mean: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "body_centre_mm", _freeze(self.body_centre_mm, (3,)))
        if self.axes is not None:
            object.__setattr__(self, "axes", _freeze(self.axes, (3, 3)))


@dataclass(frozen=True, slots=True, eq=False)
class FemoralHead:
    """A femoral head as a sphere. `side` is "left" or "right"."""

    side: str
    centre_mm: FloatArray
    radius_mm: float
    residual_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_mm", _freeze(self.centre_mm, (3,)))


@dataclass(frozen=True, slots=True, eq=False)
class Vertical:
    """The direction against gravity, and how it is known.

    Attributes
    ----------
    direction : ndarray, shape (3,)
        Unit vector, LPS.
    provenance : str
        In words, for the report: "image axis, posture declared standing", "given by the user", ...
    standing : bool or None
        True when the posture is declared upright, False when declared otherwise, None when unknown.
    """

    direction: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    provenance: str = "image z axis, posture not declared"
    standing: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _freeze(self.direction, (3,), unit=True))


@dataclass(frozen=True, slots=True, eq=False)
class Spine:
    """Everything that was located.

    Attributes
    ----------
    vertebrae : tuple of Vertebra
        Cranial to caudal, each level at most once.
    s1 : Endplate or None
        Superior endplate of S1.
    heads : mapping of side to FemoralHead
    vertical : Vertical
    dens_tip_mm : ndarray, shape (3,), or None
        Most cranial point of the dens of C2, LPS.
    crests_mm : mapping of side to ndarray, shape (3,)
        Highest point of each iliac crest along the vertical, LPS.
    sacral_left : ndarray, shape (3,), or None
        The patient's left as the sacrum's own symmetry shows it, LPS unit vector.
    missing : mapping of str to str
        Why a landmark is None: keys such as "s1", "femoral_head_left", "L1", "L1.superior", "T8.axes",
        "T8.canal_ap", "T8.body", "T8.whole", "C2.dens", "crest_left".
    quality : tuple of str
        Sentences on what was seen and may matter (islands dropped, residuals, field edge).
    """

    vertebrae: tuple[Vertebra, ...]
    s1: Endplate | None
    heads: Mapping[str, FemoralHead]
    vertical: Vertical
    missing: Mapping[str, str] = field(default_factory=dict)
    quality: tuple[str, ...] = ()
    dens_tip_mm: FloatArray | None = None
    crests_mm: Mapping[str, FloatArray] = field(default_factory=dict)
    sacral_left: FloatArray | None = None

    def __post_init__(self) -> None:
        crests = {side: _freeze(point, (3,)) for side, point in self.crests_mm.items()}
        object.__setattr__(self, "crests_mm", MappingProxyType(crests))
        if self.dens_tip_mm is not None:
            object.__setattr__(self, "dens_tip_mm", _freeze(self.dens_tip_mm, (3,)))
        if self.sacral_left is not None:
            object.__setattr__(self, "sacral_left", _freeze(self.sacral_left, (3,), unit=True))
        object.__setattr__(self, "heads", MappingProxyType(dict(self.heads)))
        object.__setattr__(self, "missing", MappingProxyType(dict(self.missing)))

    def vertebra(self, level: str) -> Vertebra | None:
        """The vertebra of this level, if located."""
        return next((v for v in self.vertebrae if v.level == level), None)
