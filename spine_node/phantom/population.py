"""How standing adults are made: published means, spreads and regressions, and people drawn from them.

Two surveys of asymptomatic adults agree with each other and are followed: MEANS (Sardar et al., Spine
2022;47:1372, 468 volunteers of five countries, biplanar radiographs, 18 to 80 years) for means, spreads
and for lordosis; and the 642 of PubMed 40261392 for what pelvic incidence and age do to pelvic tilt and to
the T1 pelvic angle. Degrees; kyphosis, lordosis and backward pelvic tilt are positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Population = Literal["standing", "asymptomatic", "scoliosis"]
"""Adults with all that a practice sees; without curves of 10 degrees, fractures and odd numbers of vertebrae;
with a curve of 10 degrees or more."""


@dataclass(frozen=True, slots=True)
class Norm:
    """Mean and standard deviation over people, and who says so."""

    mean: float
    sd: float
    source: str


NORMS: dict[str, Norm] = {
    "PI": Norm(52.0, 10.7, "MEANS"),
    "PT": Norm(12.5, 7.3, "MEANS"),
    "SS": Norm(39.5, 9.0, "MEANS as PI - PT; 39.5 +- 7.8 in Mac-Thiong 2011, 709 adults"),
    "LL_L1S1": Norm(57.4, 11.3, "MEANS"),
    "LL_L4S1": Norm(0.67 * 57.4, 8.3, "67 % of L1-S1 (90 adults); spread of PMC6680033, 627 adults"),
    "PI_LL": Norm(-5.4, 10.7, "MEANS"),
    "TK_T4T12": Norm(37.4, 10.9, "MEANS"),
    "T1S": Norm(23.0, 7.9, "MEANS"),
    "TPA": Norm(8.0, 7.3, "MEANS as 5.0 in the young, 13.7 above 64 years; spread that of PT"),
    "SVA": Norm(-0.5, 25.0, "PMC6334400 table 1, mm"),
}
"""By catalogue key. T1SPI is TPA - PT; its separate norm (-1.35) contradicts these two and SVA."""

AGE = Norm(40.4, 14.8, "MEANS, years; 18 to 80")


@dataclass(frozen=True, slots=True)
class Regression:
    """A published straight line: `key` = intercept + sum of slopes times other values.

    `residual_sd` and `n` give the standard errors, where the source prints none: the residual from its
    r squared or from the spread that is left, with the spreads of `NORMS`.
    """

    key: str
    intercept: float
    slopes: dict[str, float]
    residual_sd: float
    n: int
    source: str

    def at(self, **values: float) -> float:
        """The line's value there."""
        return self.intercept + sum(by * values[name] for name, by in self.slopes.items())

    @property
    def standard_errors(self) -> dict[str, float]:
        """Of the intercept and of each slope."""
        x = {name: AGE if name == "age" else NORMS[name] for name in self.slopes}
        of_mean = self.residual_sd / np.sqrt(self.n)
        far = sum((norm.mean / norm.sd) ** 2 for norm in x.values())
        return {"intercept": of_mean * np.sqrt(1 + far)} | {k: of_mean / v.sd for k, v in x.items()}


PT_LINE = Regression("PT", -12.7, {"PI": 0.38, "age": 0.14}, 5.6, 642, "PubMed 40261392")
TPA_LINE = Regression("TPA", -16.9, {"PI": 0.34, "age": 0.15}, 5.6, 642, "PubMed 40261392")
LL_LINE = Regression(
    "LL_L1S1",
    5.9,
    {"PI": 0.57, "TK_T4T12": 0.58},
    5.3,
    94,
    "MEANS, 38 to 50 years, r2 0.78; 0.51 to 0.62 and 0.46 to 0.61 in the other four age groups",
)
REGRESSIONS = (PT_LINE, TPA_LINE, LL_LINE)


@dataclass(frozen=True, slots=True)
class Sagittal:
    """One person from the side: what is drawn before the vertebrae are.

    Lordosis is missing: it is the one that puts T1 at `T1SPI_deg` over the hips, as a standing person
    finds it.
    """

    age_years: float
    PI_deg: float
    PT_deg: float
    TK_deg: float
    T1SPI_deg: float
    C2_slope_deg: float

    @property
    def sacral_slope_deg(self) -> float:
        return self.PI_deg - self.PT_deg


def draw_sagittal(rng: np.random.Generator, *, spread: float = 1.0, PI_deg: float | None = None) -> Sagittal:
    """A standing adult, of this incidence if it is given; `spread` below 1 keeps nearer to the mean."""

    def normal(mean: float, sd: float, low: float, high: float) -> float:
        return float(np.clip(mean + spread * sd * rng.normal(), low, high))

    age = normal(AGE.mean, AGE.sd, 18, 80)
    PI = normal(NORMS["PI"].mean, NORMS["PI"].sd, 27, 85)
    PI = PI if PI_deg is None else PI_deg
    off_line = spread * PT_LINE.residual_sd * rng.normal()
    PT = float(np.clip(PT_LINE.at(PI=PI, age=age) + off_line, PI - 68, PI - 12))
    TK = normal(NORMS["TK_T4T12"].mean, NORMS["TK_T4T12"].sd, 8, 75)
    # the head, not T1, is kept over the hips: a backward pelvis and a round back carry T1 backwards
    lean = -0.35 * off_line - 0.08 * (TK - NORMS["TK_T4T12"].mean)
    T1SPI = TPA_LINE.at(PI=PI, age=age) - PT_LINE.at(PI=PI, age=age) + 1.4 + lean
    return Sagittal(
        age_years=age,
        PI_deg=PI,
        PT_deg=PT,
        TK_deg=TK,
        T1SPI_deg=normal(T1SPI, 1.6, -15, 8),
        C2_slope_deg=normal(10.9, 6.2, -8, 30),  # PMC6334400 table 1
    )
