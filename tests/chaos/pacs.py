"""A PACS in a process of its own that writes down every arrival before it answers.

    python -m tests.chaos.pacs AE_TITLE PORT JOURNAL DELAY_S

The journal has a JSON line an arrival: SOP instance, series and study UID, modality, a hash of the data set's
bytes as they came, how often it came, and when. It survives this process; nothing else is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import cast

from pydicom import dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE

from spine_node.network.contexts import VERIFICATION
from spine_node.network.part10 import file_header
from spine_node.network.server import listen


def main(ae_title: str, port: str, journal: str, delay_s: str) -> None:
    """Serve until SIGTERM; each instance takes `delay_s`, so that kills find deliveries under way."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    writing = threading.Lock()
    lines = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def on_c_store(event: evt.Event) -> int:
        request = cast(C_STORE, event.request)
        body = cast(BytesIO, request.DataSet).getvalue()
        header = file_header(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
        )
        ds = dcmread(BytesIO(header + body), stop_before_pixels=True)
        row = {
            "sop_uid": str(request.AffectedSOPInstanceUID),
            "series_uid": str(ds.SeriesInstanceUID),
            "study_uid": str(ds.StudyInstanceUID),
            "modality": str(ds.Modality),
            "sha256": hashlib.sha256(body).hexdigest(),
            "time": time.time(),
        }
        time.sleep(float(delay_s))
        with writing:
            os.write(lines, (json.dumps(row) + "\n").encode())
            os.fsync(lines)
        time.sleep(float(delay_s))
        return 0x0000

    ae = AE(ae_title)
    ae.maximum_associations = 64
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    ae.add_supported_context(VERIFICATION)
    server = listen(ae, "127.0.0.1", int(port), [(evt.EVT_C_STORE, on_c_store)])
    stopping.wait()
    server.end(grace_s=1.0)


def arrivals(journal: Path) -> list[dict[str, str]]:
    """What has come so far, in order; a line being written is left out."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]


if __name__ == "__main__":
    main(*sys.argv[1:])
