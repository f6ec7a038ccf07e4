"""C-FIND as an SCU: what a peer holds of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset
from pynetdicom.presentation import build_context

from spine_node.errors import PeerUnavailable
from spine_node.network.associations import NotAcceptedError, associated, require_answer
from spine_node.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, STUDY_ROOT_FIND
from spine_node.network.peer import Peer
from spine_node.network.statuses import Status, in_words

Level = Literal["STUDY", "SERIES", "IMAGE"]


@dataclass(frozen=True, slots=True, order=True)
class FoundInstance:
    """An instance that a peer holds."""

    series_uid: str
    sop_instance_uid: str
    modality: str


def find(
    peer: Peer, calling_ae: str, level: Level, keys: Mapping[str, str], most: int | None = None
) -> list[Dataset]:
    """Ask a peer for what matches, in the Study Root model (PS3.4 C.6.2).

    Parameters
    ----------
    keys : mapping of str to str
        Attribute keywords and what they must match; "" asks for the value.
    most : int, optional
        As soon as there are more, no more is listened to, and one more than `most` is given.

    Raises
    ------
    PeerUnavailable
        If the peer could not be reached, does not take C-FIND from us, or did not finish its answer.
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    contexts = [build_context(STUDY_ROOT_FIND, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    found = []
    try:
        with associated(peer, calling_ae, contexts) as association:
            for status, match in association.send_c_find(identifier, STUDY_ROOT_FIND):
                require_answer(peer, status, "C-FIND")
                if match is not None:
                    found.append(match)
                    if most is not None and len(found) > most:
                        association.abort()
                        return found
                elif status.Status != Status.SUCCESS:
                    raise PeerUnavailable(f"{peer} answered C-FIND with {in_words(status.Status)}")
    except NotAcceptedError as answer:
        raise PeerUnavailable(str(answer)) from answer
    return found


def find_instances(peer: Peer, study_uid: str, calling_ae: str) -> list[FoundInstance]:
    """Every instance of a study that the peer holds, sorted by series.

    Raises
    ------
    PeerUnavailable
        As `find`.
    """
    series_keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": ""}
    found = []
    for series in find(peer, calling_ae, "SERIES", series_keys):
        keys = {
            "StudyInstanceUID": study_uid,
            "SeriesInstanceUID": series.SeriesInstanceUID,
            "SOPInstanceUID": "",
        }
        for image in find(peer, calling_ae, "IMAGE", keys):
            uids = str(series.SeriesInstanceUID), str(image.SOPInstanceUID)
            found.append(FoundInstance(*uids, str(series.get("Modality", ""))))
    return sorted(found)
