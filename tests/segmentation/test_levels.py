import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_node.errors import PinRefused
from spine_node.segmentation.classes import LEVEL_CLASSES
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.levels import CERTAIN, name_levels
from spine_node.segmentation.numbering import SPACING_MM, USUAL
from spine_node.segmentation.sequence import WITNESS

FEW = settings(max_examples=6, deadline=None, derandomize=True)


def column(levels, size=1.0):
    """Body centres of these neighbouring levels, straight down."""
    z, points = 0.0, []
    for index, level in enumerate(levels):
        if index:
            z -= size * SPACING_MM[levels[index - 1], level]
        points.append((0.0, 0.0, z))
    return np.array(points)


def blind(count):
    return np.full((count, len(LEVEL_CLASSES)), -np.log(len(LEVEL_CLASSES)))


def seen(levels, sure=0.8):
    """Log probabilities of a net that favours these levels."""
    rest = (1 - sure) / (len(LEVEL_CLASSES) - 1)
    chance = np.full((len(levels), len(LEVEL_CLASSES)), rest)
    for row, level in enumerate(levels):
        chance[row, LEVEL_CLASSES.index(level)] = sure
    return np.log(chance)


def on_sacrum(levels, chance, centres=None, above_mm=None):
    """A spine whose lowest body lies on the sacrum."""
    return Evidence(column(levels) if centres is None else centres, chance, 22.0, above_mm)


def test_a_net_that_knows_names_the_whole_spine():
    naming = name_levels(Evidence(column(USUAL), seen(USUAL)))
    assert naming.levels == USUAL
    assert naming.margin > CERTAIN


@pytest.mark.parametrize("first", ["T4", "T11", "L2"])
def test_the_sacrum_alone_numbers_a_spine_from_below(first):
    """A blind net leaves counting: the last body lies on the sacrum, so it is L5."""
    levels = USUAL[USUAL.index(first) :]
    naming = name_levels(on_sacrum(levels, blind(len(levels))))
    assert naming.levels == levels
    assert any("counted up from the sacrum" in said for said in naming.quality)


def test_a_field_that_begins_at_the_thoracolumbar_border_begins_at_t12():
    """T13 as the first body is as rare as anywhere else."""
    levels = USUAL[USUAL.index("T12") :]
    naming = name_levels(on_sacrum(levels, blind(len(levels))))
    assert naming.levels == levels
    assert naming.margin > 3


def test_the_sacrum_outweighs_a_net_that_is_one_level_off():
    levels = USUAL[USUAL.index("T8") :]
    shifted = USUAL[USUAL.index("T7") : -1]
    assert name_levels(on_sacrum(levels, seen(shifted, 0.4))).levels == levels


def test_without_sacrum_and_appearance_the_naming_is_called_uncertain():
    levels = USUAL[8:14]
    naming = name_levels(Evidence(column(levels), blind(len(levels))))
    assert naming.margin < CERTAIN
    assert any("level uncertain" in said for said in naming.quality)
    assert any("sacrum is not in the field" in said for said in naming.quality)


def test_one_body_that_was_missed_leaves_a_gap_and_is_said():
    levels = USUAL[USUAL.index("T5") :]
    centres = np.delete(column(levels), 3, axis=0)
    kept = levels[:3] + levels[4:]
    naming = name_levels(on_sacrum(kept, blind(len(kept)), centres))
    assert naming.levels == kept
    assert any("between T7 and T9 was not found" in said for said in naming.quality)


def test_a_false_body_between_two_true_ones_is_dropped():
    levels = USUAL[USUAL.index("T6") :]
    centres = column(levels)
    false = (centres[4] + centres[5]) / 2
    centres = np.insert(centres, 5, false, axis=0)
    naming = name_levels(on_sacrum(levels, blind(len(centres)), centres))
    assert naming.levels.count(None) == 1
    assert naming.levels.index(None) in (4, 5, 6)


