import json
import mmap

import numpy as np
import pytest

from spine_node.errors import SeriesRefused
from spine_node.evaluation import phantoms as phantoms_module
from spine_node.evaluation.cases import TEST_SEED, Case, Scan
from spine_node.evaluation.identification import body_centres
from spine_node.evaluation.run import evaluate, evaluate_sets
from spine_node.evaluation.tables import tables
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.segmentation.toy_spine import toy_case


class Oracle:
    """Knows the label map of the scan it is given, and may change it."""

    identity = ModelIdentity("oracle", "1", "0" * 64)
    spacing_mm = 3.0

    def __init__(self, truth, change=lambda labels: labels):
        self.truth, self.change, self.calls = truth, change, 0

    def segment(self, volume, progress=None):
        self.calls += 1
        return Segmentation(LabelMap(volume.grid, self.change(self.truth.labels.copy())), self.identity)


class Refusing(Oracle):
    def segment(self, volume, progress=None):
        raise SeriesRefused("no spine found")


@pytest.fixture
def toy():
    volume, truth = toy_case(1)
    made = []

    def make():
        made.append(1)
        return Scan(volume, truth, {}, None)

    return Case("real", "toy", make), truth, made


def test_the_truth_of_a_phantom_scores_full_marks(monkeypatch, tmp_path):
    """Outlines, names and every parameter; the floor is worse, the ceiling between."""
    made = phantoms_module._generate
    phantoms = []
    monkeypatch.setattr(
        phantoms_module, "_generate", lambda *a, **o: phantoms.append(made(*a, **o)) or phantoms[-1]
    )

    class Seeing(Oracle):
        spacing_mm = 6.0

        def segment(self, volume, progress=None):
            return Segmentation(phantoms[-1].label_map, self.identity)

    figures = evaluate(
        Seeing(None),
        seeds=[TEST_SEED],
        spacing_mm=4.0,
        field_of_view="lumbopelvic",
        clean=True,
        out=tmp_path / "figures.json",
    )
    rows = figures["sets"]["synthetic"]["rows"]
    assert rows["model"]["outlines"]["vertebra"]["dice"]["mean"] == 1
    assert rows["model"]["levels"]["identification_rate"]["mean"] == 1
    assert rows["model"]["levels"]["scans_all_right"] == 1
    assert rows["model"]["parameters"]["PI"]["measured"] == 1
    dice = [rows[row]["outlines"]["vertebra"]["dice"]["mean"] for row in ("floor", "ceiling", "model")]
    assert dice == sorted(dice)
    assert 0.05 < dice[0] < 0.7 < dice[1] < 1
    assert json.loads((tmp_path / "figures.json").read_text())["sets"].keys() == {"synthetic"}


def test_a_refused_scan_counts_as_nothing_found(toy):
    case, truth, _ = toy
    figures = evaluate_sets(Refusing(truth), {"real": [case]}, baselines=False)
    row = figures["sets"]["real"]["rows"]["model"]
    assert row["refused"] == ["toy"]
    assert row["levels"]["identification_rate"]["mean"] == 0
    assert row["outlines"]["body"]["dice"]["mean"] == 0
    assert row["outlines"]["body"]["missing"] == row["outlines"]["body"]["expected"] > 0


def test_a_run_that_was_killed_goes_on(toy, tmp_path):
    case, truth, made = toy
    other = Case("real", "other", case.make)
    model = Oracle(truth)
    evaluate_sets(model, {"real": [case]}, out=tmp_path)
    assert (model.calls, len(made)) == (1, 1)
    figures = evaluate_sets(model, {"real": [case, other]}, out=tmp_path)
    assert (model.calls, len(made)) == (2, 2)
    assert figures["sets"]["real"]["cases"] == ["toy", "other"]


def test_results_of_another_model_or_of_changed_files_are_not_taken(toy, tmp_path):
    case, truth, _ = toy
    evaluate_sets(Oracle(truth), {"real": [case]}, out=tmp_path, baselines=False)
    model = Oracle(truth)
    model.identity = ModelIdentity("oracle", "2", "1" * 64)
    evaluate_sets(model, {"real": [case]}, out=tmp_path, baselines=False)
    assert model.calls == 1
    touched = Case("real", "toy", case.make, stamp="labels.nii.gz:7")
    evaluate_sets(model, {"real": [touched]}, out=tmp_path, baselines=False)
    assert model.calls == 2


def test_a_folder_gets_figures_tables_and_pictures(toy, tmp_path):
    case, truth, _ = toy
    figures = evaluate_sets(Oracle(truth), {"real": [case]}, out=tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == figures
    assert (tmp_path / "gallery.png").exists()
    asked = {row["key"]: row["met"] for row in figures["sets"]["real"]["bars"] if row["bar"]}
    assert asked == {"body": True, "vertebra": True, "near": True}
    names = {path.name for path in (tmp_path / "pictures" / "real").iterdir()}
    assert names == {"01_toy.png", "dice_by_level.png", "identification.png"}
    header, first, *_ = (tmp_path / "outlines.csv").read_text().splitlines()
    assert header.startswith("set,case,row,group,name,dice")
    assert first.startswith("real,toy,model,vertebra,")
    titles = [str(table.title) for table in tables(figures)]
    assert titles[0].startswith("real: 1 scan (labelled scans: the labels are a reference")
    assert {row["row"] for row in figures["cases"]} == {"model", "floor", "ceiling"}


def test_a_scan_with_marked_centres_only_has_names_and_no_outlines():
    volume, truth = toy_case(1)
    centres = body_centres(truth.labels, truth.grid)
    some = {level: centres[level] for level in ("L2", "L3")}
    case = Case("real", "marked", lambda: Scan(volume, None, some, None))
    figures = evaluate_sets(Oracle(truth), {"real": [case]})
    rows = figures["sets"]["real"]["rows"]
    assert rows.keys() == {"model"}
    assert rows["model"]["outlines"] == {}
    assert rows["model"]["levels"]["expected"] == 2
    assert rows["model"]["levels"]["identification_rate"]["mean"] == 1
    assert rows["model"]["levels"]["false_positives"] is None
    assert len(tables(figures)) == 2


def test_memory_of_each_scan_is_its_own(toy):
    case, truth, _ = toy

    class Greedy(Oracle):
        def segment(self, volume, progress=None):
            if self.calls == 0:
                # Mapped, for a heap that a test before made large may hold as much already.
                with mmap.mmap(-1, 320 * 2**20) as pages:
                    for page in range(0, len(pages), mmap.PAGESIZE):
                        pages[page] = 1
            return super().segment(volume, progress)

    twice = [case, Case("real", "second", case.make)]
    results = evaluate_sets(Greedy(truth), {"real": twice}, baselines=False)["cases"]
    first, second = (result["peak_mib"] for result in results)
    assert first > second + 200


def test_a_volume_without_bone_has_no_floor(toy):
    _, truth, _ = toy
    noise = np.random.default_rng(0).normal(size=truth.grid.shape).astype(np.float32)
    case = Case("real", "noise", lambda: Scan(Volume(truth.grid, noise), truth, {}, None))
    rows = evaluate_sets(Oracle(truth), {"real": [case]})["sets"]["real"]["rows"]
    assert rows["floor"]["outlines"]["body"]["dice"]["mean"] < 0.2
    assert rows["ceiling"]["outlines"]["body"]["dice"]["mean"] > 0.8
