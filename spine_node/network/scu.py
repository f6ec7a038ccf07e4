"""The sending side: C-STORE of files as they are, and C-ECHO.

A file goes out byte for byte where the peer accepts its transfer syntax; an uncompressed one is
re-encoded where the peer takes only another uncompressed syntax. What a peer refuses for good is an
outcome of that instance, as is what it does not take now; the latter then raises, as nothing that comes
after it may go before it. An instance whose answer was lost goes again under its UID, which changes
nothing at a peer that has it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from spine_node.errors import NotTakenNow, PeerRejects, PeerUnavailable
from spine_node.logs import logger
from spine_node.network.associations import (
    AssociationRejectedError,
    NotAcceptedError,
    associated,
    require_answer,
)
from spine_node.network.contexts import DEFLATED_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION
from spine_node.network.peer import Peer
from spine_node.network.statuses import Status, in_words, meaning

# For a path, pynetdicom then sends the file's own bytes instead of decoding and encoding them anew.
_config.STORE_SEND_CHUNKED_DATASET = True

_UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: their ids are the odd numbers below 256

OutcomeName = Literal["stored", "warning", "refused", "not accepted", "postponed", "unknown"]

log = logger("scu")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a peer said of one instance.

    Attributes
    ----------
    sop_instance_uid : str
    name : str
        "stored"; "warning": stored, with something to say; "refused": its status forbids it for good;
        "not accepted": the peer takes no such SOP class or transfer syntax; "postponed": its status says
        that it may be taken later; "unknown": sent, and no answer came, so that the peer may have it.
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


@dataclass(frozen=True, slots=True)
class Alternative:
    """One form of a result.

    Attributes
    ----------
    name : str
    paths : tuple of Path
        Its instances: all of them, or another form.
    beside : str
        The alternative of an earlier offer that this one refers to; "" for none.
    """

    name: str
    paths: tuple[Path, ...]
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A result in one or more forms, the best first: the peer gets the first that it takes."""

    alternatives: tuple[Alternative, ...]


def send(peer: Peer, paths: Sequence[Path], calling_ae: str) -> tuple[Outcome, ...]:
    """Send DICOM files to a peer; one outcome a file, in their order.

    Raises
    ------
    PeerRejects
        If the peer rejects our associations for good.
    NotTakenNow
        If it was lost on the way, did not answer, or answered with a transient status (out of resources,
        processing failure). Some instances may have been stored.
    PeerUnavailable
        If it could not be reached otherwise.
    FileNotFoundError, ValueError
        If a file is absent, or is no DICOM file with File Meta Information.
    """
    return tuple(send_offers(peer, [Offer((Alternative(path.name, (path,)),)) for path in paths], calling_ae))


def send_offers(
    peer: Peer, offers: Sequence[Offer], calling_ae: str, taken: Iterable[str] = ()
) -> Iterator[Outcome]:
    """Send each result in the first form that the peer takes, over one association if its contexts suffice.

    A form is passed over when the peer accepts no context for one of its instances, and left behind when
    it refuses one by status; both are outcomes, and the next form goes. Forms that refer to another one
    (`Alternative.beside`) go only where that was taken, if any of them can.

    Parameters
    ----------
    peer : Peer
    offers : sequence of Offer
        What is referred to comes before what refers to it.
    calling_ae : str
    taken : iterable of str
        Names of alternatives that the peer has from earlier attempts.

    Yields
    ------
    Outcome
        One for each instance that was sent or passed over, at once, also for the last before NotTakenNow.

    Raises
    ------
    PeerRejects, NotTakenNow, PeerUnavailable, FileNotFoundError, ValueError
        As `send`.
    """
    files = {path: _File.read(path) for offer in offers for a in offer.alternatives for path in a.paths}
    if not files:
        return
    has = set(taken)
    for batch in _batches(offers, files):
        concerned = [files[path] for offer in batch for a in offer.alternatives for path in a.paths]
        try:
            with associated(peer, calling_ae, _contexts(concerned)) as association:
                for offer in batch:
                    yield from _logged(peer, _send_offer(association, peer, offer, files, has))
        except AssociationRejectedError as rejected_us:
            raise PeerRejects(str(rejected_us)) from rejected_us
        except NotAcceptedError as answer:
            rejected = (Outcome(file.sop_uid, "not accepted", None, str(answer)) for file in concerned)
            yield from _logged(peer, rejected)


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