def test_six_lumbar_vertebrae_are_named_when_the_net_sees_them():
    levels = (*USUAL[USUAL.index("T6") :], "L6")
    naming = name_levels(on_sacrum(levels, seen(levels, 0.7)))
    assert naming.levels == levels
    assert any("six lumbar" in said for said in naming.quality)


def test_four_lumbar_vertebrae_are_named_when_the_net_sees_them():
    levels = USUAL[USUAL.index("T6") : -1]
    naming = name_levels(on_sacrum(levels, seen(levels, 0.8)))
    assert naming.levels == levels
    assert any("four lumbar" in said for said in naming.quality)


def test_a_missing_twelfth_thoracic_is_an_anomaly_not_a_gap():
    levels = tuple(level for level in USUAL[USUAL.index("T5") :] if level != "T12")
    naming = name_levels(on_sacrum(levels, seen(levels, 0.8)))
    assert naming.levels == levels
    assert any("T12 is absent" in said for said in naming.quality)


@pytest.mark.parametrize("size", [0.78, 1.0, 1.25])
def test_the_size_of_the_patient_does_not_change_the_names(size):
    evidence = on_sacrum(USUAL, blind(len(USUAL)), column(USUAL, size))
    assert name_levels(evidence).levels == USUAL


def test_a_sacrum_far_below_the_last_body_does_not_anchor():
    levels = USUAL[USUAL.index("T6") : USUAL.index("L3")]
    centres = column(levels)
    naming = name_levels(Evidence(centres, seen(levels), 105.0))
    assert naming.levels == levels
    assert any("above the sacrum was not found" in said for said in naming.quality)


def test_counting_from_the_atlas_finds_that_the_fifth_lumbar_is_absent():
    """A net that counts up from the sacrum would leave C1 without a name, in a field that shows the skull."""
    levels = USUAL[:-1]
    from_below = seen(USUAL[1:], 0.5)
    from_both = np.vstack([seen(levels, 0.5)[:12], from_below[12:]])
    naming = name_levels(on_sacrum(levels, from_both, above_mm=90.0))
    assert naming.levels == levels
    # A net that is sure of the dens leaves that C1 was not found, and says what else it could be.
    dens = name_levels(on_sacrum(levels, from_below, above_mm=90.0))
    assert dens.levels == USUAL[1:]
    assert levels in [h.levels for h in dens.hypotheses]


def test_a_field_that_ends_at_the_top_body_says_nothing_about_it():
    levels = USUAL[3:]
    naming = name_levels(on_sacrum(levels, seen(levels), above_mm=12.0))
    assert (naming.levels, naming.uncertain) == (levels, False)


def test_two_bodies_in_one_piece_keep_the_names_of_the_others_and_are_said():
    levels = USUAL[USUAL.index("T8") :]
    centres = column(levels)
    at = levels.index("L1")
    merged = np.vstack([centres[:at], centres[at : at + 2].mean(axis=0, keepdims=True), centres[at + 2 :]])
    chance = seen(levels[: at + 1] + levels[at + 2 :])
    chance[at] = np.log(np.exp(seen(["L1", "L2"])).mean(axis=0))
    naming = name_levels(on_sacrum(levels, chance, merged))
    assert naming.levels == levels[: at + 1] + levels[at + 2 :]
    assert "L1 and L2 were not told apart" in naming.quality


def test_a_body_that_the_border_cuts_seems_nearer_and_keeps_its_name():
    levels = USUAL[USUAL.index("T4") : USUAL.index("L2")]
    centres = column(levels)
    centres[0] += 0.55 * (centres[1] - centres[0])
    assert name_levels(Evidence(centres, seen(levels, 0.5))).levels == levels


