"""The page of the worst cases: there, of the right size, and in the right order."""

import numpy as np
import pytest
from matplotlib.image import imread

from spine_node.anatomy.levels import IGNORED, VERTEBRA_VALUES
from spine_node.evaluation import gallery
from spine_node.evaluation.cases import Case
from spine_node.evaluation.gallery import write_gallery
from spine_node.evaluation.record import Record
from spine_node.evaluation.views import Views

L1, L2 = VERTEBRA_VALUES["L1"], VERTEBRA_VALUES["L2"]


def drawn():
    labels = np.zeros((60, 40), np.uint8)
    labels[10:25, 10:30], labels[30:45, 10:30], labels[50:] = L1, L2, IGNORED
    found = np.where(labels == IGNORED, 0, labels)
    return Views((found,) * 2, (labels,) * 2, (found,) * 2, (np.array([[20.0, 17.0]]),) * 2)


def result(name, dice, nearest="L1", row="model"):
    level = {
        "level": "L1", "nearest": nearest, "distance_mm": 1.0, "right": nearest == "L1",
        "off_by_one": nearest != "L1",
    }  # fmt: skip
    return {
        "set": "real", "case": name, "row": row, "refused": None,
        "outlines": [{"group": "vertebra", "name": "L1", "dice": dice}],
        "identification": {"levels": [level], "false_positives": [], "all_right": True},
    }  # fmt: skip


@pytest.fixture
def kept(tmp_path):
    cases = [result(f"scan{n}", n / 20) for n in range(12)] + [result("scan0", 0.0, row="floor")]
    record = Record(tmp_path / "cases", {"model": "a", "floor": "b"})
    for case in cases:
        if case["row"] == "model":
            record.write(Case("real", case["case"], lambda: None), "model", case, drawn())
    return {"cases": cases}, record


def test_the_ten_worst_are_shown_worst_first(kept, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(gallery, "_title", lambda case: titles.append(case["case"]) or case["case"])
    figures, record = kept
    path = write_gallery(figures, record, tmp_path / "out" / "gallery.png")
    assert titles == [f"scan{n}" for n in range(10)]
    picture = imread(path)
    assert picture.shape[1] > 2000  # five columns
    purple = (picture[..., 2] > picture[..., 1] + 0.08) & (picture[..., 0] > picture[..., 1] + 0.02)
    assert purple.any()  # what was not scored is shown as such


def test_a_title_says_where_how_well_and_what_went_wrong():
    words = gallery._title(result("scan7", 0.35, nearest="L2"))
    assert words == "real scan7: 0.35\nL1 called one level too low"


def test_without_kept_pictures_there_is_no_page(kept, tmp_path):
    figures, _ = kept
    assert write_gallery(figures, Record(None, {}), tmp_path / "gallery.png") is None
    assert not (tmp_path / "gallery.png").exists()
