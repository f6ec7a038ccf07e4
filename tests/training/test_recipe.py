from dataclasses import replace
from pathlib import Path

import pytest

from spine_node.errors import ConfigRefused
from spine_node.segmentation.classes import Structure
from spine_node.training.recipe import Recipe, load_recipe
from spine_node.training.streams import FolderStream, PhantomStream

CONFIG = Path(__file__).parents[2] / "config"


def written(tmp_path, text):
    path = tmp_path / "train.toml"
    path.write_text(text)
    return load_recipe(path)


def test_an_empty_file_is_the_default_recipe(tmp_path):
    assert written(tmp_path, "") == Recipe() == load_recipe(None)


def test_the_shipped_recipe_says_every_default(tmp_path):
    """What config/train.toml explains is what happens without it."""
    assert load_recipe(CONFIG / "train.toml") == replace(Recipe(), version="0.2.0")


@pytest.mark.parametrize("path", sorted(CONFIG.glob("train*.toml")), ids=lambda p: p.name)
def test_shipped_recipes_can_be_used(path):
    assert load_recipe(path).streams


def test_a_second_structure_is_a_list_of_labels():
    recipe = load_recipe(CONFIG / "train-lower-limb.toml")
    assert recipe.scheme.classes == ("background", "femur", "tibia")
    assert recipe.scheme.channels[3] == "tibia_left"
    assert (recipe.architecture.semantic, recipe.architecture.levels) == (3, 0)


def test_streams_are_read_by_their_kind(tmp_path):
    recipe = written(
        tmp_path,
        """
        [[streams]]
        kind = "phantom"
        count = 7
        painting = { random = 1 }
        [[streams]]
        kind = "folder"
        path = "scans"
        share = 0.2
        validate = ["case7"]
        repaint = 0.3
        """,
    )
    assert recipe.streams == (
        PhantomStream(count=7, painting={"random": 1.0}),
        FolderStream(Path("scans"), share=0.2, validate=("case7",), repaint=0.3),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rat = 1", r"train.toml: learning_rat is not a key; did you mean learning_rate\?"),
        ("learning_rate = 'fast'", "learning_rate: a number was expected, not 'fast'"),
        ("minutes = 0", "minutes is positive, not 0.0"),
        ("patch = [64, 64]", "patch: 3 values were expected"),
        ("patch = [64, 64, 60]", "patch is three multiples of 16 voxels"),
        ("precision = 'half'", 'precision: "auto" or "bfloat16" or "float32" was expected'),
        ("spacing_mm = 20", "spacing_mm is 0.5 to 8 mm"),
        ("[architecture]\nwidth = [8]", r"\[architecture\]: width is not a key; did you mean widths\?"),
        ("[architecture]\nlevels = 3", "levels is not a key"),
        ("[architecture]\nstem_stride = 4", "stem_stride is 1 or 2, not 4"),
        ("[validation]\npatches = -1", "validation: every_minutes and patches are not negative"),
        ("[[streams]]\nkind = 'python'", r'number 1: kind is "phantom" or "folder", not \'python\''),
        ("[[streams]]\nkind = 'phantom'\ncont = 3", r"number 1: cont is not a key; did you mean count\?"),
        ("[[streams]]\nkind = 'phantom'\nfirst_seed = 999990", "phantoms of validation or test would be"),
        ("[[streams]]\nkind = 'folder'", "path"),
        ("[[streams]]\nkind='phantom'\n[[streams]]\nkind='phantom'", "each has its own name"),
        ("[[labels]]\nname = 'femur'\nvalue = 1", "phantoms are of the spine"),
        ("[[labels]]\nname = 'femur'\nleft = 1", "femur has either a value, or left and right"),
        ("[[labels]]\nname = 'femur'\nvalue = 300", "femur: values go from 1 to 254, not 300"),
        (
            "[[labels]]\nname='a'\nvalue=1\n[[labels]]\nname='b'\nvalue=1\n[[streams]]\nkind='folder'\npath='x'",
            "value 1 stands for a and for b",
        ),
        (
            "[[labels]]\nname='a'\nvalue=1\n[[streams]]\nkind='folder'\npath='x'\nrepaint=0.2",
            "repaint knows the spine's labels only",
        ),
        ("labels = 'hand'", 'labels is "spine", or one'),
        ("minutes = ", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(ConfigRefused, match=said) as refusal:
        written(tmp_path, text)
    assert "train.toml" in str(refusal.value)
    assert str(refusal.value).endswith("Nothing was trained.")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigRefused, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_a_structure_with_a_value_is_one_channel_and_a_pair_is_two():
    assert Structure("patella", value=7).channels == {7: "patella"}
    assert Structure("femur", left=1, right=2).channels == {1: "femur_left", 2: "femur_right"}
