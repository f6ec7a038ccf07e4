"""Every class that is derived from parameters, as one table."""

from __future__ import annotations

from spine_node.parameters.definitions import PRIVATE_SCHEME, ClassDefinition, Code, Per

ALIGNMENT, SCOLIOSIS, LOCAL = "Alignment classes", "Curve classes", "Local grades"

_SCHWAB = "Schwab 2012, Spine 37:1077"
_GAP = "Yilgor 2017, J Bone Joint Surg Am 99:1661"
_LENKE = "Lenke 2001, J Bone Joint Surg Am 83:1169"
_LEVEL = (("level", "the vertebra named"),)


def _row(
    key: str,
    name: str,
    group: str,
    values: tuple[tuple[str, str], ...],
    definition: str,
    source: str,
    *,
    per: Per = "spine",
    regions: str = "CTL",
    posture: bool = True,
    provisional: bool = False,
) -> ClassDefinition:
    code = Code(key, PRIVATE_SCHEME, name)
    return ClassDefinition(
        key, name, group, values, definition, source, code, per, regions, posture, provisional
    )


CLASSES: tuple[ClassDefinition, ...] = (
    _row(
        "SCHWAB_COR",
        "SRS-Schwab coronal curve type",
        ALIGNMENT,
        (
            ("N", "no coronal curve above 30 degrees"),
            ("T", "thoracic curve only, apex T9 or higher"),
            ("L", "thoracolumbar or lumbar curve only, apex T10 or lower"),
            ("D", "double: a thoracic and a thoracolumbar or lumbar curve"),
        ),
        "coronal Cobb angles above 30 degrees, by apex",
        _SCHWAB,
    ),
    _row(
        "SCHWAB_PI_LL",
        "SRS-Schwab modifier PI-LL",
        ALIGNMENT,
        (("0", "below 10 degrees"), ("+", "10 to 20 degrees"), ("++", "above 20 degrees")),
        "PI minus LL: cuts at 10 and 20 degrees",
        _SCHWAB,
    ),
    _row(
        "SCHWAB_SVA",
        "SRS-Schwab modifier global alignment",
        ALIGNMENT,
        (("0", "below 40 mm"), ("+", "40 to 95 mm"), ("++", "above 95 mm")),
        "SVA: cuts at 40 and 95 mm",
        _SCHWAB,
    ),
    _row(
        "SCHWAB_PT",
        "SRS-Schwab modifier pelvic tilt",
        ALIGNMENT,
        (("0", "below 20 degrees"), ("+", "20 to 30 degrees"), ("++", "above 30 degrees")),
        "PT: cuts at 20 and 30 degrees",
        _SCHWAB,
    ),
    _row(
        "ROUSSOULY",
        "Roussouly type",
        ALIGNMENT,
        (
            ("1", "sacral slope below 35 degrees, apex of the lordosis at L5"),
            ("2", "sacral slope below 35 degrees, apex of the lordosis above L5"),
            ("3", "sacral slope 35 to 45 degrees"),
            ("4", "sacral slope above 45 degrees"),
        ),
        "SS: cuts at 35 and 45 degrees; below 35 by the foremost lumbar vertebra",
        "Roussouly 2005, Spine 30:346",
    ),
    _row(
        "GAP_RPV",
        "GAP relative pelvic version",
        ALIGNMENT,
        (
            ("3", "severe retroversion"),
            ("2", "moderate retroversion"),
            ("0", "aligned"),
            ("1", "anteversion"),
        ),
        "SS minus (0.59 PI + 9): cuts at -15, -7 and 5 degrees; the value is the points",
        _GAP,
    ),
    _row(
        "GAP_RLL",
        "GAP relative lumbar lordosis",
        ALIGNMENT,
        (
            ("3", "severe or hyper"),
            ("2", "moderate hypolordosis"),
            ("0", "aligned"),
        ),
        "LL minus (0.62 PI + 29): cuts at -25, -14 and 11 degrees; the value is the points, 3 above 11 and "
        "below -25",
        _GAP,
    ),
    _row(
        "GAP_LDI",
        "GAP lordosis distribution index",
        ALIGNMENT,
        (
            ("2", "severe hypolordotic maldistribution"),
            ("1", "moderate hypolordotic maldistribution"),
            ("0", "aligned"),
            ("3", "hyperlordotic maldistribution"),
        ),
        "LL L4-S1 in per cent of LL L1-S1: cuts at 40, 50 and 80; the value is the points",
        _GAP,
    ),
    _row(
        "GAP_RSA",
        "GAP relative spinopelvic alignment",
        ALIGNMENT,
        (
            ("3", "severe positive malalignment"),
            ("1", "moderate positive or negative malalignment"),
            ("0", "aligned"),
        ),
        "GT minus (0.48 PI - 15): cuts at -7, 10 and 18 degrees; the value is the points",
        _GAP,
    ),
    _row(
        "GAP",
        "GAP category",
        ALIGNMENT,
        (
            ("proportioned", "0 to 2 points"),
            ("moderately disproportioned", "3 to 6 points"),
            ("severely disproportioned", "7 points or more"),
        ),
        "sum of the four points and of 1 from 60 years on",
        _GAP,
    ),
    _row(
        "NEUTRAL_LEVEL",
        "Neutral vertebra",
        SCOLIOSIS,
        _LEVEL,
        "the least rotated vertebra from the lower end vertebra to two levels below it",
        "Spinal Deformity Study Group manual 2004",
        per="curve",
    ),
    _row(
        "STABLE_LEVEL",
        "Stable vertebra",
        SCOLIOSIS,
        _LEVEL,
        "the vertebra, from the lower end vertebra down, that the central sacral vertical line bisects best",
        "Spinal Deformity Study Group manual 2004",
        per="curve",
    ),
    _row(
        "LENKE_MAJOR",
        "Lenke major curve",
        SCOLIOSIS,
        (
            ("PT", "proximal thoracic, apex T3 to T5"),
            ("MT", "main thoracic, apex T6 to T11"),
            ("TL/L", "thoracolumbar or lumbar, apex T12 or lower"),
        ),
        "region of the largest Cobb angle; the curve type 1 to 6 needs bending films",
        _LENKE,
        provisional=True,
    ),
    _row(
        "LENKE_LUMBAR",
        "Lenke lumbar modifier",
        SCOLIOSIS,
        (
            ("A", "the central sacral vertical line runs between the pedicles of the apical lumbar vertebra"),
            ("B", "it touches the apical body"),
            ("C", "it runs beside the apical body"),
        ),
        "distance of the lumbar apex from the central sacral vertical line, against half the width "
        "between the pedicles and half that of the body",
        _LENKE,
        provisional=True,
    ),
    _row(
        "LENKE_SAGITTAL",
        "Lenke sagittal thoracic modifier",
        SCOLIOSIS,
        (("-", "below 10 degrees"), ("N", "10 to 40 degrees"), ("+", "above 40 degrees")),
        "kyphosis T5-T12: cuts at 10 and 40 degrees",
        _LENKE,
        provisional=True,
    ),
    _row(
        "LENKE_KYPHOSIS",
        "Lenke structural by kyphosis",
        SCOLIOSIS,
        (
            ("none", "neither region is kyphotic by 20 degrees"),
            ("PT", "kyphosis T2-T5 of 20 degrees or more"),
            ("TL/L", "kyphosis T10-L2 of 20 degrees or more"),
            ("PT and TL/L", "both"),
        ),
        "minor curves that are structural whatever bending films show: kyphosis T2-T5 or T10-L2 of "
        "20 degrees",
        _LENKE,
        provisional=True,
    ),
    _row(
        "MEYERDING",
        "Meyerding grade",
        LOCAL,
        (
            ("0", "no forward slip of 3 mm"),
            ("I", "up to 25 %"),
            ("II", "25 to 50 %"),
            ("III", "50 to 75 %"),
            ("IV", "75 to 100 %"),
            ("V", "above 100 %"),
        ),
        "forward slip in per cent of the lower endplate's depth, from 3 mm on",
        "Meyerding 1932",
        per="segment",
        posture=False,
    ),
    _row(
        "HLOSS_GRADE",
        "Height loss grade (Genant-like, quantitative)",
        LOCAL,
        (
            ("0", "below 20 %"),
            ("1", "20 to 25 %"),
            ("2", "25 to 40 %"),
            ("3", "above 40 %"),
        ),
        "vertebral height loss: cuts at 20, 25 and 40 %; no reading of a fracture",
        "thresholds of Genant 1993, J Bone Miner Res 8:1137",
        per="vertebra",
        regions="TL",
        posture=False,
    ),
    _row(
        "STENOSIS",
        "Bony canal narrowing",
        LOCAL,
        (
            ("none", "12 mm or more"),
            ("relative", "10 to 12 mm"),
            ("absolute", "below 10 mm"),
        ),
        "midsagittal canal diameter: cuts at 12 and 10 mm; bone only, lumbar levels",
        "Verbiest 1977",
        per="vertebra",
        regions="L",
        posture=False,
    ),
)
"""The classes, in reporting order."""

CLASS_DEFINITIONS: dict[str, ClassDefinition] = {row.key: row for row in CLASSES}
"""The same rows by key."""