@pytest.mark.parametrize("anomaly", ["T12", "L5"])
def test_one_vertebra_less_is_among_the_hypotheses_of_an_uncertain_spine(anomaly):
    """Blind below the neck, the net leaves open which one is absent: that is said, with whole namings."""
    levels = tuple(level for level in USUAL if level != anomaly)
    chance = blind(len(levels))
    chance[:7] = seen(USUAL[:7])
    naming = name_levels(on_sacrum(levels, chance, above_mm=90.0))
    assert naming.uncertain
    assert levels in [h.levels for h in naming.hypotheses if h.score > -CERTAIN]
    assert any(f"margin {naming.margin:.1f} nats" in said and "next: " in said for said in naming.quality)


def test_every_hypothesis_is_a_whole_spine_and_says_what_it_means():
    naming = name_levels(on_sacrum(USUAL[8:], seen(USUAL[8:])))
    words = " ".join(h.words for h in naming.hypotheses)
    for anomaly in ("six lumbar", "four lumbar", "eleven thoracic", "thirteen thoracic", "one level higher"):
        assert anomaly in words
    for hypothesis in naming.hypotheses:
        ranks = [USUAL.index(x) for x in hypothesis.levels if x in USUAL]
        assert ranks == sorted(set(ranks))
        assert len(hypothesis.levels) == len(naming.levels)
    assert naming.hypotheses[1].score == pytest.approx(-naming.margin)


def test_a_chest_scan_is_never_as_certain_as_one_with_a_sacrum():
    """Without an anchor a net that is one level off all along cannot be found out."""
    levels = USUAL[USUAL.index("T4") : USUAL.index("L3")]
    chest = name_levels(Evidence(column(levels), seen(levels, 0.99)))
    standing = name_levels(on_sacrum(USUAL[10:], seen(USUAL[10:], 0.99)))
    assert chest.levels == levels
    assert chest.margin < standing.margin
    assert [h.words for h in chest.hypotheses[1:3]] == [
        "the usual number of vertebrae (every body one level lower)",
        "the usual number of vertebrae (every body one level higher)",
    ] or [h.words for h in chest.hypotheses[1:3]] == [
        "the usual number of vertebrae (every body one level higher)",
        "the usual number of vertebrae (every body one level lower)",
    ]


def test_a_pin_holds_against_everything_else_and_the_rest_follows():
    levels = USUAL[10:]
    evidence = on_sacrum(levels, seen(levels, 0.99))
    six = name_levels(evidence, {len(levels) - 2: "L5"})
    assert six.levels == (*USUAL[11:], "L6")
    assert any("a person has fixed: L5" in said for said in six.quality)
    four = name_levels(evidence, {len(levels) - 1: "L4"})
    assert four.levels == USUAL[9:-1]


@pytest.mark.parametrize("off", [-3, -2, 2, 3])
@pytest.mark.parametrize("body", [0, 4, 8])
def test_every_name_follows_a_pin_however_far_the_net_is_off(off, body):
    """A field without the sacrum: no body is invented between the pin and the rest."""
    first = USUAL.index("T6")
    levels, read = USUAL[first : first + 9], USUAL[first + off : first + off + 9]
    naming = name_levels(Evidence(column(levels), seen(read)), {body: levels[body]})
    assert naming.levels == levels
    assert not any("not found" in said or "anomaly" in said for said in naming.quality)


@pytest.mark.parametrize("off", [0, 2])
def test_a_missed_vertebra_is_still_found_beside_a_pin(off):
    first = USUAL.index("T6")
    levels, read = USUAL[first : first + 9], USUAL[first + off : first + off + 9]
    kept = levels[:4] + levels[5:]
    evidence = Evidence(np.delete(column(levels), 4, axis=0), seen(read[:4] + read[5:]))
    naming = name_levels(evidence, {0: "T6"})
    assert naming.levels == kept
    assert any("between T9 and T11 was not found" in said for said in naming.quality)


