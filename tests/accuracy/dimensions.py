"""Sizes of an average adult spine by level: height, disc below, width, depth, canal (mm), pedicles.

Heights and discs, plate width and depth, canal depth and width follow Panjabi 1991/1992 (lumbar and
T11-T12) and the usual cervical and thoracic means; the rest only gives the posterior elements a shape.
Columns: mid height, disc below, width, depth, canal ap, canal width, usual wedge and disc angle
(degrees, kyphotic +), pedicle half width and half height, half span of the transverse processes.
"""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """One level's mean sizes, mm and degrees."""

    height: float
    disc: float
    width: float
    depth: float
    canal_ap: float
    canal_w: float
    wedge: float
    disc_angle: float
    pedicle_w: float
    pedicle_h: float
    span: float


SIZES = {
    "C2": Sizes(13.0, 4.8, 17.5, 15.6, 19.0, 24.5, 0, -2.5, 3.0, 3.5, 26),
    "C3": Sizes(13.2, 5.0, 15.8, 15.0, 16.2, 22.9, 0, -2.5, 2.6, 3.4, 26),
    "C4": Sizes(12.8, 5.2, 17.2, 15.3, 17.7, 24.7, 0, -2.5, 2.6, 3.4, 26),
    "C5": Sizes(12.5, 5.2, 17.5, 15.2, 17.4, 24.9, 0, -2.5, 2.7, 3.4, 27),
    "C6": Sizes(12.5, 5.2, 18.5, 16.4, 18.1, 25.8, 0, -2.5, 2.8, 3.4, 28),
    "C7": Sizes(14.0, 5.0, 21.8, 18.1, 15.2, 24.5, 0, -0.5, 3.2, 3.8, 31),
    "T1": Sizes(15.5, 4.6, 24.5, 18.5, 16.4, 21.8, 1, 0.5, 3.8, 4.6, 36),
    "T2": Sizes(16.2, 4.4, 24.9, 19.6, 15.5, 19.5, 1, 0.5, 3.6, 5.2, 34),
    "T3": Sizes(16.6, 4.3, 24.6, 22.7, 16.0, 18.4, 1, 0.5, 3.0, 5.6, 32),
    "T4": Sizes(17.0, 4.3, 24.5, 23.3, 16.2, 17.0, 3, 1.25, 2.7, 5.6, 31),
    "T5": Sizes(17.4, 4.4, 24.9, 24.3, 16.2, 17.1, 3, 1.25, 2.7, 5.6, 31),
    "T6": Sizes(18.2, 4.6, 26.2, 26.0, 16.5, 17.3, 3, 1.25, 2.7, 5.8, 30),
    "T7": Sizes(19.0, 4.8, 27.8, 27.4, 15.8, 17.2, 3, 1.25, 2.8, 6.0, 30),
    "T8": Sizes(19.4, 5.0, 29.5, 27.9, 15.9, 17.7, 3, 1.25, 3.0, 6.2, 30),
    "T9": Sizes(20.0, 5.0, 30.6, 29.3, 15.7, 17.9, 3, 1.25, 3.2, 6.6, 29),
    "T10": Sizes(21.0, 5.5, 31.9, 30.5, 15.5, 18.2, 3, 1.25, 3.6, 7.2, 27),
    "T11": Sizes(22.0, 6.0, 34.9, 31.9, 16.0, 19.4, 3, 1.25, 4.2, 8.0, 25),
    "T12": Sizes(23.5, 6.5, 39.0, 32.8, 18.1, 22.2, 3, 0.5, 4.2, 8.0, 24),
    "T13": Sizes(24.5, 7.2, 40.0, 33.4, 18.5, 23.0, 2.5, -1.0, 4.2, 7.8, 26),
    "L1": Sizes(25.6, 8.0, 41.2, 34.1, 19.0, 23.7, 2, -5, 4.2, 7.4, 36),
    "L2": Sizes(26.4, 9.0, 42.6, 34.6, 18.2, 23.8, 0, -7, 4.4, 7.2, 40),
    "L3": Sizes(26.8, 10.0, 44.1, 35.2, 17.5, 24.3, -2, -9, 5.0, 7.0, 45),
    "L4": Sizes(26.5, 11.0, 46.6, 35.5, 18.6, 25.4, -4, -11, 6.2, 7.0, 43),
    "L5": Sizes(26.0, 9.5, 47.3, 34.7, 19.7, 27.1, -11, -13, 8.0, 6.8, 44),
    "L6": Sizes(26.0, 9.0, 48.0, 34.5, 19.7, 27.5, -9, -10, 8.0, 6.6, 44),
}

CERVICAL = tuple(f"C{k}" for k in range(2, 8))
THORACIC = tuple(f"T{k}" for k in range(1, 13))

LABELS = (
    {f"C{k}": k for k in range(1, 8)}
    | {f"T{k}": 7 + k for k in range(1, 13)}
    | {f"L{k}": 19 + k for k in range(1, 7)}
    | {"S1": 26, "T13": 28, "hip left": 29, "hip right": 30, "head left": 31, "head right": 32}
)
ARCH = 100
"""Posterior elements carry the value of their level plus this."""
