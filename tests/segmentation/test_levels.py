import numpy as np
import pytest

from spine_node.anatomy.levels import LEVELS
from spine_node.segmentation.classes import LEVEL_CLASSES
from spine_node.segmentation.levels import CERTAIN, SPACING_MM, name_levels

USUAL = tuple(level for level in LEVELS if level not in ("T13", "L6"))


def column(levels, size=1.0):
    """Body centres of these neighbouring levels, straight down."""
    z, points = 0.0, []
    for index, level in enumerate(levels):
        if index:
            z -= size * SPACING_MM.get((levels[index - 1], level), 45.0)
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


def on_sacrum(centres):
    return {"sacrum_mm": centres[-1] - [0, 0, 25.0], "sacrum_gap_mm": 22.0}


def test_a_net_that_knows_names_the_whole_spine():
    naming = name_levels(column(USUAL), seen(USUAL))
    assert naming.levels == USUAL
    assert naming.margin > CERTAIN


@pytest.mark.parametrize("first", ["T4", "T11", "L2"])
def test_the_sacrum_alone_numbers_a_spine_from_below(first):
    """A blind net leaves counting: the last body lies on the sacrum, so it is L5."""
    levels = USUAL[USUAL.index(first) :]
    centres = column(levels)
    naming = name_levels(centres, blind(len(levels)), **on_sacrum(centres))
    assert naming.levels == levels
    assert any("counted up from the sacrum" in said for said in naming.quality)


def test_a_field_that_begins_at_the_thoracolumbar_border_begins_at_t12():
    """T13 as the first body is as rare as anywhere else."""
    levels = USUAL[USUAL.index("T12") :]
    centres = column(levels)
    naming = name_levels(centres, blind(len(levels)), **on_sacrum(centres))
    assert naming.levels == levels
    assert naming.margin > CERTAIN


def test_the_sacrum_outweighs_a_net_that_is_one_level_off():
    levels = USUAL[USUAL.index("T8") :]
    centres = column(levels)
    shifted = USUAL[USUAL.index("T7") : -1]
    assert name_levels(centres, seen(shifted, 0.4), **on_sacrum(centres)).levels == levels


def test_without_sacrum_and_appearance_the_naming_is_called_uncertain():
    levels = USUAL[8:14]
    naming = name_levels(column(levels), blind(len(levels)))
    assert naming.margin < CERTAIN
    assert any("level uncertain" in said for said in naming.quality)
    assert any("sacrum is not in the field" in said for said in naming.quality)


def test_one_body_that_was_missed_leaves_a_gap_and_is_said():
    levels = USUAL[USUAL.index("T5") :]
    centres = np.delete(column(levels), 3, axis=0)
    kept = levels[:3] + levels[4:]
    naming = name_levels(centres, blind(len(kept)), **on_sacrum(centres))
    assert naming.levels == kept
    assert any("between T7 and T9 was not found" in said for said in naming.quality)


def test_a_false_body_between_two_true_ones_is_dropped():
    levels = USUAL[USUAL.index("T6") :]
    centres = column(levels)
    false = (centres[4] + centres[5]) / 2
    naming = name_levels(np.insert(centres, 5, false, axis=0), blind(len(levels) + 1), **on_sacrum(centres))
    assert naming.levels.count(None) == 1
    assert naming.levels.index(None) in (4, 5, 6)


def test_six_lumbar_vertebrae_are_named_when_the_net_sees_them():
    levels = (*USUAL[USUAL.index("T6") :], "L6")
    centres = column(levels)
    naming = name_levels(centres, seen(levels, 0.7), **on_sacrum(centres))
    assert naming.levels == levels
    assert any("six lumbar" in said for said in naming.quality)


def test_four_lumbar_vertebrae_are_named_when_the_net_sees_them():
    levels = USUAL[USUAL.index("T6") : -1]
    centres = column(levels)
    naming = name_levels(centres, seen(levels, 0.8), **on_sacrum(centres))
    assert naming.levels == levels
    assert any("four lumbar" in said for said in naming.quality)


def test_a_missing_twelfth_thoracic_is_an_anomaly_not_a_gap():
    levels = tuple(level for level in USUAL[USUAL.index("T5") :] if level != "T12")
    centres = column(levels)
    naming = name_levels(centres, seen(levels, 0.8), **on_sacrum(centres))
    assert naming.levels == levels
    assert any("T12 is absent" in said for said in naming.quality)


@pytest.mark.parametrize("size", [0.78, 1.0, 1.25])
def test_the_size_of_the_patient_does_not_change_the_names(size):
    centres = column(USUAL, size)
    assert name_levels(centres, blind(len(USUAL)), **on_sacrum(centres)).levels == USUAL


def test_a_sacrum_far_below_the_last_body_does_not_anchor():
    levels = USUAL[USUAL.index("T6") : USUAL.index("L3")]
    centres = column(levels)
    naming = name_levels(centres, seen(levels), sacrum_mm=centres[-1] - [0, 0, 110.0], sacrum_gap_mm=105.0)
    assert naming.levels == levels
    assert any("above the sacrum was not found" in said for said in naming.quality)
