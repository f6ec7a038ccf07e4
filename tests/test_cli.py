"""The commands as a shell sees them: exit status, words on stderr, results on stdout."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pynetdicom import AE

from spine_node.dicom.forms import CONTEXT_OF
from spine_node.network.contexts import IMPLICIT_LITTLE, VERIFICATION
from spine_node.nifti import write_label_map
from tests.anatomy.voxel_spine import voxel_spine
from tests.conftest import make_ct

DONE, FAILED, REFUSED = 0, 1, 3


def spine_node(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spine_node", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=cwd)


def write_nifti(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    return path


def refused_in_words(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (run.returncode, run.stdout) == (REFUSED, ""), run.stderr
    assert "Traceback" not in run.stderr
    assert all(word in run.stderr for word in words), run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["measure"],
        ["measure", "no-such-file.nii.gz"],
        ["analyse", "."],
        ["--log-level", "loud", "measure", __file__],
        ["segment", __file__, "--out", "labels.png"],
        ["segment", __file__, "--out", "labels.nii.gz", "--device", "toaster"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_1_with_words(arguments: list[str], tmp_path: Path) -> None:
    """Not 2, the library's own: 3 is for the data, 1 for anything else."""
    run = spine_node(*arguments, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (FAILED, "")
    assert "Usage:" in run.stderr
    assert "Traceback" not in run.stderr


def test_version_and_help_are_results() -> None:
    assert spine_node("--version").stdout.startswith("spine-node ")
    run = spine_node("--help")
    assert run.returncode == DONE
    assert all(command in run.stdout for command in ("serve", "analyse", "segment", "measure", "phantom"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    refused_in_words(spine_node("analyse", tmp_path / "in", "--out", tmp_path / "out"), "empty")
    (tmp_path / "in" / "notes.txt").write_text("not DICOM")
    refused_in_words(spine_node("segment", tmp_path / "in", "--out", tmp_path / "l.nii.gz"), "notes.txt")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_results_is_not_made_of_someone_elses_files(tmp_path: Path) -> None:
    make_ct(tmp_path / "in")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    run = spine_node("analyse", tmp_path / "in", "--out", tmp_path / "thesis")
    refused_in_words(run, "something else")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "precious"


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    volume = write_nifti(tmp_path / "volume.nii.gz", np.zeros((8, 8, 8), np.float32))
    run = spine_node("segment", volume, "--out", tmp_path / "l.nii.gz", "--model", tmp_path / "model")
    refused_in_words(run, "not a model bundle")
    run = spine_node("segment", volume, "--out", tmp_path / "l.nii.gz", "--model", "totalsegmentatr")
    refused_in_words(run, "neither the folder of a bundle nor one of spinenet, totalsegmentator")


def test_what_is_no_label_map_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "labels.nii.gz"
    text.write_text("not NIfTI")
    refused_in_words(spine_node("measure", text), "not a NIfTI label map")
    image = write_nifti(tmp_path / "image.nii.gz", np.linspace(-1000, 2000, 512).reshape(8, 8, 8))
    refused_in_words(spine_node("measure", image), "Is it the image itself?")
    whole = write_nifti(tmp_path / "noise.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole.read_bytes()[:20000])
    refused_in_words(spine_node("measure", cut), "not a NIfTI label map")


def test_an_empty_label_map_measures_nothing_and_says_so(tmp_path: Path) -> None:
    empty = write_nifti(tmp_path / "empty.nii.gz", np.zeros((20, 20, 20), np.uint8))
    run = spine_node("measure", empty, "--json")
    if run.returncode == REFUSED:
        refused_in_words(run)
        return
    found = json.loads(run.stdout)
    assert (run.returncode, found["parameters"]) == (DONE, [])
    assert all(missing["reason"] for missing in found["not_measured"])


@pytest.fixture(scope="module")
def lumbar_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label map from L1 to the femoral heads, 2.5 mm."""
    path = tmp_path_factory.mktemp("labels") / "labels.nii.gz"
    write_label_map(voxel_spine(("L1", "L2", "L3", "L4", "L5"), dish_mm=1.0).label_map(2.5), path)
    return path


def test_classes_of_standing_people_need_the_word(lumbar_file: Path) -> None:
    silent, told = (
        json.loads(spine_node("measure", lumbar_file, "--json", *more).stdout)
        for more in ((), ("--vertical", "standing", "--age", "63"))
    )
    keys = [{c["key"] for c in found["classes"]} for found in (silent, told)]
    assert "SCHWAB_PT" not in keys[0]
    assert "SCHWAB_PT" in keys[1]
    assert "the user says that the patient stood" in told["vertical"]
    assert {p["key"] for p in silent["parameters"]} == {p["key"] for p in told["parameters"]}


def test_a_leaning_vertical_turns_what_knows_it_and_nothing_else(lumbar_file: Path) -> None:
    upright, leaning = (
        {
            p["key"]: p["value"]
            for p in json.loads(spine_node("measure", lumbar_file, "--json", "--vertical", v).stdout)[
                "parameters"
            ]
            if "level" not in p
        }
        for v in ("0,0,1", "0,-0.1763,1")  # 10 degrees forward
    )
    assert leaning["PT"] == pytest.approx(upright["PT"] + 10, abs=0.1)
    assert leaning["PI"] == pytest.approx(upright["PI"], abs=0.2)


def test_a_vertical_that_is_none_is_wrong_usage(lumbar_file: Path) -> None:
    run = spine_node("measure", lumbar_file, "--vertical", "upwards")
    assert run.returncode == FAILED
    assert "must be standing" in run.stderr


def test_an_image_elsewhere_is_wrong_usage(lumbar_file: Path, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "image.nii.gz", np.zeros((8, 8, 8), np.float32))
    run = spine_node("measure", lumbar_file, "--image", image)
    assert run.returncode == FAILED
    assert "elsewhere than the label map" in " ".join(run.stderr.split())


def test_pictures_of_a_label_map_are_drawn_without_an_image(lumbar_file: Path, tmp_path: Path) -> None:
    run = spine_node("measure", lumbar_file, "--pictures", tmp_path / "pictures")
    assert run.returncode == DONE, run.stderr
    drawn = {path.name for path in (tmp_path / "pictures").glob("*.png")}
    assert drawn >= {"coronal.png", "sagittal.png"}
    assert "Discs" in run.stdout


def test_a_config_with_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[scp]\nprot = 104\n")
    refused_in_words(spine_node("check", "--config", tmp_path / "site.toml"), "did you mean port?")


def test_a_destination_that_does_not_answer_is_told_by_check(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        (tmp_path / "site.toml").write_text(
            '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
            f"port = {nobody.getsockname()[1]}\n"
        )
        run = spine_node("check", "--config", tmp_path / "site.toml")
    assert run.returncode == FAILED
    assert "DOES NOT ANSWER" in run.stdout


def test_check_says_what_each_destination_will_get(tmp_path: Path) -> None:
    """Before going live: which form of each result its PACS takes, and what it takes in no form."""
    pacs = AE("PACS")
    for sop_class in (VERIFICATION, CONTEXT_OF["seg-binary"][0], CONTEXT_OF["sr-comprehensive"][0]):
        pacs.add_supported_context(sop_class, [IMPLICIT_LITTLE])
    server = pacs.start_server(("127.0.0.1", 0), block=False)
    try:
        peer = f'[[destinations]]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {server.server_address[1]}\n'
        (tmp_path / "site.toml").write_text(peer + 'name = "pacs"\nprofile = "ohif"\nnotices = true\n')
        run = spine_node("check", "--config", tmp_path / "site.toml")
        assert run.returncode == 0, run.stdout + run.stderr
        said = [line.strip() for line in run.stdout.splitlines()]
        assert "profile ohif; told of series that are not analysed" in said
        assert "seg-binary, as it takes no seg-labelmap" in said
        assert "sr-comprehensive, as it takes no sr-3d" in said
        assert "takes no key-images" in said

        own = tmp_path / "own.toml"
        own.write_text('name = "A"\nwhy = "B"\n[[results]]\nforms = ["seg-labelmap"]\n')
        (tmp_path / "site.toml").write_text(peer + f'name = "pacs"\nprofile = "{own}"\n')
        run = spine_node("check", "--config", tmp_path / "site.toml")
        assert run.returncode == FAILED
        assert "TAKES NO seg-labelmap" in run.stdout
    finally:
        server.shutdown()


def test_a_node_whose_port_is_taken_ends_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (tmp_path / "site.toml").write_text(
            f'[scp]\nport = {other.getsockname()[1]}\n[storage]\nfolder = "{tmp_path / "spool"}"\n'
        )
        run = spine_node("serve", "--config", tmp_path / "site.toml")
    assert run.returncode == FAILED
    assert "Does another node run?" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_demo_does_not_empty_the_folder_it_was_given(tmp_path: Path) -> None:
    (study := tmp_path / "demo" / "study").mkdir(parents=True)
    (tmp_path / "demo" / ".spine-node-demo").touch()
    paths = make_ct(study)
    refused_in_words(spine_node("demo", study, "--out", tmp_path / "demo"), "is emptied first")
    assert all(path.exists() for path in paths)


def test_the_receiving_process_starts_without_the_heavy_packages() -> None:
    heavy = ("torch", "monai", "highdicom", "matplotlib")
    script = f"import sys, spine_node.cli, spine_node.node; print(*(m for m in {heavy} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert (run.returncode, run.stdout.strip()) == (0, "")


def test_a_label_map_is_measured_in_its_own_scheme(tmp_path: Path) -> None:
    """The same numbers mean other bones elsewhere: 25 is L6 here and the sacrum there."""
    labels = np.zeros((20, 20, 20), np.uint16)
    labels[5:15, 5:15, 5:15] = 300
    path = write_nifti(tmp_path / "theirs.nii.gz", labels)
    refused_in_words(spine_node("measure", path, "--scheme", "totalsegmentator"), "Is it of another scheme?")
    run = spine_node("measure", path, "--scheme", "someone's")
    assert (run.returncode, run.stdout) == (FAILED, "")
    assert "none of spine, verse, totalsegmentator" in " ".join(run.stderr.replace("│", " ").split())


def test_templates_are_cut_out_and_what_is_to_be_cited_is_printed(tmp_path: Path):
    from spine_node.nifti import write_label_map
    from tests.phantom.real_shapes import lumbar_labels

    write_label_map(lumbar_labels(), tmp_path / "labels.nii.gz")
    (tmp_path / "templates.toml").write_text('[[source]]\nname = "someone"\nlicence = "CC0"\n')
    run = spine_node("templates", tmp_path, "--out", tmp_path / "shapes.npz")
    assert run.returncode == DONE, run.stderr
    assert "someone (L1, L2): CC0." in run.stdout
    assert "left out: someone: L3: L3" in run.stderr
    assert (tmp_path / "shapes.npz").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    refused_in_words(spine_node("templates", empty, "--out", tmp_path / "none.npz"), "gave no template")
