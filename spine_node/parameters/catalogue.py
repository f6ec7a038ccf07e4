"""Every parameter this package reports, as one table: measuring, SR, JSON and README read it.

A row says what the number is, which of the competing definitions it follows, what its sign means, and
the code it is stored under. It holds no formula: `measure` pairs rows and formulas, and a test sees
that no row is without one.
"""

from __future__ import annotations

from dataclasses import dataclass

PRIVATE_SCHEME = "99SPINE3D"
"""Coding scheme designator of our own codes (PS3.3 8.2: private designators begin with 99)."""

P_FRAME = "patient frame: vertical, and the horizontal direction from the right to the left femoral head"
LOCAL_FRAME = "the vertebra's own axes against the patient frame"
HIP_FRAME = "plane across the axis through both femoral head centres"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept as DICOM stores it (value up to 16 characters, meaning up to 64)."""

    value: str
    scheme: str
    meaning: str

    def __post_init__(self) -> None:
        if not 0 < len(self.value) <= 16 or not 0 < len(self.meaning) <= 64:
            raise ValueError(f"code {self.value!r} ({self.meaning!r}) is longer than 16 / 64 characters")


@dataclass(frozen=True, slots=True)
class Norm:
    """A range of normal values, in the parameter's unit and sign, of standing adults."""

    low: float
    high: float
    statistic: str
    source: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One row.

    Attributes
    ----------
    key : str
        What `Parameter.key` holds.
    name : str
        As a surgeon says it.
    unit : str
        UCUM: "deg" or "mm".
    sign : str
        What a positive number means.
    frame : str
        Where the number lives; a projected angle without its frame means nothing.
    definition : str
        Which of the competing definitions this is.
    source : str
        Who defined it so.
    code : Code
    per : str
        "spine" (once), "curve" (once for each curve) or "vertebra".
    norm : Norm, optional
        Only where the source itself was read.
    """

    key: str
    name: str
    unit: str
    sign: str
    frame: str
    definition: str
    source: str
    code: Code
    per: str = "spine"
    norm: Norm | None = None

    @property
    def method(self) -> str:
        """The definition and its frame in one sentence, for reports."""
        return f"{self.definition}; {self.frame}"


def _private(key: str, meaning: str) -> Code:
    return Code(key, PRIVATE_SCHEME, meaning)


_MAC_THIONG = "Mac-Thiong 2011, Spine 36:E1, 709 adults"
_MEANS = "MEANS 2022, 468 asymptomatic adults"

CATALOGUE: tuple[Definition, ...] = (
    Definition(
        "PI",
        "Pelvic incidence",
        "deg",
        "always positive in practice; larger means a steeper sacral endplate in the pelvis",
        HIP_FRAME,
        "angle from the line hip axis - S1 endplate centre to the normal of the S1 endplate",
        "Legaye 1998, Eur Spine J 7:99; plane across the three-dimensional hip axis (Vrtovec 2012)",
        _private("PI", "Pelvic incidence"),
        norm=Norm(32, 74, "mean ± 2 SD", _MAC_THIONG),
    ),
    Definition(
        "PT",
        "Pelvic tilt",
        "deg",
        "positive when the S1 endplate lies behind the hip axis",
        P_FRAME,
        "angle from the vertical to the line hip axis - S1 endplate centre, in the sagittal plane",
        "Legaye 1998, Eur Spine J 7:99",
        _private("PT", "Pelvic tilt"),
        norm=Norm(0, 27, "mean ± 2 SD", _MAC_THIONG),
    ),
    Definition(
        "SS",
        "Sacral slope",
        "deg",
        "positive when the S1 endplate faces forward",
        P_FRAME,
        "slope of the S1 endplate against the horizontal, in the sagittal plane",
        "Legaye 1998, Eur Spine J 7:99",
        _private("SS", "Sacral slope"),
        norm=Norm(24, 55, "mean ± 2 SD", _MAC_THIONG),
    ),
    Definition(
        "LL_L1S1",
        "Lumbar lordosis L1-S1",
        "deg",
        "lordosis is positive",
        P_FRAME,
        "slope of the S1 endplate minus slope of the L1 superior endplate, in the sagittal plane",
        "Cobb method between L1 superior and S1 (Schwab 2006)",
        _private("LL_L1S1", "Lumbar lordosis L1-S1"),
        norm=Norm(34.8, 80.0, "mean ± 2 SD", _MEANS),
    ),
    Definition(
        "LL_L4S1",
        "Lower lumbar lordosis L4-S1",
        "deg",
        "lordosis is positive",
        P_FRAME,
        "slope of the S1 endplate minus slope of the L4 superior endplate, in the sagittal plane",
        "Cobb method between L4 superior and S1 (Yilgor 2017)",
        _private("LL_L4S1", "Lumbar lordosis L4-S1"),
        norm=Norm(17.6, 50.8, "mean ± 2 SD", "90 asymptomatic adults, mean 34.2, SD 8.3"),
    ),
    Definition(
        "PI_LL",
        "Pelvic incidence minus lumbar lordosis",
        "deg",
        "positive when lordosis falls short of incidence",
        P_FRAME,
        "pelvic incidence minus lumbar lordosis L1-S1",
        "Schwab 2012, Spine 37:1077",
        _private("PI_LL", "Pelvic incidence minus lumbar lordosis"),
    ),
    Definition(
        "TK_T4T12",
        "Thoracic kyphosis T4-T12",
        "deg",
        "kyphosis is positive",
        P_FRAME,
        "slope of the T4 superior endplate minus slope of the T12 inferior endplate, in the sagittal plane",
        "Cobb method between T4 superior and T12 inferior",
        _private("TK_T4T12", "Thoracic kyphosis T4-T12"),
        norm=Norm(15.6, 59.2, "mean ± 2 SD", _MEANS),
    ),
    Definition(
        "T1S",
        "T1 slope",
        "deg",
        "positive when the T1 superior endplate faces forward",
        P_FRAME,
        "slope of the T1 superior endplate against the horizontal, in the sagittal plane",
        "Knott 2010, Spine J 10:994",
        _private("T1S", "T1 slope"),
    ),
    Definition(
        "SVA",
        "Sagittal vertical axis",
        "mm",
        "positive when C7 stands in front of the sacrum",
        P_FRAME,
        "horizontal distance from the posterior superior corner of S1 forward to the plumb line of the "
        "centroid of the C7 body",
        "Jackson 1994, Spine 19:1611",
        _private("SVA", "Sagittal vertical axis"),
    ),
    Definition(
        "T1SPI",
        "T1 spinopelvic inclination",
        "deg",
        "positive when T1 stands in front of the hips",
        P_FRAME,
        "angle from the vertical to the line hip axis - centroid of the T1 body, in the sagittal plane",
        "Lafage 2009, Spine 34:E599",
        _private("T1SPI", "T1 spinopelvic inclination"),
    ),
    Definition(
        "TPA",
        "T1 pelvic angle",
        "deg",
        "positive when T1 stands in front of the line hips - sacrum",
        P_FRAME,
        "angle at the hip axis between the S1 endplate centre and the centroid of the T1 body, in the "
        "sagittal plane",
        "Protopsaltis 2014, J Bone Joint Surg Am 96:1631",
        _private("TPA", "T1 pelvic angle"),
    ),
    Definition(
        "COBB",
        "Cobb angle",
        "deg",
        "always positive; the side is that of the convexity",
        P_FRAME,
        "angle between the superior endplate of the upper and the inferior endplate of the lower end "
        "vertebra, in the coronal plane; end vertebrae are the most tilted of the curve",
        "Cobb 1948; end vertebrae from the tilt profile C7 to the lowest lumbar vertebra, 10 degrees or more",
        Code("285285000", "SCT", "Cobb angle"),
        per="curve",
    ),
    Definition(
        "C7_CSVL",
        "Coronal balance C7-CSVL",
        "mm",
        "positive when C7 stands to the patient's left of the central sacral vertical line",
        P_FRAME,
        "horizontal distance from the vertical through the S1 endplate centre to the centroid of the C7 "
        "body, in the coronal plane",
        "Spinal Deformity Study Group manual 2004; line through the S1 endplate centre",
        _private("C7_CSVL", "Coronal balance C7 to central sacral vertical line"),
    ),
    Definition(
        "AVR",
        "Axial vertebral rotation",
        "deg",
        "positive when the front of the body is turned to the patient's left",
        LOCAL_FRAME,
        "angle, in the vertebra's own transverse plane, from the projected patient anterior direction to "
        "the vertebra's anterior axis",
        "local transverse plane as Kouwenhoven 2006, Spine 31:1467; lateral-sagittal-axial order as "
        "Stokes (SRS) 1994",
        _private("AVR", "Axial vertebral rotation"),
        per="vertebra",
    ),
    Definition(
        "PELVOBL",
        "Pelvic obliquity",
        "deg",
        "positive when the left femoral head is higher",
        P_FRAME,
        "angle of the line between the femoral head centres against the horizontal",
        "femoral head line; iliac crests and sacral endplate give other values",
        _private("PELVOBL", "Pelvic obliquity (femoral heads)"),
    ),
    Definition(
        "FHHD",
        "Femoral head height difference",
        "mm",
        "positive when the left femoral head is higher",
        P_FRAME,
        "height of the left minus height of the right femoral head centre",
        "centres of spheres fitted to the heads",
        _private("FHHD", "Femoral head height difference"),
    ),
)
"""The parameters, in reporting order."""

DEFINITIONS: dict[str, Definition] = {row.key: row for row in CATALOGUE}
"""The same rows by key."""
