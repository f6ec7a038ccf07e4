"""A failure notice: a picture in the study of a series that gave no results, which says why in words.

It needs no geometry and no volume: one header of the series is enough, however little it holds.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from spine_node.dicom.identity import COPIED, MODEL_NAME, finish, result_uid, series_number
from spine_node.dicom.notice_picture import DIM, WARM, Paragraph, can_draw, picture_of
from spine_node.dicom.secondary_capture import secondary_capture
from spine_node.errors import SeriesRefused

SERIES_OFFSET = 9
"""After every result (`identity.series_number`)."""

Kind = Literal["refused", "failed"]

_WHAT_TO_DO: dict[Kind, str] = {
    "refused": "What to do: see to the reason above and send the series again, whole and as the scanner made "
    "it. Nothing was measured.",
    "failed": "What to do: tell whoever looks after Spine Node; its log names this series. The images "
    "themselves were not found to be at fault. Nothing was measured.",
}

_OF_THE_SERIES = (
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime", "BodyPartExamined",
    "Laterality",
)  # fmt: skip
"""What one header tells of its whole series: with no more than these, each of its headers gives the same
notice, byte for byte."""


def write_notice(header: Dataset, reason: str, *, software_version: str, kind: Kind = "refused") -> Dataset:
    """A Secondary Capture that says that a series was not analysed, and why.

    The same series, reason, kind and version give the same bytes, whichever of its headers is given.

    Parameters
    ----------
    header : Dataset
        Of any instance of the series. Only its Study Instance UID is needed.
    reason : str
        In words, without a patient's name: what was seen, what was expected.
    software_version : str
    kind : str
        "refused" (the data) or "failed" (the program).

    Raises
    ------
    SeriesRefused
        If the Study Instance UID is missing: the notice would belong to nobody.
    ValueError
        If the reason is empty.
    """
    if not _text(header, "StudyInstanceUID"):
        raise SeriesRefused(
            "StudyInstanceUID is missing from the header: a notice has no study to be stored in; the sender "
            "or anonymiser must keep it. No notice was written."
        )
    if not reason.strip():
        raise ValueError("a notice needs a reason")
    common = Dataset()
    for tag in map(Tag, (*COPIED, *_OF_THE_SERIES)):
        if tag in header:
            common[tag] = header.get_item(tag)
    series_uid = _text(common, "SeriesInstanceUID")
    sources = [series_uid or _text(common, "StudyInstanceUID")]
    words = hashlib.sha256(reason.encode()).hexdigest()

    def uid(what: str, *extra: str) -> str:
        return result_uid(what, sources, "", software_version, *extra)

    notice = secondary_capture(
        picture_of(_paragraphs(common, reason, software_version, kind)),
        uid("notice", kind, words),
        uid("notice series"),
        software_version,
    )
    for keyword in ("BodyPartExamined", "Laterality"):
        if _text(common, keyword):
            notice[keyword] = common.get_item(keyword)
    if "BodyPartExamined" not in notice and "Laterality" not in notice:
        notice.Laterality = None  # 2C: unknown, as the body part is
    notice.SeriesNumber = series_number(common, SERIES_OFFSET)
    notice.SeriesDescription = "Spine Node: not analysed"
    notice.InstanceNumber = 1
    notice.ImageComments = f"Spine Node {kind} this series; the reason is in the picture."
    notice.DerivationDescription = f"Drawn by {MODEL_NAME} {software_version}; shows no image data."
    notice.LossyImageCompression = "00"
    finish(notice, common)
    return notice


def _paragraphs(common: Dataset, reason: str, software_version: str, kind: Kind) -> list[Paragraph]:
    number, description = _text(common, "SeriesNumber"), _text(common, "SeriesDescription")
    left_out = [
        name
        for name, text in (("Series Number", number), ("Series Description", description))
        if not can_draw(text)
    ]
    named = " ".join(
        part for part in (number, f'"{description}"' if description else "") if part and can_draw(part)
    )
    if not named:
        named = "with the UID below" if left_out else "without number and description"
    series_uid = _text(common, "SeriesInstanceUID")
    return [
        Paragraph("Spine Node could not analyse this series", 34, WARM),
        Paragraph(f"Series {named}", 24),
        *(
            Paragraph(f"Not shown, as this picture's font lacks its letters: {name}.", 18, WARM)
            for name in left_out
        ),
        Paragraph(f"Reason: {reason}"),
        Paragraph(_WHAT_TO_DO[kind], 18),
        Paragraph(
            f"Series Instance UID {series_uid or 'missing'}. {MODEL_NAME} {software_version}. "
            "A notice of a program, not an image of the patient.",
            14,
            DIM,
        ),
    ]


def _text(header: Dataset, keyword: str) -> str:
    """An element in words; nothing for one that is absent, or that cannot be read."""
    try:
        value = header.get(keyword)
    except (ValueError, TypeError, LookupError, OverflowError):
        return ""
    return "" if value is None else " ".join(str(value).split())
