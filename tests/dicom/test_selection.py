"""Which series are taken, when one is complete, and the words for both."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset

from spine_node.dicom.selection import DEFAULT_RULES, Rule, is_complete, select
from spine_node.dicom.series import read_headers
from tests.dicom.small_series import Change, grid_of, write_multiframe, write_series


def headers_of(folder: Path, *, change: Change | None = None, **grid: object) -> list[Dataset]:
    return read_headers(write_series(folder, grid_of(**grid), change=change))  # type: ignore[arg-type]


def setting(**elements: object) -> Change:
    def change(ds: Dataset, k: int) -> None:
        for keyword, value in elements.items():
            setattr(ds, keyword, value)

    return change


SPINE = {"shape": (80, 64, 64), "spacing": (2.0, 2.0, 2.0)}


def test_the_default_takes_a_spine_sized_volume(tmp_path: Path) -> None:
    decision = select(headers_of(tmp_path, **SPINE))
    assert decision.accepted
    assert decision.reason == 'rule "spine-sized volumes" says accept.'


def test_height_is_from_foot_to_head_whatever_the_slices_are(tmp_path: Path) -> None:
    """A sagittal stack is as tall as its rows are long, not as thick as the stack."""
    shape, spacing = (64, 80, 64), (2.0, 2.0, 2.0)
    assert select(
        headers_of(tmp_path, rows=(0, 1, 0), columns=(0, 0, -1), shape=shape, spacing=spacing)
    ).accepted


@pytest.mark.parametrize(
    ("grid", "elements", "words"),
    [
        ({"shape": (39, 64, 64), "spacing": (4.0, 2.0, 2.0)}, {}, "39 slices, at least 40 wanted"),
        (
            {"shape": (80, 64, 64), "spacing": (5.0, 2.0, 2.0)},
            {},
            "5 mm slice spacing, at most 3.5 mm wanted",
        ),
        ({"shape": (50, 64, 64), "spacing": (2.0, 2.0, 2.0)}, {}, "98 mm height, at least 120 mm wanted"),
        ({"shape": (80, 64, 64), "spacing": (2.0, 1.0, 1.0)}, {}, "63 mm width, at least 80 mm wanted"),
        (SPINE, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "SOP class is 1.2.840.10008.5.1.4.1.1.4"),
        (SPINE, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, 'rule "localizers" says ignore'),
        (SPINE, {"ImagePositionPatient": None}, "slice spacing cannot be told from the headers"),
    ],
)
def test_the_default_ignores_the_rest_and_says_why(
    grid: dict[str, object], elements: dict[str, object], words: str, tmp_path: Path
) -> None:
    decision = select(headers_of(tmp_path, change=setting(**elements), **grid))
    assert not decision.accepted
    assert words in decision.reason


@pytest.mark.parametrize(
    ("rule", "accepted"),
    [
        ({"modality": ["CT", "XA"]}, True),
        ({"modality": ["MR"]}, False),
        ({"station": ["cbct*"]}, True),
        ({"station": ["cbct"]}, False),
        ({"description": ["*SPINE*"]}, True),
        ({"description": [r"re:^cbct\s"]}, True),
        ({"description": ["re:^spine"]}, False),
        ({"body_part": ["*spine", "WHOLEBODY"]}, True),
        ({"body_part": ["HEAD"]}, False),
        ({"min_slices": 20, "max_slices": 20}, True),
        ({"max_slices": 19}, False),
        ({"max_height_mm": 38.0}, True),
        ({"max_height_mm": 37.9}, False),
        ({"modality": ["CT"], "station": ["other"]}, False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(rule: dict[str, object], accepted: bool, tmp_path: Path) -> None:
    headers = headers_of(tmp_path)
    assert select(headers, [Rule(name="site", **rule)]).accepted is accepted  # type: ignore[arg-type]


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    """So a site can shut one station out before the default takes everything."""
    headers = headers_of(tmp_path, **SPINE)
    shut_out = Rule(name="dental unit", action="ignore", station=("CBCT*",))
    assert not select(headers, (shut_out, *DEFAULT_RULES)).accepted
    assert select(headers, (*DEFAULT_RULES, shut_out)).accepted


def test_a_rule_with_an_unknown_key_or_a_broken_pattern_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_slice"):
        Rule(name="typo", min_slice=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="no regular expression"):
        Rule(name="typo", description=("re:(",))


def test_a_whole_series_is_complete(tmp_path: Path) -> None:
    judged = is_complete(headers_of(tmp_path))
    assert judged.complete
    assert judged.reason == "20 slices without a gap."


@pytest.mark.parametrize("gone", [{1}, {18}, {4, 5, 6}, {3, 9, 15}])
def test_a_gap_is_waited_for(gone: set[int], tmp_path: Path) -> None:
    headers = [h for i, h in enumerate(headers_of(tmp_path)) if i not in gone]
    judged = is_complete(headers)
    assert not judged.complete
    assert judged.reason.startswith(f"{len(gone)} slices seem to be missing")
    assert f"after instance {min(gone)}," in judged.reason


def test_every_second_slice_missing_is_seen_where_the_spacing_is_declared(tmp_path: Path) -> None:
    headers = headers_of(tmp_path, change=setting(SpacingBetweenSlices=2.0))[::2]
    assert "9 slices seem to be missing" in is_complete(headers).reason


def test_missing_ends_are_seen_where_a_count_is_announced(tmp_path: Path) -> None:
    """No geometry shows that the last slices are still on their way."""
    headers = headers_of(tmp_path, change=setting(ImagesInAcquisition=20))
    judged = is_complete(headers[:15])
    assert (judged.complete, judged.received, judged.expected) == (False, 15, 20)
    assert judged.reason == "15 of 20 announced images have come."
    assert is_complete(headers).complete


def test_a_series_of_two_acquisitions_waits_for_both(tmp_path: Path) -> None:
    def change(ds: Dataset, k: int) -> None:
        ds.AcquisitionNumber, ds.ImagesInAcquisition = (1, 12) if k < 12 else (2, 8)

    headers = headers_of(tmp_path, change=change)
    assert is_complete(headers[:19]).expected == 20
    assert not is_complete(headers[:19]).complete
    assert is_complete(headers).complete


def test_what_waiting_cannot_mend_is_not_waited_for(tmp_path: Path) -> None:
    """Reading the series then refuses it, at once and with the true reason."""
    doubled = headers_of(tmp_path / "a", change=setting(ImagePositionPatient=[0, 0, 0]))
    assert is_complete(doubled).complete
    without_place = headers_of(tmp_path / "b", change=setting(ImagePositionPatient=None))
    judged = is_complete(without_place)
    assert judged.complete
    assert "ImagePositionPatient is missing" in judged.reason


def test_a_multiframe_image_is_complete_unless_it_is_a_part(tmp_path: Path) -> None:
    header = read_headers([write_multiframe(tmp_path, grid_of())])
    assert is_complete(header).complete
    header[0].ConcatenationUID, header[0].InConcatenationTotalNumber = "2.25.1", 3
    judged = is_complete(header)
    assert not judged.complete
    assert judged.reason == "1 of 3 parts of a concatenation have come."


def test_nothing_is_not_complete() -> None:
    assert not is_complete([]).complete
    assert not select([]).accepted
