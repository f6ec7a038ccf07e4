"""A standing person as numbers: what the truth of a phantom follows from."""

from __future__ import annotations

from dataclasses import dataclass

from spine_node.phantom import dimensions as dims
from spine_node.phantom.body import Outline
from spine_node.phantom.profiles import Curve
from spine_node.phantom.variants import Fracture

OVAL = Outline()


@dataclass(frozen=True, slots=True)
class Osteophyte:
    """A spur on the rim of a body: which endplate, where (0 front, 90 left), how long."""

    superior: bool
    azimuth_deg: float
    length_mm: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One vertebra and the disc below it, as numbers.

    Slopes are positive when an endplate faces forward, tilts when its normal leans to the left,
    rotation when the body turns to the left; all degrees, patient frame. `quirk` seeds the small
    asymmetries of the posterior elements; 0 has none.
    """

    level: str
    size: dims.LevelSize
    slope_superior_deg: float
    slope_inferior_deg: float
    tilt_superior_deg: float
    tilt_inferior_deg: float
    rotation_deg: float
    waist: float = 0.09
    concavity_superior_mm: float = 0.8
    concavity_inferior_mm: float = 1.2
    outline: Outline = OVAL
    osteophytes: tuple[Osteophyte, ...] = ()
    quirk: int = 0


@dataclass(frozen=True, slots=True)
class SpineSpec:
    """One standing person: the input that the truth of a phantom follows from.

    Attributes
    ----------
    PI_deg, SS_deg : float
        Pelvic incidence (in the plane across the hip axis) and sacral slope; PT = PI - SS.
    LL_deg, TK_deg : float
        Lordosis L1-S1 and kyphosis T4-T12, both positive.
    segments : tuple of Segment
        Cranial to caudal.
    s1_tilt_deg, obliquity_deg : float
        Coronal tilt of the S1 endplate (normal to the left +); hip axis (left side higher +).
    curves : tuple of Curve
        What the coronal shape was asked to be; the segments hold what it became.
    fractures : tuple of (level, Fracture)
        What collapsed; the segments hold what became of it.
    scale : float
        Size of the whole person; 1 is the average adult.
    yaw_deg, shift_mm
        How the person stands in the scanner: turn about the vertical (to the left +), hip axis (x, y).
    lean_deg : tuple of float
        The whole person tipped about the hip axis: forward, to the left. SS, obliquity and all that is
        read against the vertical are those before; the truth of a phantom is what stands there.
    quirk : int
        Seed of the small asymmetries of the pelvis; 0 has none.
    """

    PI_deg: float
    SS_deg: float
    LL_deg: float
    TK_deg: float
    segments: tuple[Segment, ...]
    s1_tilt_deg: float = 0.0
    obliquity_deg: float = 0.0
    curves: tuple[Curve, ...] = ()
    fractures: tuple[tuple[str, Fracture], ...] = ()
    scale: float = 1.0
    hip_half_width_mm: float = dims.HIP_HALF_WIDTH_MM
    head_radius_mm: tuple[float, float] = (dims.FEMORAL_HEAD_RADIUS_MM, dims.FEMORAL_HEAD_RADIUS_MM)
    pelvic_thickness_mm: float = dims.PELVIC_THICKNESS_MM
    age_years: float = 40.0
    yaw_deg: float = 0.0
    lean_deg: tuple[float, float] = (0.0, 0.0)
    shift_mm: tuple[float, float] = (0.0, 0.0)
    quirk: int = 0
