"""A small PACS for demonstrations and tests: stores to a folder, answers C-ECHO, C-STORE and C-FIND.

Not for patients: no C-MOVE, no database, its index is in memory and built from the folder at start.
`deploy/demo` uses it where Orthanc is not installed: `python -m spine_node.network.pacs AE PORT FOLDER`
serves on 127.0.0.1 until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE

from spine_node.logs import configure_logs, logger
from spine_node.network.contexts import PATIENT_ROOT_FIND, STUDY_ROOT_FIND, VERIFICATION
from spine_node.network.part10 import file_header
from spine_node.network.scp import MAXIMUM_PDU_BYTES
from spine_node.network.server import PromptServer, listen
from spine_node.network.statuses import Status

_UNIQUE_KEY = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}

log = logger("pacs")


class FolderPacs:
    """A PACS over one folder, in threads of this process.

    Parameters
    ----------
    ae_title, host, port
        Where it answers; port 0 lets the system choose.
    folder : Path
        Created if absent; DICOM files already in it are served.
    """

    def __init__(self, ae_title: str, host: str, port: int, folder: Path) -> None:
        self._address = (host, port)
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._index: dict[str, Dataset] = {}
        self._lock = threading.Lock()
        self._server: PromptServer | None = None
        self._ae = AE(ae_title)
        self._ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
        self._ae.maximum_associations = 16
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        for sop_class in (VERIFICATION, STUDY_ROOT_FIND, PATIENT_ROOT_FIND):
            self._ae.add_supported_context(sop_class)

    def start(self) -> int:
        """Index the folder and listen; gives the port."""
        for path in sorted(self._folder.rglob("*.dcm")):
            try:
                self._add(path)
            except (InvalidDicomError, AttributeError) as problem:
                log.warning("file_skipped", path=str(path), reason=str(problem))
        handlers = [(evt.EVT_C_STORE, self._on_c_store), (evt.EVT_C_FIND, self._on_c_find)]
        host, port = self._address
        self._server = listen(self._ae, host, port, handlers)
        log.info("listening", ae_title=self._ae.ae_title, host=host, port=self._server.port)
        return self._server.port

    def stop(self) -> None:
        """Stop listening; associations that are still open after a second are aborted."""
        server, self._server = self._server, None
        if server is not None:
            server.end(grace_s=1.0)

    def paths(self) -> list[Path]:
        """The stored files, sorted."""
        return sorted(self._folder.glob("*.dcm"))

    def _add(self, path: Path) -> None:
        header = dcmread(path, stop_before_pixels=True)
        with self._lock:
            self._index[str(header.SOPInstanceUID)] = header

    def _on_c_store(self, event: evt.Event) -> int:
        request = cast(C_STORE, event.request)
        sop_uid = str(request.AffectedSOPInstanceUID)
        if not all(part.isdigit() for part in sop_uid.split(".")):
            return Status.INVALID_SOP_INSTANCE
        header = file_header(str(request.AffectedSOPClassUID), sop_uid, str(event.context.transfer_syntax))
        path = self._folder / f"{sop_uid}.dcm"
        partial = path.with_suffix(f".{threading.get_ident()}.part")
        try:
            partial.write_bytes(header + cast(BytesIO, request.DataSet).getvalue())
            os.replace(partial, path)
        except OSError as problem:
            partial.unlink(missing_ok=True)
            log.warning("instance_refused", sop_instance_uid=sop_uid, reason=str(problem))
            return Status.OUT_OF_RESOURCES
        self._add(path)
        log.info("instance_stored", sop_instance_uid=sop_uid)
        return Status.SUCCESS

    def _on_c_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        identifier = event.identifier
        unique = _UNIQUE_KEY.get(identifier.get("QueryRetrieveLevel", ""))
        if unique is None:
            yield Status.CANNOT_UNDERSTAND, None
            return
        with self._lock:
            headers = list(self._index.values())
        answers: dict[str, Dataset] = {}
        for header in headers:
            if all(_matches(wanted, header) for wanted in identifier):
                answers.setdefault(str(header.get(unique, "")), header)
        for header in answers.values():
            if event.is_cancelled:
                yield Status.CANCEL, None
                return
            yield Status.PENDING, _answer(identifier, header, headers)


def _matches(wanted: DataElement, header: Dataset) -> bool:
    """Matching of PS3.4 C.2.2.2: universal, a single value, wild cards, a list of UIDs, a date range."""
    if wanted.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or wanted.VR == "SQ":
        return True
    if wanted.keyword in _COUNTS or wanted.value in (None, ""):
        return True
    held = header.get(wanted.keyword)
    values = (
        [str(v) for v in held] if isinstance(held, MultiValue) else [str(held if held is not None else "")]
    )
    if wanted.VR == "UI":
        asked = wanted.value if isinstance(wanted.value, MultiValue) else [wanted.value]
        return any(str(uid) in values for uid in asked)
    pattern = str(wanted.value)
    if wanted.VR in ("DA", "TM") and "-" in pattern:
        first, last = pattern.split("-", 1)
        return any(first <= value and (not last or value <= last) for value in values if value)
    if wanted.VR == "PN":
        return any(fnmatchcase(value.upper(), pattern.upper()) for value in values)
    return any(fnmatchcase(value, pattern) for value in values)


def _answer(identifier: Dataset, header: Dataset, headers: list[Dataset]) -> Dataset:
    answer = Dataset()
    for wanted in identifier:
        if wanted.keyword in _COUNTS:
            setattr(answer, wanted.keyword, _COUNTS[wanted.keyword](header, headers))
        elif wanted.keyword == "QueryRetrieveLevel":
            answer.QueryRetrieveLevel = wanted.value
        elif wanted.tag in header:
            answer[wanted.tag] = header[wanted.tag]
        else:
            answer.add_new(wanted.tag, wanted.VR, None)
    if "SpecificCharacterSet" in header:
        answer.SpecificCharacterSet = header.SpecificCharacterSet
    return answer


def _distinct(keyword: str, of: str) -> Any:
    def values(header: Dataset, headers: list[Dataset]) -> list[str]:
        same = [h for h in headers if h.get(of) == header.get(of)]
        return sorted({str(h.get(keyword, "")) for h in same})

    return values


def _number(keyword: str, of: str) -> Any:
    values = _distinct(keyword, of)
    return lambda header, headers: len(values(header, headers))


_COUNTS = {
    "NumberOfStudyRelatedSeries": _number("SeriesInstanceUID", of="StudyInstanceUID"),
    "NumberOfStudyRelatedInstances": _number("SOPInstanceUID", of="StudyInstanceUID"),
    "NumberOfSeriesRelatedInstances": _number("SOPInstanceUID", of="SeriesInstanceUID"),
    "ModalitiesInStudy": _distinct("Modality", of="StudyInstanceUID"),
}


def main(ae_title: str, port: str, folder: str) -> None:
    """Serve a folder on this machine until SIGTERM or SIGINT."""
    configure_logs()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pacs = FolderPacs(ae_title, "127.0.0.1", int(port), Path(folder))
    pacs.start()
    stopping.wait()
    pacs.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
