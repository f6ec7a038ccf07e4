"""C-FIND as an SCP: what the node holds of its own results (PS3.4 C.4.1).

An index narrows down what whole values can narrow; `matching` then decides, on headers as they were
written, one an entity: the newest instance stands for its series, its study and its patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom import Dataset
from pydicom.tag import Tag
from pynetdicom import evt
from pynetdicom.association import Association

from spine_node.audit.messages import Party
from spine_node.audit.messages import query as query_asked
from spine_node.audit.trail import AuditTrail
from spine_node.logs import logger
from spine_node.network.contexts import STUDY_ROOT
from spine_node.network.held import Held, Holder
from spine_node.network.identifiers import (
    COUNTED,
    UNIQUE_KEY,
    Asked,
    IdentifierRefusedError,
    query,
)
from spine_node.network.statuses import Status, in_words

PENDING_UNSUPPORTED_KEYS = 0xFF01
"""Matches are continuing; of the optional keys, some are not supported (PS3.4 C.4.1.1.4)."""

_AT_ONCE = 200  # headers read from the index at a time: between them a query can be cancelled

Answer = tuple[Dataset, Dataset | None]
"""Status, and an identifier where something matches."""

log = logger("query")


class QuerySCP:
    """Answers queries.

    Parameters
    ----------
    holder : Holder
    ae_title : str
        Ours: where what is found can be retrieved.
    most_matches : int
        After so many answers a query ends with "out of resources", and says so.
    audit : AuditTrail, optional
        Where each query is written, before it is answered.
    """

    def __init__(
        self, holder: Holder, ae_title: str, most_matches: int = 1000, audit: AuditTrail | None = None
    ) -> None:
        self._holder, self._ae_title, self._most, self._audit = holder, ae_title, most_matches, audit

    def on_c_find(self, event: evt.Event) -> Iterator[Answer]:
        """Handle EVT_C_FIND."""
        caller = event.assoc.requestor.ae_title.strip()
        if self._audit is not None:
            who = Party(caller, event.assoc.requestor.address)
            asked = event.request.Identifier.getvalue() if event.request.Identifier else b""
            model, syntax = str(event.context.abstract_syntax), str(event.context.transfer_syntax)
            self._audit.write(query_asked(self._audit.source, who, model, asked, syntax))
        answers = 0
        for status, identifier in self._answers_or_failure(event):
            answers += identifier is not None
            yield status, identifier
            if identifier is None:
                words = str(status.get("ErrorComment", ""))
                log.warning(
                    "query_ended",
                    calling_ae=caller,
                    matches=answers,
                    status=in_words(status.Status),
                    reason=words,
                )
                return
        log.info("query_answered", calling_ae=caller, matches=answers)

    def _answers_or_failure(self, event: evt.Event) -> Iterator[Answer]:
        try:
            yield from self._answers(event)
        except Exception:  # a locked database, or a bug of ours: the caller may ask again
            log.error("query_failed", exc_info=True)
            yield status_of(Status.CANNOT_UNDERSTAND, "an error of the node, see its log"), None

    def _answers(self, event: evt.Event) -> Iterator[Answer]:
        root, _, _ = str(event.context.abstract_syntax).rpartition(".")
        try:
            identifier = event.identifier
            asked = query(
                identifier, root, relational=is_relational(event.assoc, event.context.abstract_syntax)
            )
        except IdentifierRefusedError as refusal:
            yield status_of(Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, str(refusal)), None
            return
        except Exception as problem:  # noqa: BLE001 - pydicom meets bytes that are no data set in many ways
            words = f"the identifier cannot be read ({type(problem).__name__})"
            yield status_of(Status.CANNOT_UNDERSTAND, words), None
            return
        pending = status_of(PENDING_UNSUPPORTED_KEYS if asked.unsupported else Status.PENDING)
        found = 0
        entities = _entities(self._holder.held(asked.selection), asked.level)
        for start in range(0, len(entities), _AT_ONCE):
            some = entities[start : start + _AT_ONCE]
            headers = self._holder.headers([_newest(held).sop_instance_uid for held in some])
            for held in some:
                if event.is_cancelled:
                    yield status_of(Status.CANCEL), None
                    return
                header = headers.get(_newest(held).sop_instance_uid)
                if header is None:  # deleted meanwhile
                    continue
                entity = _gathered(header, held, asked.level)
                if not all(key.matches(entity) for key in asked.keys):
                    continue
                found += 1
                if found > self._most:
                    words = f"more than {self._most} match: narrow the query"
                    yield status_of(Status.OUT_OF_RESOURCES, words), None
                    return
                yield pending, self._answer(asked, entity, root)

    def _answer(self, asked: Asked, entity: Dataset, root: str) -> Dataset:
        answer = Dataset()
        charset = entity.get_item(Tag("SpecificCharacterSet")) if "SpecificCharacterSet" in entity else None
        # undecoded elements go out with the bytes they came with, in the character set they came with
        answer.set_original_encoding(False, True, entity.original_character_set)
        if charset is not None:
            answer[charset.tag] = charset
        levels = list(UNIQUE_KEY)
        above = levels[levels.index("STUDY") if root == STUDY_ROOT else 0 : levels.index(asked.level) + 1]
        wanted = dict.fromkeys([*(key.keyword for key in asked.keys), *(UNIQUE_KEY[name] for name in above)])
        for keyword in wanted:
            tag = Tag(keyword)
            if tag in entity:
                answer[tag] = entity.get_item(tag)
            else:
                setattr(answer, keyword, None)
        answer.QueryRetrieveLevel = asked.level
        answer.RetrieveAETitle = self._ae_title
        answer.InstanceAvailability = "ONLINE"
        return answer


def is_relational(association: Association, sop_class_uid: str) -> bool:
    """Whether relational queries were agreed upon for a model."""
    agreed = association.acceptor.sop_class_extended.get(sop_class_uid)
    return bool(agreed) and bool(agreed[0])


def status_of(status: int, comment: str = "") -> Dataset:
    """A status as handlers give it, with a comment that fits (VR LO, 64 characters)."""
    answer = Dataset()
    answer.Status = int(status)
    if comment:
        answer.ErrorComment = comment.encode("ascii", "replace").decode()[:64]
    return answer


def _entities(held: Sequence[Held], level: str) -> list[list[Held]]:
    """What lies in each patient, study, series or instance; the newest entity first."""
    found: dict[str, list[Held]] = {}
    for instance in held:
        found.setdefault(_key_of(instance, level), []).append(instance)
    return sorted(found.values(), key=lambda some: -_newest(some).made_at)


def _key_of(instance: Held, level: str) -> str:
    uids = {
        "PATIENT": instance.patient_id,
        "STUDY": instance.study_uid,
        "SERIES": instance.series_uid,
        "IMAGE": instance.sop_instance_uid,
    }
    return uids[level]


def _newest(held: Sequence[Held]) -> Held:
    return max(held, key=lambda instance: (instance.made_at, instance.sop_instance_uid))


def _gathered(header: Dataset, held: Sequence[Held], level: str) -> Dataset:
    """An entity: its newest header, and what is counted over all that lies in it."""
    series, instances = len({i.series_uid for i in held}), len(held)
    counts = {
        "NumberOfPatientRelatedStudies": len({i.study_uid for i in held}),
        "NumberOfPatientRelatedSeries": series,
        "NumberOfPatientRelatedInstances": instances,
        "NumberOfStudyRelatedSeries": series,
        "NumberOfStudyRelatedInstances": instances,
        "NumberOfSeriesRelatedInstances": instances,
        "ModalitiesInStudy": sorted({i.modality for i in held}),
        "SOPClassesInStudy": sorted({i.sop_class_uid for i in held}),
    }
    for keyword in COUNTED[level]:
        setattr(header, keyword, counts[keyword])
    return header
