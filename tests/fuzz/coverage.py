"""Inputs that a coverage-guided fuzzer makes of small phantoms, for everything that parses foreign bytes.

    python -m tests.fuzz.coverage [--runs N] [--target packets|head|header|series|codestream]

Atheris mutates what reached new code. The targets: the upper layer with its state machine and command sets,
in process; the head of a data set in every encoding; a file's header; a whole series of one file, as far as
its voxels; compressed frames and their decoders. The law: nothing but the exceptions that mean a refusal.
Exit status 1 when an input broke it; the input is printed in base 64.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RUNS = {"packets": 60_000, "head": 60_000, "header": 6_000, "series": 3_000, "codestream": 30_000}
"""Of each target; some minutes in all on one core."""

INSTRUMENTED = [
    "spine_node.network", "spine_node.dicom", "spine_node.bounded", "pydicom.filereader", "pydicom.fileutil",
    "pydicom.dataelem", "pydicom.values", "pydicom.sequence", "pydicom.encaps", "pydicom.charset",
    "pynetdicom.pdu", "pynetdicom.pdu_items", "pynetdicom.dimse_messages", "pynetdicom.fsm",
]  # fmt: skip


def packets() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The upper layer of an accepted association, fed from memory."""
    from spine_node.network.connection import PeerGoneError
    from spine_node.network.upper_layer import UpperLayer
    from tests.fuzz import wire

    class Fed:
        """A connection whose peer has sent this much and is gone."""

        def __init__(self, content: bytes) -> None:
            self.content, self.at = memoryview(content), 0

        def take(self, size: int, _deadline: float) -> memoryview:
            if len(self.content) - self.at < size:
                raise PeerGoneError
            self.at += size
            return self.content[self.at - size : self.at]

        def take_some(self, most: int, deadline: float) -> memoryview:
            return self.take(min(most, max(len(self.content) - self.at, 1)), deadline)

        def collect(self, size: int, deadline: float) -> bytes:
            return bytes(self.take(size, deadline))

        def __getattr__(self, _name: str) -> Callable[..., None]:
            return lambda *_arguments, **_named: None

    class Kept:
        """A data set that is thrown away."""

        def write(self, pieces: Sequence[memoryview]) -> None:
            len(pieces)

        def finish(self) -> tuple[int, str]:
            return 0, ""

        def discard(self) -> None: ...

    class Storage:
        def begin(self, _association: Any, _request: Any) -> Kept:
            return Kept()

        def broken(self, _association: Any, _reason: str) -> None: ...

    class OfMemory(UpperLayer):
        @property
        def connection(self) -> Any:
            return self.socket

    def target(content: bytes) -> None:
        dul = OfMemory(_association(), Storage())
        fed = Fed(content)
        dul.socket = fed  # type: ignore[assignment]
        dul.state_machine.current_state = "Sta2"
        for _ in range(64):
            dul._read_pdu_data()
            while not dul.event_queue.empty():
                event = dul.event_queue.get()
                if event == "Evt6" and dul.state_machine.current_state == "Sta2":
                    dul._recv_pdu.get(block=False)
                    dul.state_machine.current_state = "Sta6"  # accepted: what is asked for is ACSE's to judge
                    continue
                dul.state_machine.do_action(event)
            if fed.at >= len(content) or dul.state_machine.current_state in ("Sta1", "Sta13"):
                break

    echo = wire.message(1, wire.command(wire.echo()))[0]
    stored = b"".join(wire.message(3, wire.command(wire.store(wire.CT, b"1.2.3")), b"\0" * 40))
    ends = [wire.pdu(kind, b"\0" * 4) for kind in (5, 7)]
    return target, [wire.SOUND + echo, wire.SOUND + stored + ends[0], wire.SOUND + ends[1]]


def _association() -> Any:
    from types import SimpleNamespace

    from pynetdicom.dimse import DIMSEServiceProvider
    from pynetdicom.presentation import build_context
    from pynetdicom.transport import AddressInformation

    made = SimpleNamespace(mode="acceptor", is_acceptor=True, is_requestor=False)
    made.network_timeout = made.acse_timeout = 5.0
    made.get_handlers = lambda _event: []
    place = AddressInformation("127.0.0.1", 11112)
    made.requestor = SimpleNamespace(
        address="127.0.0.1", address_info=place, maximum_length=16384, primitive=None
    )
    made.acceptor = SimpleNamespace(address="127.0.0.1", address_info=place, maximum_length=16384)
    made._accepted_cx = {n: build_context("1.2.840.10008.1.1", "1.2.840.10008.1.2") for n in (1, 3, 5)}
    made.dimse = DIMSEServiceProvider(made)
    made.dul = SimpleNamespace(socket=None)
    made.acse = SimpleNamespace(acse_timeout=5.0)
    return made


def head() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The receiver's look at a data set; the first byte chooses its encoding."""
    from tests.fuzz.datasets import NATIVE, head_of

    def target(content: bytes) -> None:
        if content:
            head_of(content[1:], NATIVE[content[0] % 3])

    return target, [bytes((i,)) + _file(s).encoded() for i, s in enumerate(NATIVE)]


