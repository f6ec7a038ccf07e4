"""How large each level is in an average adult, before anyone in particular is drawn.

Bodies, discs and canals follow Panjabi et al. (Spine 1991, 1992: T1 to L5), disc heights Bach et al.
(2019); wedge and disc angles are a standing neutral spine of LL 60 and TK 37 degrees. Cervical rows and
the sizes of processes are typical values, not a survey. All lengths mm, all angles degrees.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LevelSize:
    """One level of the average adult.

    Attributes
    ----------
    height_mm, disc_mm : float
        Body height in its middle; height of the disc below.
    wedge_deg, disc_deg : float
        Change of sagittal slope across the body, and across the disc below; kyphotic is positive.
    width_mm, depth_mm : float
        Superior endplate, left to right and front to back.
    canal_width_mm, canal_depth_mm : float
    pedicle_width_mm, pedicle_height_mm : float
    spinous_mm, spinous_drop_deg, spinous_height_mm : float
        Length behind the laminae, angle below the horizontal, height of its blade.
    span_mm : float
        Midline to the tip of a transverse process.
    """

    height_mm: float
    disc_mm: float
    wedge_deg: float
    disc_deg: float
    width_mm: float
    depth_mm: float
    canal_width_mm: float
    canal_depth_mm: float
    pedicle_width_mm: float
    pedicle_height_mm: float
    spinous_mm: float
    spinous_drop_deg: float
    spinous_height_mm: float
    span_mm: float


SIZES: dict[str, LevelSize] = {
    "C1": LevelSize(12.0, 3.0, 0, 0, 20.0, 12.0, 28.0, 30.0, 6.0, 8.0, 4, 10, 6, 37),
    "C2": LevelSize(20.0, 4.8, 0, -2.5, 17.5, 15.6, 24.5, 21.0, 7.0, 9.0, 18, 15, 11, 27),
    "C3": LevelSize(13.2, 5.0, 0, -2.5, 15.8, 15.0, 22.9, 16.2, 5.4, 7.4, 14, 25, 8, 26),
    "C4": LevelSize(12.3, 5.0, 0, -2.5, 17.2, 15.3, 24.7, 17.7, 5.2, 7.4, 14, 25, 8, 26),
    "C5": LevelSize(11.8, 4.9, 0, -2.5, 17.5, 15.2, 24.9, 17.4, 5.5, 7.0, 16, 25, 8, 26),
    "C6": LevelSize(11.8, 4.9, 0, -2.5, 18.5, 16.4, 25.8, 18.1, 5.8, 7.3, 22, 25, 9, 28),
    "C7": LevelSize(13.8, 4.9, 0, -0.5, 21.8, 18.1, 24.5, 15.2, 6.6, 7.5, 31, 22, 10, 34),
    "T1": LevelSize(15.7, 4.7, 1, 0.5, 24.5, 18.5, 21.8, 16.4, 8.2, 9.6, 33, 28, 11, 38),
    "T2": LevelSize(16.3, 4.4, 1, 0.5, 24.9, 19.6, 19.5, 15.5, 7.6, 11.0, 33, 36, 11, 36),
    "T3": LevelSize(16.4, 4.3, 1, 0.5, 24.6, 22.7, 18.4, 16.0, 6.2, 11.6, 34, 42, 11, 34),
    "T4": LevelSize(17.0, 4.3, 3.75, 1.75, 24.5, 23.3, 17.0, 16.2, 5.4, 11.8, 35, 48, 11, 32),
    "T5": LevelSize(17.4, 4.4, 4, 1.75, 24.9, 24.3, 17.1, 16.2, 5.4, 11.9, 37, 56, 11, 32),
    "T6": LevelSize(17.6, 4.5, 4.25, 1.75, 26.2, 26.0, 17.3, 16.5, 5.6, 12.1, 38, 60, 11, 32),
    "T7": LevelSize(18.4, 4.6, 4, 1.5, 27.8, 27.4, 17.2, 15.8, 5.9, 12.4, 38, 60, 11, 31),
    "T8": LevelSize(18.6, 4.8, 3, 1, 29.5, 27.9, 17.7, 15.9, 6.3, 12.8, 37, 58, 12, 30),
    "T9": LevelSize(19.5, 4.9, 2.5, 0.75, 30.6, 29.3, 17.9, 15.7, 6.6, 13.6, 34, 50, 13, 29),
    "T10": LevelSize(20.9, 5.5, 1.75, 0.5, 31.9, 30.5, 18.2, 15.5, 7.0, 14.8, 30, 38, 15, 27),
    "T11": LevelSize(22.3, 6.1, 1.75, 0.25, 34.9, 31.9, 19.4, 16.0, 8.2, 16.2, 26, 24, 18, 23),
    "T12": LevelSize(24.5, 6.8, 2.5, 0, 39.0, 32.8, 22.2, 18.1, 8.2, 16.6, 26, 14, 20, 21),
    "T13": LevelSize(24.5, 7.3, 2.5, -2.5, 40.1, 33.5, 23.0, 18.6, 8.4, 16.2, 27, 12, 21, 24),
    "L1": LevelSize(26.2, 8.2, 2, -4.5, 41.2, 34.1, 23.7, 19.0, 8.7, 15.8, 29, 10, 22, 36),
    "L2": LevelSize(26.2, 8.9, 0.5, -6.5, 42.6, 34.6, 23.8, 18.2, 9.0, 15.2, 31, 8, 23, 40),
    "L3": LevelSize(26.7, 10.0, -1.5, -9, 44.1, 35.2, 24.3, 17.5, 10.4, 14.8, 32, 7, 23, 45),
    "L4": LevelSize(25.5, 10.6, -4, -11.5, 46.6, 35.5, 25.4, 18.6, 12.8, 14.6, 30, 7, 21, 43),
    "L5": LevelSize(26.4, 9.6, -11, -14.5, 47.3, 34.7, 27.1, 19.7, 16.4, 14.4, 23, 8, 16, 45),
    "L6": LevelSize(26.3, 8.4, -9, -10, 48.0, 34.2, 28.0, 19.5, 17.0, 14.0, 20, 8, 14, 46),
}
"""Average adult, by level. T13 and L6 are interpolated from their neighbours."""

S1_WIDTH_MM, S1_DEPTH_MM = 50.0, 33.5
HIP_HALF_WIDTH_MM = 88.0
"""Midline to the centre of a femoral head."""

FEMORAL_HEAD_RADIUS_MM = 23.5
PELVIC_THICKNESS_MM = 108.0
"""Hip axis to the centre of the S1 endplate."""
