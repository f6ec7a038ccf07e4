"""Clicks, from every program that people click in, are LPS millimetres."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spine_node.annotation.centres import check_inside, read_centres
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid

FILES = {
    "eye.json": json.dumps(
        {"frame": "LPS", "landmarks": {"L1": {"lps": [10, 20, 30]}, "S1": {"lps": [1, 2, 3]}}}
    ),
    "plain.json": json.dumps({"vertebrae_L1": [10, 20, 30], "sacrum": [1, 2, 3]}),
    "list.csv": "name,x,y,z\nL1,10,20,30\nS1,1,2,3\n",
    "bare.csv": "L1,10,20,30\nSacrum,1,2,3\n",
    "lps.mrk.json": json.dumps(
        {
            "markups": [
                {
                    "type": "Fiducial",
                    "coordinateSystem": "LPS",
                    "coordinateUnits": "mm",
                    "controlPoints": [
                        {"label": "L1", "position": [10, 20, 30], "positionStatus": "defined"},
                        {"label": "S1", "position": [1, 2, 3], "positionStatus": "defined"},
                        {"label": "L2", "position": [0, 0, 0], "positionStatus": "undefined"},
                    ],
                }
            ]
        }
    ),
    "ras.mrk.json": json.dumps(
        {
            "markups": [
                {
                    "coordinateSystem": "RAS",
                    "controlPoints": [
                        {"label": "L1", "position": [-10, -20, 30]},
                        {"label": "S1", "position": [-1, -2, 3]},
                    ],
                }
            ]
        }
    ),
    "new.fcsv": "# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    "1,10,20,30,0,0,0,1,1,1,0,L1,,\n2,1,2,3,0,0,0,1,1,1,0,S1,,\n",
    "old.fcsv": "# Markups fiducial file version = 4.6\n# CoordinateSystem = 0\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    "1,-10,-20,30,0,0,0,1,1,1,0,L1,,\n2,-1,-2,3,0,0,0,1,1,1,0,S1,,\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_list_gives_the_same_points(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    centres = read_centres(tmp_path / name)
    assert {k: v.tolist() for k, v in centres.items()} == {"L1": [10, 20, 30], "sacrum": [1, 2, 3]}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "no list of centres"),
        ("a.json", '{"L1": [1, 2]}', "no point of three numbers"),
        ("a.json", '{"L1": [1, 2, 3], "kidney": [1, 2, 3]}', "'kidney' names no structure"),
        ("a.json", '{"L1": [1, 2, 3], "l1 body": [1, 2, 3]}', "two centres for L1"),
        ("a.csv", "", "no point"),
        ("a.csv", "L1,1,2,left", "no list of centres"),
        ("a.mrk.json", '{"markups": [{"coordinateSystem": "IJK", "controlPoints": []}]}', "IJK, LPS or RAS"),
    ],
)
def test_what_is_no_list_is_refused_with_an_example(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelMapRefused, match=words):
        read_centres(tmp_path / name)


def test_centres_of_another_scan_are_refused_and_a_flipped_frame_is_named() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (100, 50, 0)
    grid = Grid((20, 20, 20), affine)
    check_inside({"L1": np.array([110.0, 60.0, 10.0])}, grid)
    with pytest.raises(LabelMapRefused, match=r"centres of L1 lie outside the image, .* another frame"):
        check_inside({"L1": np.array([-110.0, -60.0, 10.0])}, grid)
    with pytest.raises(LabelMapRefused, match=r"centres of L1 lie outside .* \(LPS\)\.$"):
        check_inside({"L1": np.array([110.0, 60.0, 99.0])}, grid)
