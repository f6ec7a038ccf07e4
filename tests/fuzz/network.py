"""Damaged associations, packets, command sets and data sets over sockets, against a receiver process.

    python -m tests.fuzz.network [--cases N] [--seed S] [--kind association|packet|command|store]

The receiver is the node's own (`spine-node receiver`), with short time-outs. The laws: each case ends in
a rejection, an abort, a DIMSE status or an answer; the process lives, and answers C-ECHO within a second
between the cases, beside connections that hang half-open; memory, descriptors and threads are as before at
the end; and every data set that was acknowledged with success is on the disk, byte for byte. Exit status 1
when one is broken.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.fuzz.limits import GROWTH_BYTES, Tally
from tests.fuzz.mutation import LENGTHS, File, apart, damage, flipped
from tests.fuzz.table import report
from tests.fuzz.wire import (
    APPLICATION,
    CT,
    EXPLICIT,
    IMPLICIT,
    SOUND,
    VERIFICATION,
    Peer,
    command,
    context,
    echo,
    echoed,
    element,
    fragment,
    item,
    message,
    pdu,
    request,
    store,
    user_information,
)

IDLE_S = 2.0
"""Time-outs of the receiver under test: what is stuck is over soon."""

ECHO_S = 1.0
"""C-ECHO must be answered by then, at any time; it takes 5 ms on a machine with nothing else to do."""

ECHO_EVERY = 20

DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass
class Receiver:
    """A receiver process of its own, and what it acknowledged."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    kept: dict[str, str] = field(default_factory=dict)

    def start(self) -> Receiver:
        """Bind, listen, and hand the socket down as `spine-node serve` does."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        config = self.folder / "node.toml"
        config.write_text(
            f"[scp]\nport = {self.port}\nidle_timeout_s = {IDLE_S}\nassociation_timeout_s = {IDLE_S}\n"
            "max_associations = 64\nmax_associations_per_caller = 64\n"
            f'[storage]\nfolder = "{self.folder}/data"\n'
        )
        arguments = ["receiver", "--listen-fd", str(listener.fileno()), "--parent", str(os.getpid())]
        with (self.folder / "receiver.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spine_node", *arguments, "--config", str(config)],
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )
        listener.close()
        deadline = time.monotonic() + 60
        while "receiver_ready" not in (self.folder / "receiver.log").read_text(errors="replace"):
            assert self.process.poll() is None, (self.folder / "receiver.log").read_text(errors="replace")[
                -2000:
            ]
            assert time.monotonic() < deadline, "the receiver does not start"
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def uses(self) -> tuple[int, int, int]:
        """Resident bytes, descriptors and threads."""
        assert self.process is not None
        process = psutil.Process(self.process.pid)
        return process.memory_info().rss, process.num_fds(), process.num_threads()

    def lost(self) -> list[str]:
        """Data sets that were acknowledged and are not there as they were sent."""
        held = {
            hashlib.sha256(path.read_bytes()[_body(path) :]).hexdigest()
            for path in (self.folder / "data").rglob("*.dcm")
        }
        return [uid for uid, digest in self.kept.items() if digest not in held]

    def errors(self) -> int:
        """Errors and tracebacks in its log: bugs, told to an operator."""
        log = (self.folder / "receiver.log").read_text(errors="replace")
        return log.count("Traceback (most recent call last)")


def _body(path: Path) -> int:
    with path.open("rb") as file:
        file.seek(132 + 8)
        (length,) = struct.unpack("<I", file.read(4))
    return 132 + 12 + int(length)


def association(receiver: Receiver, rng: random.Random) -> str:
    """A damaged request for an association."""
    peer = Peer(receiver.port)
    try:
        peer.send(_request(rng))
        heard = peer.listen(0.3, "AC")
        if heard.packets == ["AC"] and rng.random() < 0.5:  # it may be used, for what it is
            peer.send(message(1, command(echo()))[0])
            heard = peer.listen(0.3, "DATA")
        return heard.outcome
    finally:
        peer.close()


def _request(rng: random.Random) -> bytes:
    uids = (
        VERIFICATION,
        CT,
        b"",
        b"1.2.3",
        b"1." * 40 + b"1",
        b"\xff" * 10,
        b"../etc",
        b"1.2.840.10008.1.1\0",
    )
    transfers = (IMPLICIT, EXPLICIT, DEFLATED, b"", b"9.9.9", b"1" * 300, b"\0\0")
    titles = (
        b"SPINENODE",
        b"",
        b" " * 16,
        b"\0" * 16,
        b"\xff" * 16,
        b"A\\B",
        b"../../x",
        b"FUZZ\r\nforged",
        b"a" * 16,
    )
    count = rng.choice((0, 1, 1, 2, 3, 10, 128, 200))
    numbers = list(range(1, 2 * count, 2))
    if rng.random() < 0.3:
        numbers = [rng.choice((1, 3, 5, 255, 0, 2, 128)) for _ in range(count)]
    contexts = [
        context(
            n & 0xFF, rng.choice(uids), [rng.choice(transfers) for _ in range(rng.choice((0, 1, 1, 2, 30)))]
        )
        for n in numbers
    ]
    more = []
    for _ in range(rng.choice((0, 0, 1, 2, 5))):
        uid = rng.choice(uids)
        sized = struct.pack(">H", rng.choice((len(uid), 0, 0xFFFF))) + uid
        more.append(
            rng.choice(
                (
                    item(0x53, struct.pack(">HH", rng.getrandbits(16), 0)),  # asynchronous operations
                    item(0x54, sized + bytes((rng.randrange(3), rng.randrange(3)))),  # roles
                    item(0x55, rng.randbytes(rng.choice((0, 3, 16, 17, 500)))),  # implementation version
                    item(0x56, sized + rng.randbytes(rng.choice((0, 1, 6)))),  # extended negotiation
                    item(0x57, sized + sized + sized),  # common extended negotiation
                    item(0x58, bytes((rng.choice((0, 1, 2, 3, 4, 5, 9)), 1)) + sized + struct.pack(">H", 0)),
                    item(0x58, rng.randbytes(rng.randrange(6))),
                    item(rng.randrange(256), rng.randbytes(rng.randrange(40)), rng.choice((None, 0, 0xFFFF))),
                    item(0x51, rng.randbytes(rng.randrange(6))),
                    item(0x52, b""),
                )
            )
        )
    user = rng.choice(
        (user_information(rng.choice((0, 1, 6, 7, 16384, 0xFFFFFFFF)), *more), b"", item(0x50, b""))
    )
    called, calling = rng.choice((titles[0], titles[0], *titles)), rng.choice((b"FUZZ", *titles))
    version, application = (
        rng.choice((1, 1, 1, 0, 2, 0xFFFF)),
        rng.choice((APPLICATION, APPLICATION, b"", b"1.2", b"\xff")),
    )
    if rng.random() < 0.3:  # a sound one, then damaged as bytes
        made = bytearray(SOUND)
    else:
        made = bytearray(request(contexts, user, called, calling, version, application))
    kind = rng.random()
    if kind < 0.25:
        return flipped(bytes(made), rng)
    if kind < 0.35:
        return bytes(made[: rng.randrange(len(made) + 1)])
    if kind < 0.45:
        return pdu(1, bytes(made[6:]), rng.choice((*LENGTHS, len(made) - 7, len(made) - 5)))
    if kind < 0.5:
        at = rng.randrange(74, max(len(made), 75))
        made[at : at + 2] = rng.randbytes(2)
        return bytes(made)
    if kind < 0.53:
        return pdu(1, bytes(made[6:]) + item(0x20, rng.randbytes(2000)) * rng.choice((1, 100, 600)))
    return bytes(made)


def packet(receiver: Receiver, rng: random.Random) -> str:
    """Packets out of order, of false types and lengths, with false fragments."""
    peer = Peer(receiver.port)
    try:
        if rng.random() < 0.85:
            peer.send(SOUND)
            peer.listen(1.0, "AC")
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            if not peer.send(_packet(rng)):
                break
            if rng.random() < 0.5:
                peer.listen(0.02)
        if rng.random() < 0.3:
            peer.send(pdu(5, b"\0\0\0\0"))
        return peer.listen(0.15).outcome
    finally:
        peer.close()


def _packet(rng: random.Random) -> bytes:
    sound = command(rng.choice((echo, lambda: store(CT, b"1.2.3")))())
    bodies = (b"", b"\0\0\0\0", b"\0" * 3, b"\0" * 5, rng.randbytes(rng.choice((1, 4, 68, 300))))
    kind = rng.randrange(10)
    if kind == 0:
        return pdu(rng.choice((*range(9), 0x7F, 0xFF)), rng.choice(bodies), rng.choice((None, *LENGTHS)))
    if kind == 1:
        return rng.choice(
            (SOUND, pdu(2, SOUND[6:]), pdu(3, b"\0\1\1\1"), pdu(6, b"\0" * 4), pdu(7, b"\0\0\2\1"))
        )
    if kind == 2:
        return pdu(4, fragment(rng.choice((1, 3, 5, 0, 2, 7, 255)), rng.randrange(256), sound))
    if kind == 3:
        return pdu(4, fragment(1, 3, sound, rng.choice((*LENGTHS, len(sound), len(sound) + 3))))
    if kind == 4:
        many = b"".join(fragment(1, 1, sound[i : i + 1]) for i in range(len(sound)))
        return pdu(4, many + fragment(1, 3, b""))
    if kind == 5:
        return pdu(4, fragment(3, rng.choice((0, 2)), rng.randbytes(rng.choice((0, 1, 100, 20000)))))
    if kind == 6:
        return pdu(
            4,
            b"".join(
                fragment(rng.choice((1, 3)), rng.choice((0, 1, 2, 3)), sound) for _ in range(rng.randrange(6))
            ),
        )
    if kind == 7:
        return flipped(pdu(4, fragment(1, 3, sound)), rng)
    if kind == 8:
        return pdu(4, fragment(1, 1, rng.randbytes(70000))) * rng.choice((1, 2))
    return rng.randbytes(rng.choice((1, 5, 6, 7, 200)))


def commands(receiver: Receiver, rng: random.Random) -> str:
    """Damaged command sets."""
    peer = Peer(receiver.port)
    try:
        peer.send(SOUND)
        peer.listen(1.0, "AC")
        for _ in range(rng.choice((1, 1, 2, 4))):
            number, made, data = _command(rng)
            for packed in message(number, made, data):
                peer.send(packed)
            peer.listen(rng.choice((0.02, 0.1)), "DATA")
        return peer.listen(0.1).outcome
    finally:
        peer.close()


def _command(rng: random.Random) -> tuple[int, bytes, bytes | None]:
    short = struct.Struct("<H").pack
    requests = (
        0x0001,
        0x0010,
        0x0020,
        0x0021,
        0x0030,
        0x0100,
        0x0110,
        0x0120,
        0x0130,
        0x0140,
        0x0150,
        0x0FFF,
    )
    fields = (*requests, 0x8001, 0x8020, 0x8030, 0x8100, 0x8110, 0, 0xFFFF)
    elements = rng.choice((echo(), store(CT, b"1.2.826.0.1.3680043.9.1"), store(VERIFICATION, b"1.2.3")))
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(9)
        at = rng.randrange(len(elements)) if elements else 0
        if kind == 0 and elements:
            del elements[at]
        elif kind == 1 and elements:
            elements.insert(at, elements[at])
        elif kind == 2:
            elements.append(element(0x0100, short(rng.choice(fields))))
        elif kind == 3:
            elements.append(element(0x0800, rng.choice((short(0), short(0x0101), short(1), b"\0", b""))))
        elif kind == 4:
            elements.append(element(0x0110, rng.choice((short(0), short(0xFFFF), b"", b"\1\2\3\4"))))
        elif kind == 5:
            value = rng.choice(
                (b"", b"\xff\xff", b"1" * 65, b"1" * 300, b"../../x", b"1.2\\1.3", b"\0" * 8, b"1..2")
            )
            elements.append(element(rng.choice((0x0002, 0x0003, 0x1000, 0x1001, 0x0600)), value))
        elif kind == 6:
            elements.append(
                element(rng.getrandbits(16), rng.randbytes(rng.randrange(20)), rng.choice((0, 8, 0xFFFE)))
            )
        elif kind == 7:
            elements.append(element(0x0100, short(1), length=rng.choice(LENGTHS)))
        else:
            rng.shuffle(elements)
    made = command(elements, group_length=rng.random() < 0.8)
    if rng.random() < 0.2:
        made = flipped(made, rng)
    if rng.random() < 0.05:
        made += element(0x0009, b"x" * 70000)
    data = rng.choice((None, None, b"\0" * 10, rng.randbytes(300)))
    return rng.choice((1, 1, 3, 3, 5, 7)), made, data


def stored(receiver: Receiver, rng: random.Random) -> str:
    """Damaged data sets, announced under their own UIDs; what is acknowledged is remembered."""
    peer = Peer(receiver.port)
    try:
        peer.send(
            request([context(3, CT, [EXPLICIT]), context(5, CT, [IMPLICIT]), context(7, CT, [DEFLATED])])
        )
        peer.listen(1.0, "AC")
        for message_id in range(1, rng.choice((2, 2, 4))):
            uid = f"1.2.826.0.1.3680043.9.{rng.getrandbits(60)}"
            file = _instance(uid)
            syntax = rng.choice((EXPLICIT, EXPLICIT, IMPLICIT, DEFLATED))
            file.syntax = syntax.decode()
            if rng.random() < 0.9:
                damage(file, rng)
            file.syntax = rng.choice((file.syntax, syntax.decode()))
            encoded, before = file.encoded(), len(peer.heard.statuses)
            number = {EXPLICIT: 3, IMPLICIT: 5, DEFLATED: 7}[syntax]
            for packed in message(
                number, command(store(CT, uid.encode(), message_id)), encoded, rng.choice((500, 16000))
            ):
                peer.send(packed)
            heard = peer.listen(1.5 if encoded else 0.1, "DATA")
            if len(heard.statuses) > before and heard.statuses[-1] == 0:
                receiver.kept[uid] = hashlib.sha256(encoded).hexdigest()
        return peer.heard.outcome
    finally:
        peer.close()


_SOUND_INSTANCE: list[File] = []


def _instance(uid: str) -> File:
    if not _SOUND_INSTANCE:
        from tests.dicom.small_series import grid_of, write_series

        with tempfile.TemporaryDirectory() as folder:
            import pydicom

            path = write_series(Path(folder), grid_of(shape=(1, 16, 16)))[0]
            _SOUND_INSTANCE.append(File([], apart(pydicom.dcmread(path)), EXPLICIT.decode()))
    file = copy.deepcopy(_SOUND_INSTANCE[0])
    for made in file.elements:
        if made.tag == 0x00080018:
            made.value = uid.encode() + b"\0" * (len(uid) % 2)
    return file


KINDS: dict[str, Callable[[Receiver, random.Random], str]] = {
    "association": association,
    "packet": packet,
    "command": commands,
    "store": stored,
}


def campaign(
    seed: int, cases: int, kinds: dict[str, Callable[[Receiver, random.Random], str]], echo_s: float = ECHO_S
) -> dict[str, Tally]:
    """Every kind of case in turn, against one receiver; what was broken is in the tallies."""
    tallies = {kind: Tally() for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        receiver = Receiver(Path(folder)).start()
        try:
            _run(receiver, seed, cases, kinds, tallies, echo_s)
        finally:
            receiver.stop()
    return tallies


def _run(
    receiver: Receiver,
    seed: int,
    cases: int,
    kinds: dict[str, Callable[[Receiver, random.Random], str]],
    tallies: dict[str, Tally],
    echo_s: float,
) -> None:
    slowest_echo, before, shown = 0.0, receiver.uses(), time.monotonic()
    stuck: list[Peer] = []
    everything = Tally()
    total = 0
    for number in range(cases):
        for kind, target in kinds.items():
            tally, began = tallies[kind], time.monotonic()
            tally.cases += 1
            total += 1
            try:
                outcome = target(receiver, random.Random(f"{seed}/{kind}/{number}"))
            except OSError as problem:
                outcome = f"BROKEN {type(problem).__name__}"
                tally.broken.append(f"{kind}: case {number} of seed {seed}: {problem}")
            tally.outcomes[outcome] += 1
            if (took := time.monotonic() - began) > tally.slowest_s:
                tally.slowest_s, tally.slowest = took, number
            if not receiver.alive:
                tally.broken.append(f"{kind}: case {number} of seed {seed} ended the receiver")
                return
        if number % ECHO_EVERY == 0:
            stuck = _stuck(receiver, stuck, number)
            try:
                slowest_echo = max(slowest_echo, took := echoed(receiver.port))
                if took > echo_s:
                    everything.broken.append(f"C-ECHO took {took:.2f} s after case {number} of seed {seed}")
            except (AssertionError, OSError) as problem:
                everything.broken.append(f"C-ECHO failed after case {number} of seed {seed}: {problem}")
        if number == cases // 4:
            before = _settled(receiver, stuck)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            broken = sum(len(t.broken) for t in (*tallies.values(), everything))
            print(
                f"  {total} of {cases * len(kinds)}, {broken} broken, C-ECHO {slowest_echo:.3f} s",
                file=sys.stderr,
            )
    after = _settled(receiver, stuck, before[2] + 1)
    everything.growth_bytes = max(after[0] - before[0], 0)
    if everything.growth_bytes > GROWTH_BYTES:
        everything.broken.append(f"memory grew by {everything.growth_bytes >> 20} MB")
    if after[1] > before[1] + 2 or after[2] > before[2] + 1:
        everything.broken.append(f"descriptors {before[1]} -> {after[1]}, threads {before[2]} -> {after[2]}")
    lost, errors = receiver.lost(), receiver.errors()
    everything.broken += [f"acknowledged and lost: {uid}" for uid in lost]
    if errors:
        log = (receiver.folder / "receiver.log").read_text(errors="replace")
        at = log.index("Traceback (most recent call last)")
        everything.broken.append(
            f"{errors} tracebacks in the receiver's log; the first: {log[at : at + 1500]}"
        )
    everything.outcomes["acknowledged and kept"] = len(receiver.kept) - len(lost)
    everything.slowest_s = slowest_echo
    tallies["between"] = everything


def _stuck(receiver: Receiver, stuck: list[Peer], number: int) -> list[Peer]:
    """A few connections that say nothing, or stop in the middle; the oldest goes."""
    peer = Peer(receiver.port)
    begun = (b"", SOUND[:3], SOUND[:100], SOUND, SOUND + pdu(4, b"", 1 << 19), SOUND + b"\4")
    peer.send(begun[number // ECHO_EVERY % len(begun)])
    for old in stuck[:-3]:
        old.close()
    return [*stuck[-3:], peer]


def _settled(receiver: Receiver, stuck: list[Peer], threads_at_rest: int = 7) -> tuple[int, int, int]:
    """What the receiver uses once all associations are over, or should be."""
    for peer in stuck:
        peer.close()
    stuck.clear()
    threads = receiver.uses()[2]
    deadline = time.monotonic() + 30 * IDLE_S
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = receiver.uses()[2]
        if now == threads <= threads_at_rest:
            break
        threads = now
    return receiver.uses()


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=3000, help="of each kind (default 3000)")
    parser.add_argument("--seed", type=int, default=1, help="default 1; a case is named by seed and number")
    parser.add_argument("--kind", choices=KINDS, help="one kind only")
    asked = parser.parse_args()
    kinds = {asked.kind: KINDS[asked.kind]} if asked.kind else KINDS
    sys.exit(report(campaign(asked.seed, asked.cases, kinds)))


if __name__ == "__main__":
    main()
