from __future__ import annotations

import json

import pytest

from spine_node.parameters.measure import measure
from spine_node.parameters.model import SCHEMA, Measurements
from tests.anatomy.voxel_spine import voxel_spine


def test_the_json_form_comes_back() -> None:
    measured = measure(voxel_spine().truth)
    read = Measurements.from_dict(json.loads(measured.to_json()))
    assert read.to_dict() == measured.to_dict()
    assert [p.key for p in read.parameters] == [p.key for p in measured.parameters]


def test_the_json_form_says_frame_method_and_reasons() -> None:
    spine = voxel_spine(("L4", "L5")).truth
    plain = measure(spine).to_dict()
    assert plain["frame"] == "PATIENT"
    assert {"key": "SVA", "reason": "C7 is not in the label map"} in plain["not_measured"]
    assert all(p["method"] and p["unit"] for p in plain["parameters"])
    assert "lines" not in plain["parameters"][0]


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match=f"schema 99, this software reads 1 and {SCHEMA}"):
        Measurements.from_dict({"schema": 99})