def takes(peer: Peer, pairs: Iterable[tuple[str, str]], calling_ae: str) -> set[tuple[str, str]]:
    """Which pairs of SOP class and transfer syntax a peer takes from us; nothing is sent.

    An uncompressed pair counts when the peer takes the class in any uncompressed syntax, as `send` would.

    Raises
    ------
    PeerUnavailable
        If it cannot be reached, or does not answer.
    """
    offered = {pair: _with_substitutes(*pair) for pair in pairs}
    contexts = [build_context(*each) for each in dict.fromkeys(p for s in offered.values() for p in s)]
    try:
        with associated(peer, calling_ae, contexts) as association:
            accepted = _accepted(association)
    except NotAcceptedError:
        return set()
    return {pair for pair, each in offered.items() if accepted.intersection(each)}


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
        return _with_substitutes(self.sop_class_uid, self.transfer_syntax)


def _batches(offers: Sequence[Offer], files: Mapping[Path, _File]) -> Iterator[list[Offer]]:
    """Offers by association, as each has room for so many contexts."""
    batch: list[Offer] = []
    pairs: set[tuple[str, str]] = set()
    for offer in offers:
        own = {pair for a in offer.alternatives for path in a.paths for pair in files[path].contexts}
        if batch and len(pairs | own) > _MOST_CONTEXTS:
            yield batch
            batch, pairs = [], set()
        batch.append(offer)
        pairs |= own
    yield batch


def _contexts(files: Iterable[_File]) -> list[PresentationContext]:
    pairs = dict.fromkeys(pair for file in files for pair in file.contexts)
    return [build_context(*pair) for pair in pairs]


def _send_offer(
    association: Association, peer: Peer, offer: Offer, files: Mapping[Path, _File], taken: set[str]
) -> Iterator[Outcome]:
    fitting = [a for a in offer.alternatives if not a.beside or a.beside in taken]
    for alternative in fitting or offer.alternatives:
        wanted = [files[path] for path in alternative.paths]
        unwelcome = [file for file in wanted if not _usable(association, file)]
        if unwelcome:
            # all or nothing: the whole result goes in the next form
            whose = f"{peer} accepts no context for SOP class {unwelcome[0].sop_class_uid}"
            detail = f"{whose} in {unwelcome[0].transfer_syntax}"
            yield from (Outcome(file.sop_uid, "not accepted", None, detail) for file in wanted)
            continue
        stored = True
        for file in wanted:
            outcome = _send_one(association, peer, file)
            stored = stored and outcome.stored
            yield outcome
            if outcome.name in ("postponed", "unknown"):
                raise NotTakenNow(f"{peer} {outcome.detail}")
        if stored:
            taken.add(alternative.name)
            return


def _usable(association: Association, file: _File) -> tuple[str, str] | None:
    accepted = _accepted(association)
    return next((pair for pair in file.contexts if pair in accepted), None)


def _accepted(association: Association) -> set[tuple[str, str]]:
    return {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}


def _with_substitutes(sop_class_uid: str, transfer_syntax: str) -> tuple[tuple[str, str], ...]:
    """A context, and those that will do as well: uncompressed syntaxes can be re-encoded."""
    others = _UNCOMPRESSED[:2] if transfer_syntax in _UNCOMPRESSED else ()
    return tuple((sop_class_uid, ts) for ts in dict.fromkeys((transfer_syntax, *others)))


def _logged(peer: Peer, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        write = log.info if outcome.name == "stored" else log.warning
        write(
            "instance_sent",
            peer=peer.name,
            outcome=outcome.name,
            detail=outcome.detail,
            sop_instance_uid=outcome.sop_instance_uid,
        )
        yield outcome


def _send_one(association: Association, peer: Peer, file: _File) -> Outcome:
    context = _usable(association, file)
    verbatim = context is not None and context[1] == file.transfer_syntax
    try:
        answer = association.send_c_store(file.path if verbatim else dcmread(file.path))
    except RuntimeError as lost:  # pynetdicom's word for an association that ended meanwhile
        raise PeerUnavailable(f"{peer} ended the association before instance {file.sop_uid}") from lost
    if not answer:
        detail = f"did not answer C-STORE of instance {file.sop_uid}: the association was lost or timed out"
        return Outcome(file.sop_uid, "unknown", None, detail)
    return _outcome(file.sop_uid, answer)


def _outcome(sop_uid: str, answer: Dataset) -> Outcome:
    status = int(answer.Status)
    detail = " ".join(filter(None, [in_words(status), str(answer.get("ErrorComment", "") or "")]))
    match meaning(status).fate:
        case "stored":
            return Outcome(sop_uid, "stored", status, detail)
        case "warning":
            return Outcome(sop_uid, "warning", status, detail)
        case "transient":
            return Outcome(sop_uid, "postponed", status, f"answered {detail} to instance {sop_uid}")
        case "permanent":
            return Outcome(sop_uid, "refused", status, detail)
