"""A rejection note (IHE Radiology TF, Imaging Object Change Management): results that newer ones replace.

A Key Object Selection titled "Rejected for Quality Reasons" that lists instances, upon which a PACS of that
profile hides them. It lists what a PACS has, nothing else: archives refuse a note of what they do not know.
An instance once rejected is not taken again, so the UIDs of what replaces it are others (`result_uids`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from spine_node.dicom.blanks import blank, reference
from spine_node.dicom.forms import CONTEXT_OF
from spine_node.dicom.identity import DEVICE_UID, finish, result_uid

_NUMBER = 98
"""After every result of the series that they were made of (`identity.series_number`)."""

KEY_OBJECT_SELECTION, _ = CONTEXT_OF["key-object"]
_NO_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports and key objects
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
)

_TITLE = ("113001", "Rejected for Quality Reasons")


def write_rejection_note(rejected: Sequence[Dataset], why: str, *, software_version: str) -> Dataset:
    """The note that rejects these instances.

    The same instances, words and version give the same bytes.

    Parameters
    ----------
    rejected : sequence of Dataset
        Headers of instances of one study, each with its file's identity.
    why : str
        For people, in ASCII.
    software_version : str

    Raises
    ------
    ValueError
        If there is none, or one of another study.
    """
    if not rejected:
        raise ValueError("a rejection note lists instances, and there are none")
    studies = sorted({str(header.StudyInstanceUID) for header in rejected})
    if len(studies) > 1:
        raise ValueError(f"a rejection note is about one study, not about {' and '.join(studies)}")
    uids = [str(header.SOPInstanceUID) for header in rejected]

    def uid(what: str) -> str:
        return result_uid(what, uids, "", software_version, why)

    note = blank(KEY_OBJECT_SELECTION, uid("rejection note"), uid("rejection note series"), software_version)
    note.Modality = "KO"
    note.SeriesNumber = int(rejected[0].get("SeriesNumber") or 9000) // 100 * 100 + _NUMBER
    note.SeriesDescription = "Spine Node: superseded results"
    note.InstanceNumber = 1
    note.ReferencedPerformedProcedureStepSequence = []
    note.CurrentRequestedProcedureEvidenceSequence = [_evidence(studies[0], rejected)]
    note.ValueType = "CONTAINER"
    note.ConceptNameCodeSequence = [_code(*_TITLE)]
    note.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    note.ContentTemplateSequence = [template]
    observer_type = _item("HAS OBS CONTEXT", "CODE", ("121005", "Observer Type"))
    observer_type.ConceptCodeSequence = [_code("121007", "Device")]
    observer = _item("HAS OBS CONTEXT", "UIDREF", ("121012", "Device Observer UID"))
    observer.UID = DEVICE_UID
    words = _item("CONTAINS", "TEXT", ("113012", "Key Object Description"))
    words.TextValue = why
    note.ContentSequence = [observer_type, observer, words, *map(_selected, rejected)]
    finish(note, rejected[0])
    return note


def _evidence(study_uid: str, rejected: Sequence[Dataset]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = study_uid
    study.ReferencedSeriesSequence = []
    for series_uid in dict.fromkeys(str(header.SeriesInstanceUID) for header in rejected):
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = [
            reference(header) for header in rejected if header.SeriesInstanceUID == series_uid
        ]
        study.ReferencedSeriesSequence.append(series)
    return study


def _selected(header: Dataset) -> Dataset:
    image = not str(header.SOPClassUID).startswith(_NO_IMAGES)
    item = _item("CONTAINS", "IMAGE" if image else "COMPOSITE")
    item.ReferencedSOPSequence = [reference(header)]
    return item


def _item(relationship: str, value_type: str, concept: tuple[str, str] | None = None) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    if concept is not None:
        item.ConceptNameCodeSequence = [_code(*concept)]
    return item


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
