import pytest

from spine_node.errors import ConfigRefused
from spine_node.evaluation.sets import chosen
from tests.evaluation.test_cases import write_scan


def test_sets_are_chosen_by_name_or_by_folder(tmp_path):
    write_scan(tmp_path / "a")
    none = {"real": None, "standing": None, "templates": None}
    assert chosen([], none, count=2, spacing_mm=3).keys() == {"synthetic"}
    assert chosen([], none | {"real": tmp_path}, count=2, spacing_mm=3).keys() == {"real"}
    both = chosen(["stress", "synthetic"], none | {"standing": tmp_path}, count=2, spacing_mm=3)
    assert {name: len(cases) for name, cases in both.items()} == {"stress": 2, "synthetic": 2, "standing": 1}
    with pytest.raises(ConfigRefused, match="there is no set 'rael'"):
        chosen(["rael"], none, count=2, spacing_mm=3)
