"""The contact sheet: every phantom is on it, its spine in view, its name above it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spine_node.anatomy import levels
from spine_node.phantom.generate import Phantom
from spine_node.phantom.order import Order
from spine_node.phantom.scene import SEMANTIC
from spine_node.phantom.sheet import caption, cell_of, draw_sheet, window

ORDER = Order(spacing_mm=5.0, PI_deg=60.0, curve_deg=45.0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return ORDER.make(3)


def test_what_is_ordered_is_what_stands_there(phantom: Phantom):
    """PI 60 and a right thoracic curve of 45 degrees, but for what seams of the scanner move."""
    largest = max((p for p in phantom.truth.parameters if p.key == "COBB"), key=lambda p: p.value)
    assert phantom.truth.get("PI").value == pytest.approx(60, abs=0.5)  # type: ignore[union-attr]
    assert largest.value == pytest.approx(45, abs=2)
    assert (largest.side, largest.apex in ("T7", "T8", "T9")) == ("right", True)


def test_an_apex_without_vertebrae_on_both_sides_is_refused():
    with pytest.raises(ValueError, match="a curve about L5 has no vertebrae on one side; expected T3 to L3"):
        Order(curve_deg=30, curve_apex="L5").person(1)


def test_the_caption_says_who_it_is(phantom: Phantom):
    said = caption(phantom)
    assert said.startswith("3: ")
    assert "PI 60" in said
    assert "right" in said
    assert "RANDOM CONTRAST" in caption(phantom, "random")


def test_bone_is_brighter_than_flesh_in_the_window(phantom: Phantom):
    low, high = window(phantom.volume.values)
    shown = np.clip((phantom.volume.values - low) / (high - low), 0, 1)
    labels = phantom.label_map.labels
    bone, flesh = (
        shown[labels > levels.POSTERIOR_OFFSET].mean(),
        np.median(shown[phantom.semantic == SEMANTIC["disc"]]),
    )
    assert 0.15 < flesh < bone < 1


def test_every_vertebra_is_in_the_curved_pictures(phantom: Phantom):
    """Bright labels drawn as volumes: the coronal picture follows the column through each of them."""
    from dataclasses import replace

    marked = replace(
        phantom, volume=replace(phantom.volume, values=phantom.label_map.labels.astype(np.float32))
    )
    from spine_node.phantom.sheet import _views

    coronal, sagittal, _ = _views(marked, marked.volume.values, 0.0)
    wanted = {levels.VERTEBRA_VALUES[v.level] for v in phantom.landmarks.vertebrae}
    assert wanted <= set(np.unique(coronal).astype(int))
    assert wanted <= set(np.unique(sagittal).astype(int))


def test_outlines_are_coloured_and_leave_the_rest_alone(phantom: Phantom):
    plain, lined = (cell_of(phantom, outlines=o).picture for o in (False, True))
    changed = (plain != lined).any(axis=2)
    assert 0.005 < changed.mean() < 0.3
    assert np.ptp(lined[changed], axis=1).max() > 0.5


def test_a_sheet_of_mixed_phantoms_is_written_and_tells_how_far_it_is(tmp_path: Path):
    told: list[str] = []
    order = Order(spacing_mm=8.0, painting="mixed", field_of_view="lumbopelvic")
    out = tmp_path / "new" / "sheet.png"
    draw_sheet(order, range(3, 6), out, report=lambda _, words: told.append(words))
    assert out.read_bytes().startswith(b"\x89PNG")
    assert told == ["seed 3, 1 of 3", "seed 4, 2 of 3", "seed 5, 3 of 3"]
    assert [order.painting_of(seed) for seed in range(3, 6)] == ["cbct", "random", "cbct"]
