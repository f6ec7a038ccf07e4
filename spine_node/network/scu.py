"""The sending side: C-STORE of files as they are, and C-ECHO.

A file goes out byte for byte where the peer accepts its transfer syntax; an uncompressed one is
re-encoded where the peer takes only another uncompressed syntax. What a peer refuses for good is an
outcome of that instance; what may work later raises PeerUnavailable, and everything is sent again,
which changes nothing at a peer that has it already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from spine_node.errors import PeerUnavailable
from spine_node.logs import logger
from spine_node.network.associations import NotAcceptedError, associated, require_answer
from spine_node.network.contexts import DEFLATED_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION
from spine_node.network.peer import Peer
from spine_node.network.statuses import Status, in_words, is_transient, is_warning

# For a path, pynetdicom then sends the file's own bytes instead of decoding and encoding them anew.
_config.STORE_SEND_CHUNKED_DATASET = True

_UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
_CONTEXTS_PER_ASSOCIATION = 128  # PS3.8 9.3.2.2: their ids are the odd numbers below 256

OutcomeName = Literal["stored", "warning", "refused", "not accepted"]

log = logger("scu")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a peer said of one instance.

    Attributes
    ----------
    sop_instance_uid : str
    name : str
        "stored"; "warning": stored, with something to say; "refused": its status forbids it for good;
        "not accepted": the peer takes no such SOP class or transfer syntax, or not from us.
    status : int or None
        DIMSE status; None when nothing was sent.
    detail : str
        The status and the peer's comment in words.
    """

    sop_instance_uid: str
    name: OutcomeName
    status: int | None
    detail: str

    @property
    def stored(self) -> bool:
        """The peer has the instance."""
        return self.name in ("stored", "warning")


def send(peer: Peer, paths: Sequence[Path], calling_ae: str) -> tuple[Outcome, ...]:
    """Send DICOM files to a peer; one outcome a file, in their order.

    Raises
    ------
    PeerUnavailable
        If the peer could not be reached, was lost on the way, or answered with a transient status
        (out of resources, processing failure). Some instances may have been stored.
    FileNotFoundError, ValueError
        If a file is absent, or is no DICOM file with File Meta Information.
    """
    files = [_File.read(path) for path in paths]
    outcomes: dict[Path, Outcome] = {}
    for batch, contexts in _batches(files):
        try:
            with associated(peer, calling_ae, contexts) as association:
                for file in batch:
                    outcomes[file.path] = _send_one(association, peer, file)
        except NotAcceptedError as answer:
            for file in batch:
                outcomes[file.path] = Outcome(file.sop_uid, "not accepted", None, str(answer))
    for outcome in outcomes.values():
        write = log.info if outcome.name == "stored" else log.warning
        write(
            "instance_sent",
            peer=peer.name,
            outcome=outcome.name,
            detail=outcome.detail,
            sop_instance_uid=outcome.sop_instance_uid,
        )
    return tuple(outcomes[file.path] for file in files)


def echo(peer: Peer, calling_ae: str) -> None:
    """Ask a peer whether it is there and takes our calls.

    Raises
    ------
    PeerUnavailable
        If not: no connection, no answer, an association rejected (for whatever reason), a failure.
    """
    contexts = [build_context(VERIFICATION, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    try:
        with associated(peer, calling_ae, contexts) as association:
            status = association.send_c_echo()
            require_answer(peer, status, "C-ECHO")
    except NotAcceptedError as answer:
        raise PeerUnavailable(str(answer)) from answer
    if status.Status != Status.SUCCESS:
        raise PeerUnavailable(f"{peer} answered C-ECHO with {in_words(status.Status)}")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    sop_class_uid: str
    sop_uid: str
    transfer_syntax: str

    @staticmethod
    def read(path: Path) -> _File:
        try:
            meta = read_file_meta_info(path)
        except InvalidDicomError as problem:
            raise ValueError(f"{path} is no DICOM file") from problem
        uids = [
            str(meta.get(keyword, ""))
            for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
        ]
        if not all(uids):
            raise ValueError(f"{path} lacks File Meta Information (SOP class, SOP instance, transfer syntax)")
        return _File(path, *uids)

    @property
    def contexts(self) -> tuple[tuple[str, str], ...]:
        """Contexts to offer, each with one syntax, so that the peer answers for each."""
        others = _UNCOMPRESSED[:2] if self.transfer_syntax in _UNCOMPRESSED else ()
        return tuple((self.sop_class_uid, ts) for ts in dict.fromkeys((self.transfer_syntax, *others)))


def _batches(files: Sequence[_File]) -> Iterator[tuple[list[_File], list[PresentationContext]]]:
    """Files by association: each offers as many contexts as the standard allows."""
    batch: list[_File] = []
    offered: dict[tuple[str, str], None] = {}
    for file in files:
        more = offered | dict.fromkeys(file.contexts)
        if len(more) > _CONTEXTS_PER_ASSOCIATION:
            yield batch, [build_context(*pair) for pair in offered]
            batch, more = [], dict.fromkeys(file.contexts)
        batch.append(file)
        offered = more
    if batch:
        yield batch, [build_context(*pair) for pair in offered]


def _send_one(association: Association, peer: Peer, file: _File) -> Outcome:
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    usable = [pair for pair in file.contexts if pair in accepted]
    if not usable:
        detail = f"{peer} accepts no context for SOP class {file.sop_class_uid} in {file.transfer_syntax}"
        return Outcome(file.sop_uid, "not accepted", None, detail)
    verbatim = usable[0][1] == file.transfer_syntax
    try:
        answer = association.send_c_store(file.path if verbatim else dcmread(file.path))
    except RuntimeError as lost:  # pynetdicom's word for an association that ended meanwhile
        raise PeerUnavailable(f"{peer} ended the association before instance {file.sop_uid}") from lost
    require_answer(peer, answer, f"C-STORE of instance {file.sop_uid}")
    return _outcome(peer, file.sop_uid, answer)


def _outcome(peer: Peer, sop_uid: str, answer: Dataset) -> Outcome:
    status = int(answer.Status)
    detail = " ".join(filter(None, [in_words(status), str(answer.get("ErrorComment", "") or "")]))
    if is_transient(status):
        raise PeerUnavailable(f"{peer} answered {detail} to instance {sop_uid}")
    if status == Status.SUCCESS:
        return Outcome(sop_uid, "stored", status, detail)
    return Outcome(sop_uid, "warning" if is_warning(status) else "refused", status, detail)
