"""What a power cut leaves on a disk: what a program wrote, as the kernel saw it, and how that may end.

`record` runs a program under strace. The model is the least that POSIX and the filesystems in use promise:

- bytes of a file survive what was cut when `fsync` of the file came after them;
- a name (created, renamed, removed) survives when `fsync` of its directory came after it;
- a rename happens whole or not at all, and is durable with either of its directories;
- anything later than the last such `fsync` may have reached the disk, or not, each for itself.

`states_of` gives, for a cut after any operation, the state in which nothing but what is durable survived,
those in which all names and no data did, or all data and no names, everything, and arbitrary mixtures.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_CALLS = (
    "open,openat,creat,write,writev,pwrite64,ftruncate,truncate,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,sync_file_range,lseek,copy_file_range,sendfile"
)
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?(?:\(deleted\))?(?: E.*)?$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(r"(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>")

MARK = "mark"


@dataclass(frozen=True, slots=True)
class Op:
    """One thing done to the disk, or said by the program.

    Attributes
    ----------
    what : str
        "write", "truncate", "create", "mkdir", "rename", "remove", "sync", or "mark".
    path, other : str
        Relative to the recorded folder; `other` is a rename's target.
    offset, data
        Of a write; a truncation's size is its offset; a mark's text is its data.
    """

    what: str
    path: str
    other: str = ""
    offset: int = 0
    data: bytes = b""


def record(command: Sequence[str], folder: Path, log: Path) -> list[Op]:
    """Run a program, and give what it did below `folder` and wrote to stderr ("MARK ..." lines), in order.

    Raises
    ------
    AssertionError
        If the program used a call that this model does not know, or two of its threads interleaved.
    """
    traced = ["strace", "-f", "-y", "-xx", "-s", "10000000", "--seccomp-bpf", "-e", f"trace={_CALLS}",
              "-o", str(log), *command]  # fmt: skip
    done = subprocess.run(traced, capture_output=True, text=True)
    assert "strace:" not in done.stderr, done.stderr
    return list(_parsed(log.read_text().splitlines(), folder))


def _parsed(lines: Sequence[str], folder: Path) -> Iterator[Op]:
    offsets: dict[str, int] = {}  # of the open files, by descriptor
    for line in lines:
        if f"{_hex(str(folder))}" not in line and "write(2<" not in line:
            continue
        match = _LINE.match(line)
        assert match, f"not understood: {line[:200]}"
        call, arguments, result, _ = match.groups()
        if int(result) < 0:
            continue
        yield from _ops(call, arguments, int(result), folder, offsets)


def _ops(call: str, arguments: str, result: int, folder: Path, offsets: dict[str, int]) -> Iterator[Op]:
    strings = [_bytes(m[1]) for m in _STRING.finditer(_DESCRIPTOR.sub("", arguments))]
    held = [(m[1], _bytes(m[2]).decode()) for m in _DESCRIPTOR.finditer(arguments)]

    def below(path: str, at: int = 0) -> str:
        absolute = PurePosixPath(held[at][1], path) if held else PurePosixPath(path)
        return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else "/"

    if call == "write" and held[0][0] == "2":
        text = strings[0].decode(errors="replace")
        yield from (Op(MARK, "", data=line[5:].encode()) for line in text.splitlines() if line[:5] == "MARK ")
    elif call in ("open", "openat", "creat"):
        path = below(strings[0].decode())
        offsets[str(result)] = 0
        if "O_CREAT" in arguments or call == "creat":
            yield Op("create", path)
        if "O_TRUNC" in arguments:
            yield Op("truncate", path)
    elif call in ("write", "pwrite64"):
        number = held[0][0]
        at = int(arguments.rsplit(",", 1)[1]) if call == "pwrite64" else offsets[number]
        if call == "write":
            offsets[number] = at + result
        yield Op("write", below(""), offset=at, data=strings[0][:result])
    elif call == "writev":
        number, gathered = held[0][0], b"".join(strings)[:result]
        at = offsets[number]
        offsets[number] = at + result
        yield Op("write", below(""), offset=at, data=gathered)
    elif call == "lseek":
        offsets[held[0][0]] = result
    elif call == "ftruncate":
        yield Op("truncate", below(""), offset=int(arguments.rsplit(",", 1)[1]))
    elif call in ("rename", "renameat", "renameat2"):
        last = 1 if len(held) > 1 else 0
        yield Op("rename", below(strings[0].decode()), below(strings[1].decode(), last))
    elif call in ("unlink", "unlinkat", "rmdir"):
        yield Op("remove", below(strings[0].decode()))
    elif call in ("mkdir", "mkdirat"):
        yield Op("mkdir", below(strings[0].decode()))
    elif call in ("fsync", "fdatasync"):
        yield Op("sync", below(""))
    else:
        raise AssertionError(f"the model does not know {call}({arguments[:100]})")


@dataclass
class Node:
    """A file or a directory, whatever its name is."""

    directory: bool
    data: bytearray = field(default_factory=bytearray)
    names: dict[str, Node] = field(default_factory=dict)

    def digest(self) -> bytes:
        """What stands for everything below."""
        digest = hashlib.sha256(self.data)
        for name in sorted(self.names):
            digest.update(name.encode() + b"/" + self.names[name].digest())
        return digest.digest()


@dataclass(frozen=True, slots=True)
class _Change:
    """An operation on nodes: independent of what their paths were."""

    kind: str  # "data" or "name"
    nodes: tuple[Node, ...]  # a sync of any of them makes it durable
    op: Op
    names: tuple[str, ...]
    made: Node | None = None


class Disk:
    """The operations of one or several programs, one after the other, on one empty folder."""

    def __init__(self) -> None:
        self._root = Node(True)
        self._changes: list[_Change | Op] = []
        self._syncs: list[tuple[int, Node]] = []

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, ops: Sequence[Op]) -> None:
        """Note what a program did."""
        for op in ops:
            change = self._change(op)
            if isinstance(change, _Change):
                _apply(change)
            if change is not None:
                self._changes.append(change)

    def marks(self, cut: int) -> list[str]:
        """What had been said before the cut."""
        return [o.data.decode() for o in self._changes[:cut] if isinstance(o, Op)]

    def states_of(self, cut: int, mixtures: int = 2, seed: int = 0) -> Iterator[tuple[str, Node]]:
        """Names and trees of what may be found after a cut behind the first `cut` operations."""
        durable = [
            any(at > number and at <= cut and node in change.nodes for at, node in self._syncs)
            for number, change in enumerate(self._changes[:cut])
            if isinstance(change, _Change)
        ]
        changes = [c for c in self._changes[:cut] if isinstance(c, _Change)]
        dice = random.Random(seed * 100003 + cut)
        plans = {
            "only what was synced": lambda _c: False,
            "names without data": lambda c: c.kind == "name",
            "data without names": lambda c: c.kind == "data",
            "everything": lambda _c: True,
            **{f"mixture {n}": lambda _c: dice.random() < 0.5 for n in range(mixtures)},
        }
        for name, luck in plans.items():
            kept = [c for c, safe in zip(changes, durable, strict=True) if safe or luck(c)]
            yield name, self._replayed(kept)

    def _change(self, op: Op) -> _Change | Op | None:
        if op.what == MARK:
            return op
        if op.path == "/" and op.what == "sync":
            return None
        if op.path == "/" or op.other == "/":
            raise AssertionError(f"{op.what} leads out of the folder")
        if op.what == "sync":
            self._syncs.append((len(self._changes), self._at(op.path)))
            return None
        parent, name = self._parent(op.path)
        there = parent.names.get(name)
        if op.what == "create":
            return None if there else _Change("name", (parent,), op, (name,), Node(False))
        if op.what == "mkdir":
            return _Change("name", (parent,), op, (name,), Node(True))
        if op.what in ("write", "truncate"):
            if op.what == "truncate" and there is not None and len(there.data) == op.offset:
                return None
            assert there is not None, f"{op.path} is written and was never made"
            return _Change("data", (there,), op, ())
        if op.what == "remove":
            return _Change("name", (parent,), op, (name,))
        target, other = self._parent(op.other)
        return _Change("name", (parent, target), op, (name, other), there)

    def _parent(self, path: str) -> tuple[Node, str]:
        pure = PurePosixPath(path)
        return self._at(str(pure.parent)), pure.name

    def _at(self, path: str) -> Node:
        node = self._root
        for part in PurePosixPath(path).parts:
            node = node.names[part]
        return node

    def _replayed(self, changes: Sequence[_Change]) -> Node:
        """The tree that only these changes leave: nodes are the same, what they hold is made anew."""
        every = {id(n): n for c in self._changes if isinstance(c, _Change) for n in (*c.nodes, c.made) if n}
        twins = {key: Node(node.directory) for key, node in every.items()}
        twins.setdefault(id(self._root), Node(True))
        for change in changes:
            made = twins[id(change.made)] if change.made is not None else None
            twin = _Change(
                change.kind, tuple(twins[id(n)] for n in change.nodes), change.op, change.names, made
            )
            _apply(twin)
        return twins[id(self._root)]


def _apply(change: _Change) -> None:
    node, op = change.nodes[0], change.op
    if op.what == "write":
        end = op.offset + len(op.data)
        node.data.extend(bytes(max(0, end - len(node.data))))
        node.data[op.offset : end] = op.data
    elif op.what == "truncate":
        node.data[op.offset :] = bytes(max(0, op.offset - len(node.data)))
    elif op.what == "remove":
        node.names.pop(change.names[0], None)
    elif op.what == "rename":
        assert change.made is not None
        if node.names.get(change.names[0]) is change.made:
            del node.names[change.names[0]]
        change.nodes[1].names[change.names[1]] = change.made
    else:
        assert change.made is not None
        node.names[change.names[0]] = change.made


def put_down(tree: Node, folder: Path) -> Path:
    """Make the tree a folder."""
    folder.mkdir()
    for name, node in tree.names.items():
        if node.directory:
            put_down(node, folder / name)
        else:
            (folder / name).write_bytes(node.data)
    return folder


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
