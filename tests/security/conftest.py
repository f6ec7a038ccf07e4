"""A running node with a plain and a TLS port and rules for its callers; what it says and audits at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from spine_node.audit.trail import files_of
from spine_node.network.peer import Peer
from spine_node.network.scu import echo
from tests.conftest import free_port, wait_until
from tests.network.certificates import Hospital

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@dataclass
class GuardedNode:
    """A node as a hospital would guard it: as root, we run it as a plain user."""

    folder: Path
    plain: Peer
    secured: Peer
    hospital: Hospital
    process: subprocess.Popen[bytes]
    plain_user: bool

    def log(self) -> list[dict[str, Any]]:
        """Every line of its log, of all its processes."""
        lines = (self.folder / "node.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def audit(self) -> list[str]:
        """Every message of its audit trail."""
        return [
            line
            for path in files_of(self.folder / "data" / "audit")
            for line in path.read_text().splitlines()
        ]

    def processes(self) -> list[psutil.Process]:
        """The node and everything it started."""
        node = psutil.Process(self.process.pid)
        return [node, *node.children(recursive=True)]

    def serves(self) -> None:
        """Both ports answer who belongs."""
        for peer in (self.plain, self.secured):
            echo(peer, "CT1")


CONFIG = """
[scp]
ae_title = "SPINENODE"
port = {plain}
tls_port = {secured}
processes = 1
idle_timeout_s = 60
association_timeout_s = 15
[tls]
certificate = "{node.certificate}"
key = "{node.key}"
ca = "{ca}"
handshake_timeout_s = 15
[series]
quiet_s = 1
give_up_s = 3
[storage]
folder = "{folder}/data"
[[rules]]
name = "everything"
[[callers]]
ae_title = "CT1"
addresses = ["127.0.0.1"]
may = ["store", "query", "commit"]
[[callers]]
ae_title = "FAR"
addresses = ["192.0.2.0/24"]
[[callers]]
ae_title = "BOUND"
certificate = "CN=elsewhere"
"""


def as_plain_user() -> list[str]:
    """Before a command, where we are root: a user who owns nothing here and may write none of it.

    Where interpreter and checkout lie in somebody's home, with the right to read (CAP_DAC_READ_SEARCH), if
    this container has it to give. Empty where no such user can be had.
    """
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return []
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    only = "-all,+dac_read_search"
    reading = [f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"]
    for prefix in ([*user, "--bounding-set=-all"], [*user, *reading]):
        # A child too: what setpriv may still execute, the user itself perhaps may not.
        child = (
            "import subprocess, sys; subprocess.check_call([sys.executable, '-c', 'import spine_node.cli'])"
        )
        probe = [*prefix, sys.executable, "-c", child]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        if subprocess.run(probe, cwd="/", env=environment, capture_output=True, check=False).returncode == 0:
            return prefix
    return []


@pytest.fixture(scope="module")
def node() -> Iterator[GuardedNode]:
    folder = Path(tempfile.mkdtemp(prefix="spine-node-"))  # not below a folder that only its owner may enter
    user = as_plain_user()
    (folder / "certificates").mkdir()
    hospital = Hospital(folder / "certificates")
    if user:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    ports = {"plain": free_port(), "secured": free_port()}
    (folder / "node.toml").write_text(
        CONFIG.format(**ports, node=hospital.node, ca=hospital.ca, folder=folder)
    )
    tls = hospital.client(hospital.caller)
    plain = Peer("node", "SPINENODE", "127.0.0.1", ports["plain"], connect_timeout_s=60)
    secured = Peer("node", "SPINENODE", "127.0.0.1", ports["secured"], connect_timeout_s=60, tls=tls)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    environment |= {"MPLCONFIGDIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    serve = [sys.executable, "-m", "spine_node", "serve", "--config", str(folder / "node.toml")]
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen([*user, *serve], cwd=folder, env=environment, stdout=log, stderr=log)
    found = GuardedNode(folder, plain, secured, hospital, process, bool(user) or os.getuid() != 0)
    try:
        wait_until(lambda: any(line["event"] == "receiver_ready" for line in found.log()))
        yield found
    finally:
        children = found.processes()
        process.terminate()
        process.wait(120)
        psutil.wait_procs(children, timeout=30)
        shutil.rmtree(folder)
