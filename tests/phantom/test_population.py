"""A cohort of 300 built people, measured, against the published numbers of standing adults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from spine_node.phantom import skeleton, truth
from spine_node.phantom.population import NORMS, REGRESSIONS, Regression
from spine_node.phantom.pose import random_spec

PEOPLE = 300
SEEN = ("C7", "T1", "T4", "T12", "L1", "L4")
"""Levels that the parameters of `NORMS` need."""


@dataclass
class Cohort:
    """One value per person and name; NaN where a person has no such vertebra."""

    values: dict[str, np.ndarray]
    straight: np.ndarray


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    specs = [random_spec(np.random.default_rng(seed)) for seed in range(PEOPLE)]
    found = [truth.measure(skeleton.landmarks(skeleton.build(s), np.eye(4), only=SEEN)) for s in specs]
    values = {
        key: np.array([p.value if (p := t.get(key)) else np.nan for t in found])
        for key in (*NORMS, "C7_CSVL")
    }
    values["age"] = np.array([s.age_years for s in specs])
    straight = np.array([max(abs(c.angle_deg) for c in s.curves) < 10 for s in specs])
    return Cohort(values, straight)


@pytest.mark.parametrize("key", NORMS)
def test_the_mean_is_the_published_one(cohort: Cohort, key: str):
    """Within 2 degrees (SVA 5 mm), of everyone and of those without scoliosis, whom the surveys are about."""
    tolerance = 5.0 if key == "SVA" else 2.0
    values = cohort.values[key]
    assert np.nanmean(values) == pytest.approx(NORMS[key].mean, abs=tolerance)
    assert np.nanmean(values[cohort.straight]) == pytest.approx(NORMS[key].mean, abs=tolerance)


@pytest.mark.parametrize("key", NORMS)
def test_the_spread_is_the_published_one(cohort: Cohort, key: str):
    """Within a quarter."""
    assert np.nanstd(cohort.values[key]) == pytest.approx(NORMS[key].sd, rel=0.25)


@pytest.mark.parametrize("line", REGRESSIONS, ids=lambda line: line.key)
def test_the_regression_is_the_published_one(cohort: Cohort, line: Regression):
    """Intercept and slopes within twice their standard errors, the published ones and the cohort's own."""
    y = cohort.values[line.key]
    x = np.stack([np.ones(PEOPLE), *(cohort.values[name] for name in line.slopes)], axis=1)
    whole = np.isfinite(x).all(axis=1) & np.isfinite(y)
    x, y = x[whole], y[whole]
    found = np.linalg.lstsq(x, y, rcond=None)[0]
    own_error = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * np.var(y - x @ found))
    published = [line.intercept, *line.slopes.values()]
    error = np.hypot(own_error, list(line.standard_errors.values()))
    assert np.abs(found - published) / error == pytest.approx(0, abs=2)


def test_incidence_does_not_know_kyphosis(cohort: Cohort):
    """MEANS found no correlation; a spine may not be drawn as if there were one."""
    pair = np.stack([cohort.values["PI"], cohort.values["TK_T4T12"]])
    assert abs(np.corrcoef(pair[:, np.isfinite(pair).all(axis=0)])[0, 1]) < 0.15


def test_people_stand_balanced_whatever_their_curve(cohort: Cohort):
    assert np.abs(cohort.values["C7_CSVL"]).max() < 45
    assert np.std(cohort.values["C7_CSVL"]) == pytest.approx(10, abs=4)


def test_a_published_line_has_the_error_that_its_size_gives():
    """642 people about a line with 5.6 degrees: 0.021 per degree of incidence, 0.015 per year of age."""
    errors = REGRESSIONS[0].standard_errors
    assert errors["PI"] == pytest.approx(5.6 / 10.7 / np.sqrt(642))
    assert errors["age"] == pytest.approx(5.6 / 14.8 / np.sqrt(642))
    assert errors["intercept"] > 1


def test_populations_differ_in_their_curves_and_the_asymptomatic_have_the_usual_vertebrae():
    rng = np.random.default_rng(4)

    def largest(population: str) -> list[float]:
        specs = [random_spec(rng, population=population) for _ in range(40)]  # type: ignore[arg-type]
        if population == "asymptomatic":
            assert {len(s.segments) for s in specs} == {24}
        return [max(abs(c.angle_deg) for c in s.curves) for s in specs]

    assert max(largest("asymptomatic")) < 10 <= min(largest("scoliosis"))
    assert min(largest("standing")) < 10 < max(largest("standing"))
