"""Pictures drawn by a second process, while this one writes SEG and reports.

Drawing is half of the work between a label map and its results, and Python runs on one core. The process is
started once and kept. It is a help, not a need: where it cannot be started, dies or answers with an error,
the pictures are drawn here, and come out the same. It ends with the process that started it.

Arrays go over as anonymous memory, which leaves nothing behind however either process ends.
"""

from __future__ import annotations

import copyreg
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from spine_node.anatomy.landmarks import Spine
from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.logs import logger
from spine_node.parameters.model import Measurements

log = logger("pictures")

_START = "from spine_node.pictures.aside import main; main()"

_TOO_FEW_CORES = 2


class Draughtsman:
    """The second process, as the first one sees it. One study at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._one_at_a_time = threading.Lock()

    def begin(self, volume: Volume, label_map: LabelMap) -> Drawing | None:
        """Show it the image, so that it prepares surfaces; None where there is no second process."""
        if len(os.sched_getaffinity(0)) < _TOO_FEW_CORES or not self._one_at_a_time.acquire(blocking=False):
            return None
        try:
            connection = self._start()
        except OSError as problem:
            self.lost(problem)
            return None
        drawing = Drawing(self, connection)
        # half a gigabyte is copied, on the core that is idle
        drawing.showing = threading.Thread(target=self._show, args=(drawing, volume, label_map), daemon=True)
        drawing.showing.start()
        return drawing

    def _show(self, drawing: Drawing, volume: Volume, label_map: LabelMap) -> None:
        try:
            shapes, memories = [], []
            for array in (volume.values, label_map.labels):
                memories.append(_memory_of(array))
                shapes.append((array.shape, array.dtype.str))
            _say(drawing.connection, (np.array(volume.grid.affine), shapes), memories)
            for memory in memories:
                os.close(memory)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the first process draws
            drawing.problem = problem

    def done(self) -> None:
        """The study is over."""
        self._one_at_a_time.release()

    def lost(self, problem: object) -> None:
        """End the process, so that the next study has a new one."""
        log.warning("drawn_by_this_process", reason=str(problem))
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None
        self._one_at_a_time.release()

    def _start(self) -> socket.socket:
        if self._socket is not None and self._process is not None and self._process.poll() is None:
            return self._socket
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-c", _START, str(its.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
        self._socket = ours
        return ours


@dataclass(slots=True)
class Drawing:
    """One study in the hands of the second process."""

    draughtsman: Draughtsman
    connection: socket.socket
    showing: threading.Thread = field(init=False)
    problem: Exception | None = None
    _lost: bool = False

    def draw(self, spine: Spine, measurements: Measurements) -> None:
        """Have the pictures drawn; `pictures` waits for them."""
        self.showing.join()
        if self.problem is not None:
            self._give_up(self.problem)
            return
        try:
            _say(self.connection, (spine, measurements))
        except OSError as problem:
            self._give_up(problem)

    def pictures(self) -> list[Picture] | None:
        """What was drawn; None where it has to be drawn here."""
        if self._lost:
            return None
        try:
            answer, _ = _hear(self.connection)
        except (OSError, EOFError, pickle.UnpicklingError) as problem:
            self._give_up(problem)
            return None
        if isinstance(answer, str):
            self._give_up(answer)
            return None
        self.draughtsman.done()
        return [Picture(*row) for row in answer]

    def abandon(self) -> None:
        """Nothing was found to be drawn."""
        self.showing.join()
        if not self._lost:
            self._give_up("the study is not drawn")

    def _give_up(self, problem: object) -> None:
        self._lost = True
        self.draughtsman.lost(problem)


def read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """A mapping of findings, on its way back from bytes."""
    return MappingProxyType(mapping)


copyreg.pickle(MappingProxyType, lambda mapping: (read_only, (dict(mapping),)))

DRAUGHTSMAN = Draughtsman()
"""That of this process."""


def serve(connection: socket.socket) -> None:
    """Draw what is asked for until the other end is closed."""
    import matplotlib.backends.backend_agg  # noqa: F401 - before the first study, as it takes a second

    from spine_node.pictures.pictures import draw_pictures
    from spine_node.pictures.solid import prepared

    while True:
        try:
            (affine, shapes), memories = _hear(connection)
        except EOFError:
            return
        arrays = [_array_in(memory, *shape) for memory, shape in zip(memories, shapes, strict=True)]
        grid = Grid(arrays[0].shape, affine)
        volume, label_map = Volume(grid, arrays[0]), LabelMap(grid, arrays[1])
        try:
            surfaces = prepared(label_map)
            (spine, measurements), _ = _hear(connection)
            drawn = draw_pictures(volume, label_map, spine, measurements, surfaces)
            answer: Any = [(p.name, p.title, p.rgb, p.image_columns) for p in drawn]
        except EOFError:
            return
        except Exception as problem:  # noqa: BLE001 - the other process draws it, and meets the same error
            answer = f"{type(problem).__name__}: {problem}"
        del volume, label_map, arrays
        _say(connection, answer)


def _memory_of(array: np.ndarray) -> int:
    """Anonymous memory with a copy of an array."""
    memory = os.memfd_create("spine-node")
    try:
        os.ftruncate(memory, array.nbytes)
        shared = np.memmap(_path_of(memory), dtype=array.dtype, mode="r+", shape=array.shape)
        shared[...] = array
    except BaseException:
        os.close(memory)
        raise
    return memory


def _array_in(memory: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = np.memmap(_path_of(memory), dtype=np.dtype(dtype), mode="r", shape=shape)
    os.close(memory)  # the mapping keeps it
    return np.asarray(array)


def _path_of(memory: int) -> str:
    return f"/proc/self/fd/{memory}"


def _say(connection: socket.socket, what: object, memories: list[int] | None = None) -> None:
    data = pickle.dumps(what, protocol=5)
    head = struct.pack("<Q", len(data))
    socket.send_fds(connection, [head], memories or [])
    connection.sendall(data)


def _hear(connection: socket.socket) -> tuple[Any, list[int]]:
    head, memories, _, _ = socket.recv_fds(connection, 8, 8)
    if len(head) < 8:
        raise EOFError("the other process is gone")
    data = bytearray(struct.unpack("<Q", head)[0])
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the other process is gone")
        view = view[count:]
    return pickle.loads(data), memories


def main() -> None:
    """Be the second process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal; it ends with the process that it serves
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
