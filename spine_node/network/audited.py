"""What an audit message says of DICOM files: whose study they are of, and how many of which class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from spine_node.audit.messages import Party, StudyFacts, begin_transferring, instances_transferred
from spine_node.audit.trail import AuditTrail
from spine_node.network.peer import Peer
from spine_node.network.scu import Offer, Outcome

_KEYWORDS = ["StudyInstanceUID", "PatientID", "AccessionNumber", "SOPClassUID", "SOPInstanceUID"]


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of one file."""

    study_uid: str
    patient_id: str = field(repr=False)  # for the audit trail; no log line may hold it
    accession_number: str
    sop_class_uid: str
    sop_instance_uid: str


def described(path: Path) -> Described | None:
    """Read what is told of a file; None if it cannot be read."""
    try:
        ds = dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    except (OSError, InvalidDicomError, ValueError, EOFError):
        return None
    return Described(*(str(ds.get(keyword, "") or "") for keyword in _KEYWORDS))


def by_study(files: Iterable[Described]) -> list[StudyFacts]:
    """The facts of each study and patient among files."""
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for file in files:
        key = file.study_uid, file.patient_id, file.accession_number
        classes = counts.setdefault(key, {})
        classes[file.sop_class_uid] = classes.get(file.sop_class_uid, 0) + 1
    return [StudyFacts(study, patient, n, number) for (study, patient, number), n in counts.items()]


def facts_of(paths: Iterable[Path]) -> list[StudyFacts]:
    """Of each study and patient among files; one that cannot be read is passed over."""
    return by_study(found for path in paths if (found := described(path)) is not None)


def facts_of_series(folder: Path) -> StudyFacts | None:
    """Of a folder of one series, told by its first file; None if there is none that can be read."""
    paths = sorted(folder.glob("*.dcm"))
    first = next((found for path in islice(paths, 3) if (found := described(path)) is not None), None)
    if first is None:
        return None
    return StudyFacts(
        first.study_uid, first.patient_id, {first.sop_class_uid: len(paths)}, first.accession_number
    )


def audited_sending(
    audit: AuditTrail, peer: Peer, offers: Sequence[Offer], outcomes: Iterable[Outcome]
) -> Iterator[Outcome]:
    """The outcomes of sending these offers, with a message before the first and one after the last.

    The one after counts what the peer has, also when the association was lost on the way.
    """
    paths = {path for offer in offers for a in offer.alternatives for path in a.paths}
    files = {f.sop_instance_uid: f for path in sorted(paths) if (f := described(path)) is not None}
    us, them = Party(audit.source.ae_title), Party(peer.ae_title, peer.host)
    for facts in by_study(files.values()):
        audit.write(begin_transferring(audit.source, us, them, facts))
    arrived, failure = [], ""
    try:
        for outcome in outcomes:
            if not outcome.stored:
                failure = failure or outcome.detail
            elif outcome.sop_instance_uid in files:
                arrived.append(files[outcome.sop_instance_uid])
            yield outcome
    except Exception as problem:
        failure = str(problem)
        raise
    finally:
        # Where nothing arrived, the message says of what: with no instances of it.
        nothing = [replace(facts, instances={}) for facts in by_study(files.values())]
        for facts in by_study(arrived) or nothing:
            audit.write(instances_transferred(audit.source, us, them, facts, "R", failure))
