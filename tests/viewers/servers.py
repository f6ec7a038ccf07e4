"""What the viewers need on this machine: their files, Orthanc with DICOMweb, and one origin for both.

Everything listens on 127.0.0.1, on ports that are free, and ends with the check.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from spine_node.network.peer import Peer
from tests.conftest import DICOMWEB_PLUGIN, free_port

CACHE = Path(os.environ.get("VIEWERS_CACHE", Path.home() / ".cache" / "spine-node-viewers"))
"""Where viewers are installed: never in the repository."""

OHIF = "@ohif/app@3.13.2"
PACKAGES = (
    "playwright-core@1.65.1",
    "@cornerstonejs/adapters@5.14.0",
    "dcmjs@0.52.2",
    "@babel/runtime",  # adapters need it, and do not say so
)

CHROMIUM = "/usr/bin/chromium"


class NotInstalledError(Exception):
    """What is missing, and how to get it."""


def install() -> None:
    """OHIF as its makers built it, and the packages of npm: 350 MB in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "package.json").write_text('{"private": true, "type": "module"}')
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(["npm", "install", *quiet, *PACKAGES], cwd=CACHE, check=True)
    packed = subprocess.run(
        ["npm", "pack", "--loglevel=error", OHIF], cwd=CACHE, check=True, text=True, stdout=subprocess.PIPE
    )
    archive = CACHE / packed.stdout.split()[-1]
    subprocess.run(["tar", "xzf", archive, "-C", CACHE, "package/dist"], check=True)
    archive.unlink()


def require_installed() -> None:
    """Raise NotInstalledError for the first thing that is missing."""
    wanted = {
        CACHE / "package" / "dist" / "index.html": "tests/viewers/check --install",
        CACHE / "node_modules" / "playwright-core": "tests/viewers/check --install",
        Path(CHROMIUM): "apt-get install chromium",
        Path("/usr/sbin/Orthanc"): "apt-get install orthanc",
        DICOMWEB_PLUGIN: "apt-get install orthanc-dicomweb",
    }
    for path, remedy in wanted.items():
        if not path.exists():
            raise NotInstalledError(f"{path} is missing: {remedy}")


@contextmanager
def archive(folder: Path) -> Iterator[tuple[Peer, int]]:
    """An empty Orthanc with DICOMweb: its DICOM address and the port of its HTTP."""
    peer, http_port = Peer("pacs", "VIEWERS", "127.0.0.1", free_port()), free_port()
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": peer.ae_title,
        "DicomPort": peer.port,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "DefaultEncoding": "Utf8",
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    environment = os.environ | {"TCP_NODELAY": "1"}
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            ["/usr/sbin/Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log, env=environment
        )
    try:
        _wait_for(http_port, process)
        yield peer, http_port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/system")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("Orthanc does not answer; its log is beside the screenshots")


class _OneOrigin(SimpleHTTPRequestHandler):
    """Files of a viewer, and Orthanc's DICOMweb below /dicom-web: no word about other origins is needed."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *args: object, archive_port: int, extra: dict[str, str], **kwargs: object) -> None:
        self._archive_port, self._extra = archive_port, extra
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(("/dicom-web/", "/wado")):
            self._forward()
        elif path in self._extra:
            self._send(200, {"Content-Type": self.guess_type(path)}, self._extra[path].encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"  # the viewer's own addresses
            super().do_GET()

    do_POST = do_GET

    def end_headers(self) -> None:
        # Shared memory between a viewer's threads needs an isolated page.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection("127.0.0.1", self._archive_port, timeout=120)
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in ("connection", "accept-encoding")
        }
        headers["Forwarded"] = f"host={self.headers['Host']};proto=http"  # what Orthanc's links begin with
        connection.request(self.command, self.path, self.rfile.read(length) or None, headers)
        answer = connection.getresponse()
        kept = {k: v for k, v in answer.getheaders() if k.lower() in ("content-type", "content-disposition")}
        self._send(answer.status, kept, answer.read())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # a page that was closed wants no answer
            self.wfile.write(body)


@contextmanager
def viewer(files: Path, archive_port: int, extra: dict[str, str]) -> Iterator[str]:
    """A viewer's files beside the archive; `extra` are files by address. Gives the address."""
    page = partial(_OneOrigin, directory=str(files), archive_port=archive_port, extra=extra)
    server = ThreadingHTTPServer(("127.0.0.1", 0), page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


OHIF_CONFIG = """window.config = {
  extensions: [], modes: [], routerBasename: null, showStudyList: true,
  investigationalUseDialog: {option: 'never'},
  showErrorDetails: 'always', maxNumberOfWebWorkers: 2, strictZSpacingForVolumeViewport: true,
  defaultDataSourceName: 'archive',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'archive',
    configuration: {
      friendlyName: 'archive', name: 'archive', qidoRoot: location.origin + '/dicom-web',
      wadoRoot: location.origin + '/dicom-web', wadoUriRoot: location.origin + '/wado',
      imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
      supportsFuzzyMatching: false, supportsWildcard: true, omitQuotationForMultipartRequest: true,
      singlepart: 'bulkdata,video', bulkDataURI: {enabled: true, relativeResolution: 'studies'},
    },
  }],
};
"""
