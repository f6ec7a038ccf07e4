"""The second process that draws: the same pictures, and no harm where it dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.pictures.aside import Draughtsman
from spine_node.pictures.pictures import draw_pictures
from spine_node.pictures.scene import Scene
from tests.pictures.drawn_people import person, scene_of


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of(person())


@pytest.fixture
def draughtsman(monkeypatch: pytest.MonkeyPatch) -> Iterator[Draughtsman]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    made = Draughtsman()
    yield made
    if made._process is not None:
        made._process.kill()
        made._process.wait()


def image_of(scene: Scene) -> tuple[Volume, LabelMap]:
    label_map = scene.label_map
    return scene.volume or Volume(label_map.grid, label_map.labels.astype(np.int16)), label_map


def assert_same(drawn: list[Picture] | None, expected: list[Picture]) -> None:
    assert drawn is not None
    assert [(p.name, p.title, p.image_columns) for p in drawn] == [
        (p.name, p.title, p.image_columns) for p in expected
    ]
    for one, other in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)


def test_what_is_drawn_aside_is_what_would_be_drawn_here_study_after_study(
    scene: Scene, draughtsman: Draughtsman
) -> None:
    volume, label_map = image_of(scene)
    expected = draw_pictures(volume, label_map, scene.spine, scene.measurements)
    for _ in range(2):
        drawing = draughtsman.begin(volume, label_map)
        assert drawing is not None
        assert draughtsman.begin(volume, label_map) is None, "one study at a time"
        drawing.draw(scene.spine, scene.measurements)
        assert_same(drawing.pictures(), expected)


def test_a_killed_process_leaves_the_drawing_to_us_and_the_next_study_has_a_new_one(
    scene: Scene, draughtsman: Draughtsman
) -> None:
    volume, label_map = image_of(scene)
    drawing = draughtsman.begin(volume, label_map)
    assert drawing is not None
    assert draughtsman._process is not None
    os.kill(draughtsman._process.pid, signal.SIGKILL)
    draughtsman._process.wait()
    drawing.draw(scene.spine, scene.measurements)
    assert drawing.pictures() is None
    following = draughtsman.begin(volume, label_map)
    assert following is not None
    following.draw(scene.spine, scene.measurements)
    assert following.pictures()


def test_where_nothing_is_found_to_draw_the_process_is_free_again(
    scene: Scene, draughtsman: Draughtsman
) -> None:
    volume, label_map = image_of(scene)
    drawing = draughtsman.begin(volume, label_map)
    assert drawing is not None
    drawing.abandon()
    assert drawing.pictures() is None
    again = draughtsman.begin(volume, label_map)
    assert again is not None
    again.abandon()
