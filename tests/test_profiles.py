"""Destination profiles: valid, explained, and refused in words when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.config import Destination, load_settings
from spine_node.dicom.forms import FORMS
from spine_node.errors import ConfigRefused
from spine_node.profiles import DEFAULT_PROFILE, PROFILES_FOLDER, load_profile

NAMES = sorted(path.stem for path in PROFILES_FOLDER.glob("*.toml"))
HEAD = 'name = "A"\nwhy = "B"\n'


def profile(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


def test_the_five_kinds_of_destinations_have_profiles() -> None:
    assert {"generic", "ohif", "weasis", "slicer", "research"} <= set(NAMES)
    assert DEFAULT_PROFILE in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_says_why_and_ends_with_a_form_that_old_archives_take(name: str) -> None:
    found = load_profile(name)
    assert len(found.why) > 30
    assert all(choice.why for choice in found.results)
    sent = [forms[0].form for forms in found.offers()]
    assert sent == sorted(sent, key=FORMS.index)
    segs = next(forms for forms in found.offers() if forms[0].form.startswith("seg"))
    assert segs[-1].form == "seg-binary"
    assert [product.name for product in found.best()] == [forms[0].name for forms in found.offers()]


def test_a_report_exists_for_each_form_of_the_segmentation() -> None:
    names = [[product.name for product in forms] for forms in load_profile("ohif").offers()]
    assert names[0] == ["seg-labelmap", "seg-binary"]
    assert names[1][:2] == ["sr-3d-on-seg-labelmap", "sr-3d"]


def test_a_report_without_a_segmentation_refers_to_the_plain_one(tmp_path: Path) -> None:
    own = profile(tmp_path, HEAD + '[[results]]\nforms = ["sr-3d"]\n')
    ((report,),) = load_profile(own).offers()
    assert report.name == "sr-3d"
    assert report.seg is not None
    assert report.seg.name == "seg-binary"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name: Field required"),
        (HEAD, "results: Field required"),
        (HEAD + "results = []", "results"),
        (HEAD + '[[results]]\nforms = ["seg-binry"]', "results 0 forms 0"),
        (HEAD + '[[results]]\nforms = ["seg-binary", "sr-3d"]', "are not forms of one result"),
        (HEAD + '[[results]]\nforms = ["stl"]\n[[results]]\nforms = ["stl-parts"]', "stl is listed twice"),
        (HEAD + '[[results]]\nforms = ["stl", "stl"]', "listed twice"),
        (HEAD + '[[results]]\nforms = ["key-object"]', "list key-images too"),
        (HEAD + 'frames = 3\n[[results]]\nforms = ["stl"]', "frames"),
        ("name = ", "cannot be read"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_with_its_file(
    tmp_path: Path, text: str, words: str
) -> None:
    own = profile(tmp_path, text)
    with pytest.raises(ConfigRefused) as refused:
        load_profile(own)
    assert words in str(refused.value)
    assert own in str(refused.value)


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigRefused, match=r"there is no profile ohiff; there are .*generic, ohif"):
        load_profile("ohiff")


def test_a_destination_gets_its_profile_or_a_share_of_it(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    peer = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "h"\nport = 104\n'
    site.write_text(peer)
    (pacs,) = load_settings(site, {}).destinations
    assert pacs == Destination("pacs", "PACS", "h", 104)
    assert pacs.offers() == load_profile("generic").offers()
    site.write_text(peer + 'profile = "ohif"\nresults = ["sr", "report-pdf"]\n')
    (pacs,) = load_settings(site, {}).destinations
    assert [forms[0].form for forms in pacs.offers()] == ["sr-3d", "report-pdf"]
    site.write_text(peer + 'profile = "slicer"\nresults = ["report-pdf"]\n')
    with pytest.raises(ConfigRefused, match="pacs: profile slicer has no report-pdf; it has seg, sr, stl"):
        load_settings(site, {})
    site.write_text(peer + 'profile = "slycer"\n')
    with pytest.raises(ConfigRefused, match="there is no profile slycer"):
        load_settings(site, {})