@pytest.mark.parametrize("pins", [{3: "L1", 5: "T12"}, {3: "T4", 4: "L1"}, {0: "L3"}], ids=str)
def test_pins_that_no_spine_can_have_are_refused_in_words(pins):
    levels = USUAL[10:]
    with pytest.raises(PinRefused, match=r"no spine can be named so: body .* from above is"):
        name_levels(on_sacrum(levels, seen(levels)), pins)


STARTS = st.integers(0, 12)
SEEDS = st.integers(0, 10_000)


def noisy(start, seed):
    """A spine with the sacrum, scattered places and a doubting net."""
    rng = np.random.default_rng(seed)
    levels = USUAL[start:]
    chance = seen(levels, 0.6) + rng.normal(0, 0.4, (len(levels), len(LEVEL_CLASSES)))
    return levels, on_sacrum(levels, chance, column(levels) + rng.normal(0, 1.5, (len(levels), 3)))


def changed(evidence, centres=None, chance=None, gap=None):
    return Evidence(
        evidence.centres_mm if centres is None else centres,
        evidence.log_chance if chance is None else chance,
        evidence.sacrum_gap_mm if gap is None else gap,
        evidence.above_mm,
    )


@FEW
@given(STARTS, SEEDS)
def test_margins_and_scores_are_those_of_a_maximum_and_the_same_each_time(start, seed):
    _, evidence = noisy(start, seed)
    naming = name_levels(evidence)
    assert naming.margin >= 0
    assert all(h.score <= 0 for h in naming.hypotheses)
    assert naming.hypotheses[0].levels == naming.levels
    again = name_levels(evidence)
    assert (again.levels, again.margin, again.hypotheses) == (naming.levels, naming.margin, naming.hypotheses)


@FEW
@given(STARTS, SEEDS)
def test_a_mirrored_or_turned_spine_has_the_same_names(start, seed):
    _, evidence = noisy(start, seed)
    mirrored = changed(evidence, evidence.centres_mm * [-1, 1, 1])
    turned = changed(evidence, evidence.centres_mm[:, [2, 0, 1]] + 500)
    names = name_levels(evidence).levels
    assert name_levels(mirrored).levels == names == name_levels(turned).levels


@FEW
@given(STARTS, st.floats(0.8, 1.2))
def test_a_child_and_a_giant_have_the_same_names(start, size):
    levels = USUAL[start:]
    evidence = on_sacrum(levels, seen(levels, 0.6))
    assert name_levels(changed(evidence, evidence.centres_mm * size, gap=22.0 * size)).levels == levels


@FEW
@given(STARTS, SEEDS)
def test_noise_that_is_smaller_than_the_margin_changes_no_name(start, seed):
    """Each body counts `WITNESS` times what its log probabilities move: the margin is a promise."""
    _, evidence = noisy(start, seed)
    naming = name_levels(evidence)
    count = len(naming.levels)
    most = 0.49 * naming.margin / (WITNESS * count)
    noise = np.random.default_rng(seed).uniform(-most, most, evidence.log_chance.shape)
    assert name_levels(changed(evidence, chance=evidence.log_chance + noise)).levels == naming.levels


@FEW
@given(st.integers(0, 4), st.integers(0, 3))
def test_a_smaller_field_keeps_the_names_of_what_it_shows(top, bottom):
    levels = USUAL[6:]
    kept = slice(top, len(levels) - bottom)
    evidence = Evidence(column(levels)[kept], seen(levels)[kept])
    assert name_levels(evidence).levels == levels[kept]


@FEW
@given(STARTS, SEEDS, st.data())
def test_a_pin_always_wins(start, seed, data):
    levels, evidence = noisy(start, seed)
    body = data.draw(st.integers(0, len(levels) - 1))
    rank = USUAL.index(levels[body])
    name = USUAL[min(max(rank + data.draw(st.integers(-1, 1)), body), 23)]
    naming = name_levels(evidence, {body: name})
    assert naming.levels[body] == name
    assert all(h.levels[body] == name for h in naming.hypotheses)
