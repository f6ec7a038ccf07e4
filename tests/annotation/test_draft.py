"""From an unlabelled scan to files that a viewer opens, as the shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spine_node.anatomy.levels import CHANNELS
from spine_node.anatomy.names import structure_named
from spine_node.annotation.commands import app
from spine_node.annotation.draft import colour_table, volumes_ml
from spine_node.dicom.seg_reading import read_seg
from spine_node.dicom.series import read_series
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.nifti import read_label_map
from tests.annotation.scene import centres_of, labels, write_dicom_scan, write_nifti_scan


def annotate(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def click(path: Path, label_map: LabelMap, *levels: str) -> Path:
    centres = centres_of(label_map)
    path.write_text(json.dumps({level: centres[level].tolist() for level in levels}))
    return path


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM series in ct/ and its draft of L2 in draft/."""
    folder = tmp_path_factory.mktemp("annotate")
    truth = labels()
    write_dicom_scan(folder / "ct", truth)
    click(folder / "clicks.json", truth, "L2")
    annotate("draft", folder / "ct", "--centres", folder / "clicks.json", "--out", folder / "draft")
    return folder


def test_a_dicom_scan_gets_nifti_and_seg_that_are_the_same(drafted: Path) -> None:
    """Both lie on the series, and both tell body from posterior elements."""
    series = read_series(drafted / "ct")
    label_map = read_label_map(drafted / "draft" / "labels.nii.gz")
    assert label_map.grid.matches(series.grid, tolerance_mm=0.01)
    assert set(np.unique(label_map.labels)) == {0, 21, 121}
    seg = read_seg(drafted / "draft" / "seg.dcm", series.grid)
    assert np.array_equal(seg.labels, label_map.labels)


def test_the_record_says_how_it_was_made_and_of_what(drafted: Path) -> None:
    record = json.loads((drafted / "draft" / "annotation.json").read_text())
    label_map = read_label_map(drafted / "draft" / "labels.nii.gz")
    assert record["schema"] == "spine-node/annotation/1"
    assert record["source"]["SeriesInstanceUID"] == read_series(drafted / "ct").series_uid
    assert (record["method"], record["model"]["name"]) == ("watershed", "watershed")
    clicked = json.loads((drafted / "clicks.json").read_text())["L2"]
    assert record["centres_lps_mm"] == {"L2": pytest.approx(clicked, abs=1e-3)}
    assert record["volumes_ml"] == pytest.approx(volumes_ml(label_map))
    assert "Phantom" not in json.dumps(record), "a name of the patient"


def test_the_picture_shows_something(drafted: Path) -> None:
    import matplotlib.image

    picture = matplotlib.image.imread(drafted / "draft" / "overview.png")
    assert min(picture.shape[:2]) > 300
    colours = np.ptp(picture[..., :3], axis=-1)
    assert (colours > 0.2).sum() > 200, "outlines are coloured, the scan is grey"


def test_nifti_is_named_by_its_checksum_and_gets_no_seg(tmp_path: Path) -> None:
    truth = labels(("L2",))
    scan, _ = write_nifti_scan(tmp_path, truth)
    click(tmp_path / "c.json", truth, "L2")
    annotate("draft", scan, "--centres", tmp_path / "c.json", "--out", tmp_path / "draft")
    record = json.loads((tmp_path / "draft" / "annotation.json").read_text())
    assert len(record["source"]["sha256"]) == 64
    assert not (tmp_path / "draft" / "seg.dcm").exists()


def test_other_centres_give_a_seg_with_another_name(drafted: Path, tmp_path: Path) -> None:
    """Two drafts of one series are two objects in the archive."""
    import pydicom

    click(tmp_path / "c.json", labels(), "L1")
    annotate("draft", drafted / "ct", "--centres", tmp_path / "c.json", "--out", tmp_path)
    one, other = (pydicom.dcmread(folder / "seg.dcm") for folder in (drafted / "draft", tmp_path))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert {item.SegmentAlgorithmType for item in one.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_a_corrected_seg_is_compared_and_accepted(drafted: Path, tmp_path: Path) -> None:
    """The whole circle: draft, correction saved as SEG, changes, training case."""
    import pydicom

    seg = pydicom.dcmread(drafted / "draft" / "seg.dcm")
    frames = seg.pixel_array
    body = next(i.SegmentNumber for i in seg.SegmentSequence if i.SegmentLabel == "L2 body")
    groups = [group.SegmentIdentificationSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    owners = [group.ReferencedSegmentNumber for group in groups]
    first = owners.index(body)
    erased = int(frames[first].sum())
    frames[first] = 0
    seg.PixelData = pydicom.pixels.pack_bits(frames, pad=True)
    seg.save_as(tmp_path / "corrected.dcm", enforce_file_format=True)
    out = tmp_path / "changes.json"
    printed = annotate(
        "compare", drafted / "draft" / "labels.nii.gz", tmp_path / "corrected.dcm",
        "--series", drafted / "ct", "--out", out,
    )  # fmt: skip
    changes = json.loads(out.read_text())
    (row,) = changes["structures"]
    assert (row["name"], row["removed_voxels"], row["added_voxels"]) == ("L2", erased, 0)
    assert "Unchanged: L2_posterior" in printed
    assert out.with_suffix(".png").stat().st_size > 5000
    case = tmp_path / "cases" / "one"
    annotate("accept", tmp_path / "corrected.dcm", "--series", drafted / "ct", "--out", case)
    accepted = read_label_map(case / "labels.nii.gz")
    assert volumes_ml(accepted)["L2"] == pytest.approx(row["corrected_ml"])


def test_the_colour_table_names_every_value_as_we_read_it() -> None:
    """A segmentation made with it in 3D Slicer comes back with names that are understood."""
    rows = [line.split() for line in colour_table().splitlines()[2:]]
    assert {int(row[0]) for row in rows} == {value for value in CHANNELS if value}
    for number, name, *_ in rows:
        named = structure_named(name)
        assert named is not None
        assert (named.value, named.whole_vertebra) == (int(number), False)


def test_a_seg_without_its_image_is_refused(drafted: Path) -> None:
    seg = drafted / "draft" / "seg.dcm"
    with pytest.raises(LabelMapRefused, match="give its image with --series"):
        annotate("compare", seg, seg)
