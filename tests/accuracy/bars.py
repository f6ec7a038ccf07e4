"""The bars an error is held against: the acceptance tolerances for exact label maps of 0.5 to 1 mm."""

from __future__ import annotations

ANGLE, DISTANCE = 1.5, 0.5
ROUGH = 2.0
"""Factor on every bar for maps with surface noise, and for resampled ones."""

EXACT = {
    "PI": 1.0, "SS": 1.0, "PT": 0.5, "PI_3D": 1.0, "SS_3D": 1.0, "PT_3D": 0.5,
    "T1SPI": 0.5, "T9SPI": 0.5, "ODHA": 0.5, "TPA": 0.5, "GT": 0.5, "SSA": 1.0, "PELVOBL": 0.2,
    "PELVOBL_CREST": 0.4, "PELVIS_YAW": 0.2, "PELVOBL_S1": 1.0, "S1_TILT": 1.0, "T1_TILT": 1.0,
    "L5_TILT": 1.0, "TILT_SUP": 1.0, "TILT_INF": 1.0, "SLOPE_SUP": 1.0, "SLOPE_INF": 1.0,
    "PMC_AZ": 3.0, "TORSION": 2.0, "SLIP_PCT": 1.5, "LDI": 3.0,
    "VBR_AP": 0.03, "VBR_MP": 0.03, "VBR_PP": 0.03, "DHI": 0.03, "DHI_FARFAN": 0.03,
    "VB_VOL": 2.0, "V_VOL": 2.0,
    "plate normal": 1.0, "S1 normal": 1.0, "plate normal, noise alone": 1.0, "S1 normal, noise alone": 1.0,
    "head centre": 0.3, "body centroid": 0.5,
    "plate centre": 0.5, "S1 centre": 0.5, "dens tip": 0.5,
}  # fmt: skip
"""Bars that differ from the common ones; volumes in per cent, ratios as such."""

DISTANCES = (
    "SVA", "CSVA", "C7_CSVL", "FHHD", "AVT", "VBH_", "EPW_", "EPD_", "CANAL_", "DH_", "SLIP_MM", "SLIP_LAT",
    "SLIP_VERT",
)  # fmt: skip
PERCENT = ("VB_VOL", "V_VOL")
"""Keys whose error is told in per cent of the truth."""


def bar(key: str, variant: str = "exact") -> float:
    """The tolerance of a key: degrees, mm, per cent or ratio, as the key is."""
    base = key.removesuffix("_3D")
    if key in EXACT:
        value = EXACT[key]
    elif base in EXACT and key != base:
        value = EXACT[base]
    elif key.startswith(DISTANCES):
        value = DISTANCE
    else:
        value = ANGLE
    return value if variant == "exact" else value * ROUGH


def is_angle(key: str) -> bool:
    """Whether the values of a key wrap round at 180 degrees."""
    ratio = key.startswith(("VBR_", "DHI", *PERCENT)) or key in ("SLIP_PCT", "LDI")
    return not (ratio or key.startswith(DISTANCES))
