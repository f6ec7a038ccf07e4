import numpy as np
import pytest

from spine_node.errors import PinRefused
from spine_node.segmentation.pins import NEAR_MM, Pin, pin_of, resolved

LEVELS = ("L2", None, "L3", "L4")
CENTRES = np.array([[0.0, 0, 90], [0, 0, 75], [0, 0, 60], [5, 0, 30]])


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        ("L5=L4", Pin("L5", called="L4")),
        ("T12 = Th11", Pin("T12", called="T11")),
        ("L6=-1.5, 20,+880", Pin("L6", point_mm=(-1.5, 20.0, 880.0))),
    ],
)
def test_a_pin_is_written_as_people_write_levels(text, pin):
    assert pin_of(text) == pin
    assert pin_of(str(pin)) == pin


@pytest.mark.parametrize(
    "text", ["L5", "L5=", "L7=L5", "L5=1,2", "L5=1,2,x", "sacrum=L5", "L5_body=L4", "=L4"]
)
def test_what_is_no_pin_is_told_how_to_write_one(text):
    with pytest.raises(ValueError, match="write L5=L4"):
        pin_of(text)


def test_a_pin_means_the_body_of_that_name_or_the_nearest_one():
    assert resolved([pin_of("L5=L4"), pin_of("L4=L3")], LEVELS, CENTRES) == {3: "L5", 2: "L4"}
    assert resolved([pin_of("L5=6,1,33")], LEVELS, CENTRES) == {3: "L5"}
    assert resolved([pin_of("L3=0,0,76")], LEVELS, CENTRES) == {1: "L3"}


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        (["L5=T9"], "no vertebra is called T9; there are L2, L3, L4"),
        (["L5=0,0,-10"], f"the nearest body .L4. is 40 mm away, at most {NEAR_MM:.0f} mm were expected"),
        (["L5=L4", "L4=L4"], "L5=L4 and L4=L4 contradict each other"),
        (["L5=L4", "L5=L3"], "contradict each other"),
    ],
)
def test_a_pin_that_cannot_be_meant_is_refused_in_words(pins, words):
    with pytest.raises(PinRefused, match=words):
        resolved([pin_of(text) for text in pins], LEVELS, CENTRES)
