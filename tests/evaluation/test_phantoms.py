from dataclasses import asdict

import numpy as np
import pytest

from spine_node.errors import LabelMapRefused
from spine_node.evaluation import phantoms as module
from spine_node.evaluation.phantoms import STRESSES, stress, synthetic, templates
from spine_node.phantom.library import TemplateLibrary
from spine_node.phantom.physics import Scanner
from tests.phantom.real_shapes import OTHER, block_template


@pytest.fixture
def options(monkeypatch):
    """What the generator would be asked for, without making anything."""
    asked = []
    monkeypatch.setattr(module, "_generate", lambda seed, **more: asked.append({"seed": seed} | more))
    monkeypatch.setattr(module, "_scan_of", lambda phantom: phantom)
    return asked


def test_stress_is_what_it_says(options):
    made = stress(5, 4.0)
    assert [case.name.split("_")[1] for case in made] == list(STRESSES)
    for case in made:
        case.make()
    scoliosis, numbering, implants, truncation, noise = options
    assert max(abs(c.angle_deg) for c in scoliosis["spec"].curves) >= module.STRESS_CURVE_DEG
    assert len(numbering["spec"].segments) != 24
    assert len(implants["metal"].parts) > 1
    assert not any(one["metal"].parts for one in (scoliosis, numbering, truncation, noise))
    assert {len(one["spec"].segments) for one in (scoliosis, implants, truncation, noise)} == {24}
    assert truncation["scanner"].field_radius_mm < 120
    assert noise["scanner"].noise > 140


def test_stress_is_the_same_each_time(options):
    for _ in range(2):
        stress(3, 4.0)[2].make()
    assert options[0]["seed"] == options[1]["seed"]
    assert options[0]["spec"] == options[1]["spec"]
    assert options[0]["metal"].value == options[1]["metal"].value


def test_a_narrow_field_shows_less(options, monkeypatch):
    stress(4, 6.0)[3].make()
    (asked,) = options
    monkeypatch.undo()
    seed = asked.pop("seed")
    narrow = module._generate(seed, **asked)
    usual = module._generate(seed, spacing_mm=6.0, spec=asked["spec"])
    assert np.count_nonzero(narrow.label_map.labels) < 0.95 * np.count_nonzero(usual.label_map.labels)


def test_names_of_cases_tell_how_they_were_made():
    case = synthetic([2_000_003], spacing_mm=1.5, clean=True, painting="random")[0]
    assert case.name == "seed_2000003_1.5mm_whole_clean_random"


def test_only_shapes_kept_for_testing_are_evaluated_on(tmp_path):
    TemplateLibrary((block_template("L2"),), {}).save(tmp_path / "train.npz")
    with pytest.raises(LabelMapRefused, match="no template that its sources give to testing"):
        templates(tmp_path / "train.npz", 1, 3.0)
    TemplateLibrary((block_template("L2"), block_template("L3", OTHER)), {}).save(tmp_path / "both.npz")
    assert len(templates(tmp_path / "both.npz", 2, 3.0)) == 2


def test_template_phantoms_are_all_dressed_in_the_shapes_kept_for_testing(options, tmp_path):
    TemplateLibrary((block_template("L2", OTHER),), {}).save(tmp_path / "shapes.npz")
    (case,) = templates(tmp_path / "shapes.npz", 1, 4.0)
    assert case.group == "templates"
    assert case.stamp.startswith("shapes.npz:")
    case.make()
    (asked,) = options
    assert asked["seed"] == module.TEMPLATE_SEED
    assert asked["template_share"] == 1.0
    assert [t.level for t in asked["templates"].templates] == ["L2"]
    assert "kept from training, which may use: none" in case.about


def test_scanners_of_template_phantoms_are_beyond_those_of_training():
    usual = [asdict(Scanner.draw(np.random.default_rng(seed), clean=False)) for seed in range(300)]
    assert all(one[name] < low for one in usual for name, (low, _) in module.BEYOND.items())
    for seed in range(20):
        scanner = asdict(module.unseen_scanner(seed))
        beyond = [name for name, (low, _) in module.BEYOND.items() if scanner[name] >= low]
        assert len(beyond) == module.BEYOND_EACH