def header() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The header of a file."""
    from pydicom.errors import InvalidDicomError

    from spine_node.dicom.frames import frames_of
    from spine_node.dicom.headers import read_header
    from spine_node.dicom.posture import posture_of
    from spine_node.errors import SeriesRefused
    from tests.fuzz.datasets import NATIVE

    place = Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"

    def target(content: bytes) -> None:
        place.write_bytes(b"\0" * 128 + b"DICM" + content)
        with contextlib.suppress(SeriesRefused, InvalidDicomError):
            found = read_header(place)
            frames_of([found])
            posture_of(found)

    return target, [_file(s, multiframe).written()[132:] for s in NATIVE for multiframe in (False, True)]


def series() -> tuple[Callable[[bytes], None], list[bytes]]:
    """A whole multi-frame series, as far as its voxels."""
    from tests.fuzz.datasets import JPEG_LS, NATIVE, RLE, judged

    place = Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"

    def target(content: bytes) -> None:
        place.write_bytes(b"\0" * 128 + b"DICM" + content)
        judged([place])

    return target, [_written(s) for s in (NATIVE[0], NATIVE[2], RLE, JPEG_LS)]


def codestream() -> tuple[Callable[[bytes], None], list[bytes]]:
    """One compressed frame, checked and then decoded; the first byte chooses what it is said to be."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import pixel_array

    from spine_node.dicom.codestreams import CodestreamError, check
    from tests.fuzz.datasets import JPEG_2000, JPEG_LS, RLE, SHAPE, _fragments

    syntaxes = (RLE, JPEG_LS, JPEG_2000)
    rows, columns = SHAPE[1:]

    def target(content: bytes) -> None:
        syntax = syntaxes[content[0] % 3] if content else RLE
        with contextlib.suppress(CodestreamError):
            check(content[1:], syntax, rows, columns, 16)
            ds = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = syntax
            ds.Rows, ds.Columns = rows, columns
            ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
            ds.NumberOfFrames = 1
            ds.PixelData = encapsulate([content[1:] + b"\0" * (len(content[1:]) % 2)])
            try:
                pixel_array(ds, raw=True)
            except BaseException as problem:  # what `voxels` turns into words; a crash is what is sought here
                if isinstance(problem, KeyboardInterrupt | SystemExit):
                    raise

    return target, [bytes((i,)) + _fragments(s, False, 0)[1][0] for i, s in enumerate(syntaxes)]


def _file(syntax: str, multiframe: bool = False) -> Any:
    from tests.fuzz.datasets import _taken_apart

    return _taken_apart(syntax, multiframe, 0)


def _written(syntax: str) -> bytes:
    from tests.fuzz.datasets import _sound

    return _sound(syntax, True)[0][0].read_bytes()[132:]


TARGETS = {"packets": packets, "head": head, "header": header, "series": series, "codestream": codestream}


def fuzz(name: str, runs: int, seed: int, folder: Path) -> None:
    """Run one target in this process; atheris ends it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        target, corpus = TARGETS[name]()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    for number, content in enumerate(corpus):
        (folder / f"seed{number}").write_bytes(content)

    def one(content: bytes) -> None:
        try:
            target(content)
        except BaseException:
            (folder.parent / "broken").write_bytes(content)
            raise

    limits = [f"-atheris_runs={runs}", "-timeout=20", "-rss_limit_mb=3072", "-max_len=100000"]
    atheris.Setup(
        [sys.argv[0], *limits, f"-seed={seed}", f"-artifact_prefix={folder.parent}/", str(folder)], one
    )
    atheris.Fuzz()


def guided(name: str, runs: int, seed: int) -> str:
    """Run one target in a process of its own; what it broke, in words, or nothing."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        command = [sys.executable, "-m", "tests.fuzz.coverage", "--child", str(corpus), "--target", name]
        began = time.monotonic()
        command += ["--runs", str(runs), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
        found, took = len(list(corpus.iterdir())), time.monotonic() - began
        print(f"{name:12s}{runs:8d} runs{found:8d} inputs{took:9.0f} s  exit {done.returncode}", flush=True)
        if done.returncode == 0:
            return ""
        broken = [p for p in Path(place).iterdir() if p.is_file()]
        inputs = "\n".join(f"{p.name}: {base64.b64encode(p.read_bytes()).decode()[:4000]}" for p in broken)
        return f"{name}: {done.stdout[-1500:]}{done.stderr[-1500:]}\n{inputs}"


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, help=f"of each target (default {RUNS})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=TARGETS, help="one target only")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        fuzz(asked.target, asked.runs, asked.seed, asked.child)
        return
    names = [asked.target] if asked.target else list(TARGETS)
    broken = [words for name in names if (words := guided(name, asked.runs or RUNS[name], asked.seed))]
    print("\n".join(broken) or "no law broken.")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
