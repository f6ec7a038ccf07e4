"""A DICOMweb server that is away, slow, forbidding, wrong or odd, and what we say of it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import dcmread

from spine_node.errors import PeerUnavailable, ReportRefused
from spine_node.network.archive import Document, Query
from spine_node.network.dicomweb import WebArchive
from tests.conftest import free_port, make_ct

PATIENT = "SECRET-4711"
QUERY = Query(patient_id=PATIENT)
DOCUMENT = Document("1.2", "1.2.3", "1.2.3.4")


class Server(ThreadingHTTPServer):
    """Answers what it is told to; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.answer: Callable[[str, dict[str, list[str]]], tuple[int, str, bytes]] = lambda *_: (200, "", b"")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/web"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        keys = parse_qs(parts.query)
        self.server.asked.append((parts.path, keys, dict(self.headers)))
        status, kind, body = self.server.answer(parts.path, keys)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=[0.02])
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def studies(*uids: str, **told: str) -> bytes:
    """A QIDO-RS answer."""
    tags = {"PatientID": ("00100020", "LO"), "AccessionNumber": ("00080050", "SH")}
    return json.dumps(
        [
            {"0020000D": {"vr": "UI", "Value": [uid]}}
            | {tags[k][0]: {"vr": tags[k][1], "Value": [value]} for k, value in told.items()}
            for uid in uids
        ]
    ).encode()


def paged(uids: list[str]) -> Callable[[str, dict[str, list[str]]], tuple[int, str, bytes]]:
    """A server that gives three answers at a time, whatever the limit."""

    def answer(_: str, keys: dict[str, list[str]]) -> tuple[int, str, bytes]:
        offset = int(keys["offset"][0])
        page = uids[offset : offset + min(3, int(keys["limit"][0]))]
        return 200, "application/dicom+json", studies(*page)

    return answer


def test_all_pages_of_a_search_are_asked_for(server: Server) -> None:
    uids = [f"1.2.{number}" for number in range(8)]
    server.answer = paged(uids)
    assert WebArchive(server.url).studies(QUERY) == uids
    (path, keys, headers), *_ = server.asked
    assert (path, keys["PatientID"]) == ("/web/studies", [PATIENT])
    assert "StudyDate" not in keys
    assert "application/dicom+json" in headers["Accept"]
    with pytest.raises(ReportRefused, match="more than 5 studies match"):
        WebArchive(server.url).studies(QUERY, most=5)


def test_a_server_that_knows_no_paging_and_no_keys_ends_the_search_and_brings_nobody_else(
    server: Server,
) -> None:
    """It answers with everything it has, each time."""
    mine, other = studies("1.2.1", PatientID=PATIENT), studies("1.2.9", PatientID="OTHER")
    both = json.dumps(json.loads(mine) + json.loads(other)).encode()
    server.answer = lambda *_: (200, "application/dicom+json", both)
    assert WebArchive(server.url).studies(QUERY) == ["1.2.1"]
    assert len(server.asked) == 2


def test_nothing_found_is_no_error_in_either_spelling(server: Server) -> None:
    for status, body in ((204, b""), (200, b"[]")):
        server.answer = lambda *_, status=status, body=body: (status, "application/dicom+json", body)  # type: ignore[misc]
        assert WebArchive(server.url).studies(QUERY) == []


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (401, "text/plain", b"", "401: we are not logged in: a token in DICOMWEB_TOKEN"),
        (403, "text/plain", b"", "403: we may not"),
        (404, "text/plain", b"", "404: no such thing"),
        (500, "text/plain", b"", "HTTP status 500"),
        (503, "text/plain", b"", "HTTP status 503"),
        (200, "text/html", b"<html>Please log in</html>", "what is no DICOMweb"),
        (200, "application/json", b'[{"0020000D": 7}]', "what is no DICOMweb"),
        (200, "application/json", b'["a", 1]', "what is no DICOMweb"),
    ],
)
def test_what_a_server_refuses_is_said_and_never_about_whom(
    server: Server, status: int, kind: str, body: bytes, words: str
) -> None:
    server.answer = lambda *_: (status, kind, body)
    for ask in (lambda a: a.studies(QUERY), lambda a: a.fetch([DOCUMENT])):
        with pytest.raises(PeerUnavailable) as said:
            ask(WebArchive(server.url))
        assert PATIENT not in str(said.value)
        assert server.url in str(said.value)
        assert words in str(said.value)
    assert len(server.asked) == 2, "nobody is made to wait for second tries"


def test_a_server_that_is_away_or_silent_is_told_apart() -> None:
    with pytest.raises(PeerUnavailable, match="no connection with http"):
        WebArchive(f"http://127.0.0.1:{free_port()}/web").studies(QUERY)


def test_a_slow_server_is_not_waited_for(server: Server) -> None:
    def slow(*_: Any) -> tuple[int, str, bytes]:
        given_up.wait(600)
        return 200, "application/json", b"[]"

    given_up, server.answer = threading.Event(), slow
    with pytest.raises(PeerUnavailable, match="did not answer the search in time"):
        WebArchive(server.url, 60.0, 0.3).studies(QUERY)
    given_up.set()


def test_a_document_comes_in_an_envelope_or_without_and_must_be_the_one(
    server: Server, tmp_path: Path
) -> None:
    (path,) = make_ct(tmp_path, slices=1)
    held = dcmread(path)
    document = Document("1.2", "1.2.3", str(held.SOPInstanceUID))
    part = b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--edge--\r\n"
    enveloped = 'multipart/related; type="application/dicom"; boundary="edge"'
    for kind, body in ((enveloped, part), ("application/dicom", path.read_bytes())):
        server.answer = lambda *_, kind=kind, body=body: (200, kind, body)  # type: ignore[misc]
        (fetched,) = WebArchive(server.url).fetch([document])
        written = io.BytesIO()
        fetched.save_as(written, enforce_file_format=True)
        assert written.getvalue() == path.read_bytes()
        with pytest.raises(PeerUnavailable, match="another document"):
            WebArchive(server.url).fetch([DOCUMENT])


def test_a_token_goes_into_the_header_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOMWEB_TOKEN", "abc.def")
    server.answer = lambda *_: (401, "text/plain", b"")
    with pytest.raises(PeerUnavailable) as said:
        WebArchive(server.url).studies(QUERY)
    assert server.asked[0][2]["Authorization"] == "Bearer abc.def"
    assert "abc.def" not in str(said.value)


@pytest.mark.parametrize(
    "url", ["http://", "file:///etc", "https://a:b@host/web", "https://host/web?x=1", "https:host"]
)
def test_what_is_no_base_address_is_wrong_usage(url: str) -> None:
    with pytest.raises(ValueError, match="address of a DICOMweb server") as said:
        WebArchive(url)
    assert "a:b" not in str(said.value)
