"""The survey of lying spines: computed from keypoints, kept as a table, followed by the people drawn."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from spine_node.errors import Refused
from spine_node.phantom import prior, skeleton
from spine_node.phantom.pose import random_spec

SPINES = 400
SPACING = np.linspace(18, 36, len(prior.LEVELS) - 1)


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory) -> prior.Prior:
    """Spines of known spacing that bend at L3 by 12 degrees and turn at T8 by 6; the lowest ten see C1."""
    rng = np.random.default_rng(0)
    size = rng.normal(1, 0.05, (SPINES, 1))
    own = rng.normal(1, 0.05, (SPINES, len(SPACING)))
    length = SPACING * (size + own - 1)
    slope = np.zeros(length.shape)
    slope[:, prior.LEVELS.index("L3") :] = np.radians(12)  # chords below L3 go backwards
    step = np.stack([np.zeros(slope.shape), np.sin(slope), -np.cos(slope)], axis=2) * length[..., None]
    centre = np.concatenate([np.zeros((SPINES, 1, 3)), np.cumsum(step, axis=1)], axis=1)
    turn = np.zeros(centre.shape[:2])
    turn[:, prior.LEVELS.index("T8")] = np.radians(6)
    yaw = rng.normal(0, 0.1, (SPINES, 1))
    across = 12 * np.stack([np.cos(turn + yaw), np.sin(turn + yaw), np.zeros(turn.shape)], axis=2)
    xyz = np.stack([centre, centre + across, centre - across], axis=2).astype(np.float32)
    xyz[10:, 0] = np.nan
    path = tmp_path_factory.mktemp("vid") / "keypoints.npz"
    np.savez(path, xyz=xyz)
    return prior.survey(path)


def test_spacings_and_their_spread_come_back(surveyed: prior.Prior):
    at = prior.LEVELS.index("T12")
    found = surveyed.spacing_mm["T12-L1"]
    assert found.mean == pytest.approx(SPACING[at], rel=0.01)
    assert found.sd == pytest.approx(SPACING[at] * 0.05 * np.sqrt(2), rel=0.12)
    assert found.n == pytest.approx(0.98 * SPINES, abs=2)


def test_half_of_the_variance_is_the_persons_size_at_any_distance(surveyed: prior.Prior):
    assert surveyed.lag == pytest.approx([0.5] * 6, abs=0.06)


def test_bends_and_turns_have_their_place_and_sign(surveyed: prior.Prior):
    """Lordosis bends the way down backwards; counter-clockwise from above is to the left."""
    assert surveyed.bend_deg["L3"].mean == pytest.approx(12, abs=0.01)
    assert surveyed.bend_deg["L1"].mean == pytest.approx(0, abs=0.01)
    assert surveyed.rotation_deg["T8"].mean == pytest.approx(6, abs=0.1)
    assert surveyed.rotation_deg["T9"].mean == pytest.approx(0, abs=0.1)


def test_what_few_spines_show_is_left_out(surveyed: prior.Prior):
    assert "C1-C2" not in surveyed.spacing_mm
    assert "C1" not in surveyed.rotation_deg


def test_the_table_says_what_the_survey_found(surveyed: prior.Prior):
    row = surveyed.spacing_mm["T12-L1"]
    assert (
        f'"T12-L1": Spread({row.mean:.1f}, {row.sd:.1f}, {row.n}),' in prior.table(surveyed).splitlines()[18]
    )


def test_another_array_is_refused_with_what_was_expected(tmp_path: Path):
    np.savez(tmp_path / "other.npz", points=np.zeros((3, 3)))
    with pytest.raises(Refused, match=r"holds points .* expected an array xyz of shape \(spines, 25, 3, 3\)"):
        prior.survey(tmp_path / "other.npz")


@pytest.fixture(scope="module")
def chains() -> dict[str, list[np.ndarray]]:
    """Body centres (mid-height) of 200 people with the usual vertebrae, by level."""
    out: dict[str, list[np.ndarray]] = {}
    for seed in range(200):
        spec = random_spec(np.random.default_rng(seed), population="asymptomatic")
        for bone in skeleton.build(spec).bones:
            out.setdefault(bone.level, []).append(bone.body.middle_mm)
    return out


@pytest.mark.parametrize("pair", [p for p, s in prior.SPACING_MM.items() if s.n > 120])
def test_people_have_the_spacing_of_the_survey(chains: dict[str, list[np.ndarray]], pair: str):
    """Mean within 1 mm, spread within 30 %, where more than 120 spines were seen."""
    upper, lower = (np.array(chains[level]) for level in pair.split("-"))
    spacing = np.linalg.norm(upper - lower, axis=1)
    assert spacing.mean() == pytest.approx(prior.SPACING_MM[pair].mean, abs=1.0)
    assert spacing.std() == pytest.approx(prior.SPACING_MM[pair].sd, rel=0.30)


def test_people_bend_as_the_survey_and_standing_make_them(chains: dict[str, list[np.ndarray]]):
    """The line of centres turns from L1-L2 to L4-L5 by what it does lying and what standing adds."""
    centre = np.stack([np.array(chains[level]) for level in ("L1", "L2", "L4", "L5")])
    down = [centre[1] - centre[0], centre[3] - centre[2]]
    slope = [np.degrees(np.arctan2(d[:, 1], -d[:, 2])) for d in down]
    lying = sum(prior.LYING_BEND_DEG[level].mean for level in ("L2", "L3", "L4"))
    assert (slope[1] - slope[0]).mean() == pytest.approx(lying + prior.STANDING_BEND_DEG, abs=2.5)


def test_people_are_long_or_short_as_a_whole(chains: dict[str, list[np.ndarray]]):
    order = [level for level in prior.LEVELS if level in chains][2:]
    spacing = np.stack(
        [
            np.linalg.norm(np.array(chains[a]) - np.array(chains[b]), axis=1)
            for a, b in itertools.pairwise(order)
        ]
    )
    z = (spacing - spacing.mean(axis=1, keepdims=True)) / spacing.std(axis=1, keepdims=True)
    for lag, published in enumerate(prior.SPACING_LAG, start=1):
        assert np.mean(z[lag:] * z[:-lag]) == pytest.approx(published, abs=0.2)
