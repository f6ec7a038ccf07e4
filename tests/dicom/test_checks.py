"""What a source must have is said before the GPU starts, all of it at once and with the fix.

`check_geometry` is tried on every corruption in test_seg.py.
"""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.checks import preflight
from spine_node.errors import SeriesRefused


def header(number: int, **elements: object) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"2.25.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "2.25.901", "2.25.902", "2.25.903"
    ds.Modality, ds.Rows, ds.Columns = "CT", 4, 5
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_a_complete_header_passes() -> None:
    preflight([header(1), header(2)])


def test_everything_that_is_missing_is_named_at_once() -> None:
    """MHub converted for twelve minutes and then failed in silence for one attribute."""
    damaged = [
        header(1, Modality="", FrameOfReferenceUID=None),
        header(2, FrameOfReferenceUID=None),
        header(3),
    ]
    with pytest.raises(SeriesRefused) as refusal:
        preflight(damaged)
    assert str(refusal.value) == (
        "results cannot be encoded: FrameOfReferenceUID is missing from 2 of 3 instances; "
        "the sender must keep the frame of reference module. "
        "Modality is missing from 1 of 3 instances; the sender must keep the general series module."
    )


@pytest.mark.parametrize("uid", ["1.2.three", "1..2", "2.25." + "9" * 60])
def test_what_is_no_uid_is_named(uid: str) -> None:
    with pytest.raises(SeriesRefused, match=r"StudyInstanceUID '.*' is no UID"):
        preflight([header(1, StudyInstanceUID=uid)])


def test_an_instance_that_occurs_twice_is_named() -> None:
    with pytest.raises(SeriesRefused, match="1 SOP Instance UIDs occur twice"):
        preflight([header(1), header(2), header(2)])
