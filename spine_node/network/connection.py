"""One peer's connection as pynetdicom's socket: it waits where the original polls, and never without limit.

Bytes are received into one buffer of fixed size, whatever lengths the peer announces. Who still needs what
it took (`keeper`) is told before its memory is used again. Whoever waits for the peer is woken by data, by
`stir`, and by the deadline that it must name.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT
from pynetdicom.transport import AssociationSocket

from spine_node.network import turns

BUFFER_BYTES = 256 << 10
"""Two packets of the size that we offer, written to the disk in one call while the processor's cache holds
them. Measured: with 640 KiB, a whole instance of CT, 16 associations take twice the system time."""

_ROOM_BYTES = 64 << 10
"""With less room than this the buffer is begun anew, not filled up in small pieces."""

Deadline = Callable[[], float]
"""Gives seconds of `time.monotonic`; asked only where the peer must be waited for."""

_LOOK_EVERY_S = 1.0
_INCOMING, _ROOM = select.POLLIN, select.POLLOUT


class PeerGoneError(Exception):
    """The connection is closed or lost."""


class TooSlowError(Exception):
    """The peer did not send, or did not take, what was due in time."""


class StirredError(Exception):
    """Our own side wants to abort: whoever waits for the peer must let go."""


class Connection(AssociationSocket):
    """Takes exactly the bytes asked for, by a deadline.

    Attributes
    ----------
    keeper : callable or None
        Told when the memory of everything that was taken is about to be used again. Without one, what was
        taken is valid until more is taken.
    """

    def __init__(self, association: Association, connection: socket.socket) -> None:
        super().__init__(association, client_socket=connection)
        connection.setblocking(False)
        self._stir = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stirring = threading.Lock()
        self._buffer: memoryview | None = None
        self._start = self._end = 0
        self.keeper: Callable[[], None] | None = None

    def take(self, size: int, deadline: Deadline) -> memoryview:
        """The next `size` bytes, at most the buffer's.

        Raises
        ------
        PeerGoneError, TooSlowError, StirredError
        """
        while self._end - self._start < size:
            self._receive(size, deadline)
        return self._taken(size)

    def take_some(self, most: int, deadline: Deadline) -> memoryview:
        """From 1 to `most` of the next bytes: what is there."""
        if self._end == self._start:
            self._receive(1, deadline)
        return self._taken(min(most, self._end - self._start))

    def collect(self, size: int, deadline: Deadline) -> bytes:
        """The next `size` bytes; memory grows with what arrives, not with what was announced."""
        found = bytearray()
        while len(found) < size:
            found += self.take_some(size - len(found), deadline)
        return bytes(found)

    def discard(self) -> None:
        """Drop whatever has arrived.

        Raises
        ------
        PeerGoneError
            If nothing more will come.
        """
        self._start = self._end = 0
        with suppress(TooSlowError, StirredError):
            self._receive(1, lambda: 0.0)
        self._start = self._end = 0

    def stir(self) -> None:
        """Wake whoever waits for the peer. From any thread, at any time."""
        with self._stirring:
            if self._stir >= 0:
                os.eventfd_write(self._stir, 1)

    def dispose(self) -> None:
        """Let go of the connection and of everything it holds."""
        self._shutdown_socket()
        self._is_connected = False
        with self._stirring:
            if self._stir >= 0:
                os.close(self._stir)
                self._stir = -1
        self._buffer = self.keeper = None
        self._start = self._end = 0

    @property
    def ready(self) -> bool:
        """Whether there is something to read; waits for it, for a stir, or for the next timer."""
        if self.socket is None or not self._is_connected:
            time.sleep(0.001)  # the loop that asks has a moment to live
            return False
        if not self.event_queue.empty():
            return False  # first things first: what comes next is judged by the state that they lead to
        if self._end > self._start:
            return True
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        closing = self.assoc.dul.state_machine.current_state == "Sta13"
        wait_s = 0.0 if closing else min(max(self.assoc.dul.artim_timer.remaining, 0.0), _LOOK_EVERY_S)
        return self._wait(_INCOMING, wait_s)

    def recv(self, nr_bytes: int) -> bytearray:
        """What pynetdicom would read by; not used, and not without limit."""
        raise NotImplementedError

    def send(self, bytestream: bytes) -> None:
        """Send all of it, or close the connection to a peer that does not take it."""
        left = memoryview(bytestream)
        deadline = time.monotonic() + (self.assoc.network_timeout or 60.0)
        try:
            while left:
                left = left[self._send_some(left, deadline) :]
        except (PeerGoneError, TooSlowError, StirredError):
            self.event_queue.put("Evt17")

    def _send_some(self, left: memoryview, deadline: float) -> int:
        if self.socket is None:
            raise PeerGoneError
        try:
            return self.socket.send(left)
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._wait_until(_ROOM, deadline)
        except ssl.SSLWantReadError:
            self._wait_until(_INCOMING, deadline)
        except OSError as problem:
            raise PeerGoneError(str(problem)) from problem
        return 0

    def _receive(self, size: int, deadline: Deadline) -> None:
        """Receive at least a byte; makes room so that `size` bytes can be had in one piece."""
        if self.socket is None:
            raise PeerGoneError
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BUFFER_BYTES))
        if self.keeper is None and self._start == self._end:
            self._start = self._end = 0
        elif self._start + max(size, _ROOM_BYTES) > BUFFER_BYTES:
            if self.keeper is not None:
                self.keeper()
            left = bytes(self._buffer[self._start : self._end])
            self._buffer[: len(left)] = left
            self._start, self._end = 0, len(left)
        try:
            received = self.socket.recv_into(self._buffer[self._end :])
        except (BlockingIOError, ssl.SSLWantReadError):
            self._wait_until(_INCOMING, deadline())
            return
        except ssl.SSLWantWriteError:
            self._wait_until(_ROOM, deadline())
            return
        except OSError as problem:
            raise PeerGoneError(str(problem)) from problem
        if not received:
            raise PeerGoneError
        self._end += received
        self.assoc.dul._idle_timer.restart()

    def _taken(self, size: int) -> memoryview:
        if self._buffer is None:
            raise PeerGoneError
        start = self._start
        self._start += size
        return self._buffer[start : self._start]

    def _wait_until(self, what: int, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TooSlowError
        self._wait(what, min(left_s, _LOOK_EVERY_S))
        dul = self.assoc.dul
        if dul._kill_thread or any(
            isinstance(p, A_ABORT | A_P_ABORT) for p in list(dul.to_provider_queue.queue)
        ):
            raise StirredError

    def _wait(self, what: int, wait_s: float) -> bool:
        """Wait for the socket or a stir; whether the socket has something, a loss too."""
        if self.socket is None or self._stir < 0:
            return False
        connection = self.socket.fileno()
        if connection < 0:
            return True  # closed by the thread that evicts: reading tells
        poll = select.poll()
        poll.register(connection, what)
        poll.register(self._stir, _INCOMING)
        with turns.waiting():
            found = dict(poll.poll(wait_s * 1000.0))
        if self._stir in found:
            with suppress(BlockingIOError):
                os.eventfd_read(self._stir)
        return connection in found

    def _shutdown_socket(self) -> None:
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                connection.close()
