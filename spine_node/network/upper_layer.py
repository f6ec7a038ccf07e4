"""The upper layer of an association that we accept: pynetdicom's, but for how bytes come in.

pynetdicom reads 4 kB at a time, looks for work a thousand times a second, believes any announced length,
and passes each packet through five objects and two threads. Here a thread sleeps until there is work;
lengths are checked before anything is read; and the fragments of a C-STORE go from the receive buffer to
where the instance is kept, and its answer back, in one thread. All other messages, and everything about
associations (PS3.8 9.2), are pynetdicom's: they are handed on as it knows them.

A peer may be slow, not endless: a packet, and a message, must come at `SLOWEST_BYTES_PER_S` or more, beyond
the idle time-out that each may take in any case.
"""

from __future__ import annotations

import queue
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE, InvalidEventError, StateMachine
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA
from pynetdicom.transport import T_CONNECT

from spine_node.logs import logger
from spine_node.network.commands import (
    C_STORE_RQ,
    CommandError,
    StoreRequest,
    command_field,
    elements,
    has_data_set,
    store_request,
    store_response,
)
from spine_node.network.connection import Connection, Deadline, PeerGoneError, StirredError, TooSlowError
from spine_node.network.turns import turn

_REQUEST, _DATA = 0x01, 0x04
PDU_LIMITS = {_REQUEST: 1 << 20, 0x02: 1 << 20, 0x03: 4, _DATA: 1 << 20, 0x05: 4, 0x06: 4, 0x07: 4}
"""Longest body taken of each kind, in bytes (PS3.8 9.3). A P-DATA-TF may be longer than what we offer, as
some senders do not heed it; a request with 128 contexts of many syntaxes comes to some 200 kB."""

COMMAND_BYTES = 64 << 10
"""Longest command set."""

MOST_CONTEXTS, MOST_ITEMS = 128, 4096
"""Of an association request: presentation contexts (PS3.8 9.3.2.2, as their ids are odd bytes), and all items
in it. A senders' 128 contexts of 20 syntaxes are 2700; decoding 15,000 took 11 s of processor time."""

OTHER_DATA_BYTES = 16 << 20
"""Longest data set of a message that is gathered in memory: all but C-STORE."""

MOST_PIECES = 64
"""Of a data set in the receive buffer: more, and it is handed on, as a piece of one byte takes a hundred."""

SLOWEST_BYTES_PER_S = 1000.0

BIGGEST_ANSWER = 16384
"""Bytes of a packet to a peer that sets no maximum."""

_FIRST_ITEM, _CONTEXT_ITEM, _USER_ITEM = 68, 0x20, 0x50  # PS3.8 9.3.2

_OF_OURS = ("Evt1", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15")
"""Events that primitives of our own side are (PS3.8 table 9-10)."""

_LAST, _COMMAND = 0x02, 0x01  # bits of the message control header (PS3.8 E.2)
_PDU_HEAD, _FRAGMENT_HEAD = struct.Struct(">BBL"), struct.Struct(">LBB")
_ANSWER_HEAD = struct.Struct(">BBLLBB")

log = logger("scp")


class Instance(Protocol):
    """A data set that arrives."""

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Take the next bytes; the memory is used again afterwards. Trouble is told at the end."""
        ...

    def finish(self) -> tuple[int, str]:
        """It is whole: the status to answer with, and a comment. Never raises."""
        ...

    def discard(self) -> None:
        """The rest will not come."""
        ...


class Storage(Protocol):
    """Where C-STORE requests go."""

    def begin(self, association: Association, request: StoreRequest) -> Instance:
        """A request has come, its data set follows. Never raises."""
        ...

    def broken(self, association: Association, reason: str) -> None:
        """The peer sends what is not the protocol, or past its limits, and is being turned out."""
        ...


class BadPduError(Exception):
    """What the peer sends is not the protocol, or past its limits."""


@dataclass(slots=True)
class _Message:
    """A DIMSE message on its way in; `instance` once its command set is whole.

    `pieces` of its data set lie in the receive buffer still.
    """

    context_id: int
    began: float
    command: bytearray = field(default_factory=bytearray)
    size: int = 0
    request: StoreRequest | None = None
    instance: Instance | None = None
    pieces: list[memoryview] = field(default_factory=list)

    def write_out(self) -> None:
        """Hand on what lies in the receive buffer."""
        pieces, self.pieces = self.pieces, []
        if self.instance is not None and pieces:
            self.instance.write(pieces)


class _StateMachine(StateMachine):
    """PS3.8 9.2; what our own side still wants of an association that is over is too late, and no error."""

    def do_action(self, event: str) -> None:
        """Do what an event asks for."""
        over = self.current_state in ("Sta1", "Sta13")
        if over and event in _OF_OURS and (event, self.current_state) not in TRANSITION_TABLE:
            # what was not wanted in time is wanted no more: left in its queue it would be met again at once
            with suppress(queue.Empty):
                self.dul.to_provider_queue.get(block=False)
            log.debug("event_too_late", event_name=event, state=self.current_state)
            return
        try:
            super().do_action(event)
        except InvalidEventError:
            if not over:
                raise


class UpperLayer(DULServiceProvider):
    """The upper layer service provider of one association."""

    def __init__(self, association: Association, storage: Storage) -> None:
        super().__init__(association)
        self.daemon = True
        self.state_machine = _StateMachine(self)
        self._run_loop_delay = 0  # `Connection.ready` waits in its place
        self._storage = storage
        self._message: _Message | None = None

    def run_reactor(self) -> None:
        """Serve the connection until it ends, however that is."""
        try:
            super().run_reactor()
        finally:
            self._drop_message()
            self.connection.dispose()
            self.to_user_queue.put(None)  # type: ignore[arg-type]  # who waits for the peer's request is told

    @property
    def connection(self) -> Connection:
        """The socket, as what it is."""
        assert isinstance(self.socket, Connection)
        return self.socket

    def send_pdu(self, primitive: T_CONNECT | A_ASSOCIATE | A_RELEASE | A_ABORT | A_P_ABORT | P_DATA) -> None:
        """Have a primitive sent by the thread that serves the connection."""
        super().send_pdu(primitive)
        self.connection.stir()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self.connection.stir()

    def stop_dul(self) -> bool:
        """End the thread if the association is over; whether it was."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join()
        return True

    def _read_pdu_data(self) -> None:
        """Read what has come, and put the event that it is (PS3.8 9.2.2) to the state machine."""
        try:
            with turn():
                self._read()
        except PeerGoneError:
            self.event_queue.put("Evt17")
        except StirredError:
            pass  # an abort of ours is next
        except TooSlowError:
            reason = "too slow: what was begun did not come in time"
            log.warning("association_broken", reason=reason, address=self.assoc.requestor.address)
            self._refuse()
        except (BadPduError, CommandError) as problem:
            self._storage.broken(self.assoc, str(problem))
            self._refuse()

    def _refuse(self) -> None:
        self._drop_message()
        self.event_queue.put("Evt19")

    def _read(self) -> None:
        state = self.state_machine.current_state
        if state == "Sta13":
            self.connection.discard()
            return
        connection = self.connection
        limit_s = self.artim_timer.remaining if state == "Sta2" else self.network_timeout or 60.0
        due = time.monotonic() + limit_s

        def deadline() -> float:
            return self._deadline(due)

        while True:
            kind, _, length = _PDU_HEAD.unpack(connection.take(6, deadline))
            if length > PDU_LIMITS.get(kind, 0):
                raise BadPduError(f"a packet of type {kind:02X} announces {length} bytes")
            if state == "Sta2" and kind != _REQUEST:
                raise BadPduError(f"a packet of type {kind:02X} came in the place of an association request")
            if kind != _DATA or state != "Sta6":
                self._hand_on(connection.collect(length, deadline), kind, length)
                return
            self._read_fragments(length, deadline)
            if self.to_provider_queue.queue or self._kill_thread:
                return
            if self._message is None:
                if not connection.ready:
                    return
                due = time.monotonic() + limit_s
            elif time.monotonic() > deadline():
                raise TooSlowError

    def _hand_on(self, body: bytes, kind: int, length: int) -> None:
        if kind == _REQUEST:
            _require_modest(body)
        try:
            pdu, event = self._decode_pdu(bytearray(struct.pack(">BBL", kind, 0, length) + body))
            # as the state machine does, which would end this thread with what it raises; and once is enough:
            # a request of 128 contexts takes 4 ms
            primitive = pdu.to_primitive()
            pdu.to_primitive = lambda: primitive
            if isinstance(primitive, A_ASSOCIATE):
                _require_syntaxes(primitive)
        except Exception as problem:
            raise BadPduError(f"a packet of type {kind:02X} cannot be decoded: {problem}") from problem
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _deadline(self, otherwise: float) -> float:
        message = self._message
        if message is None:
            return otherwise
        return message.began + (self.network_timeout or 60.0) + message.size / SLOWEST_BYTES_PER_S

    def _read_fragments(self, length: int, deadline: Deadline) -> None:
        """The presentation data values of one P-DATA-TF (PS3.8 9.3.5)."""
        connection = self.connection
        while length > 0:
            if length < 6:
                raise BadPduError(f"{length} bytes are left over in a P-DATA-TF")
            size, context_id, control = _FRAGMENT_HEAD.unpack(connection.take(6, deadline))
            length -= 4 + size
            if size < 2 or length < 0:
                raise BadPduError(f"a fragment announces {size} bytes; {length + size} are left")
            left = size - 2
            if self._message is None:
                self._message = _Message(context_id, time.monotonic())
            elif context_id != self._message.context_id:
                raise BadPduError(f"context {context_id} within a message of {self._message.context_id}")
            message = self._message
            self._check(message, control, left)
            while left:
                piece = connection.take_some(left, deadline)
                left -= len(piece)
                message.size += len(piece)
                if control & _COMMAND:
                    message.command += piece
                else:
                    message.pieces.append(piece)
                    if len(message.pieces) >= MOST_PIECES:
                        message.write_out()
            if control & _LAST:
                self._last(message, control)

    def _check(self, message: _Message, control: int, size: int) -> None:
        """Raise BadPduError for a fragment that has no place in this message."""
        if not control & _COMMAND:
            if message.instance is None:
                raise BadPduError("a data set came before its command set")
        elif message.instance is not None:
            raise BadPduError("a command set came within a data set")
        elif len(message.command) + size > COMMAND_BYTES:
            raise BadPduError(f"a command set of more than {COMMAND_BYTES} bytes")

    def _last(self, message: _Message, control: int) -> None:
        if control & _COMMAND:
            if message.instance is not None:
                raise BadPduError("a message with two command sets")
            command = elements(message.command)
            if message.context_id not in self.assoc._accepted_cx:
                raise BadPduError(f"a message in context {message.context_id}, which was not accepted")
            if command_field(command) == C_STORE_RQ:
                message.request = store_request(command, message.context_id)
                message.instance = self._storage.begin(self.assoc, message.request)
            else:
                message.instance = _HandedOn(self, message, has_data_set(command))
            if has_data_set(command):
                self.connection.keeper = message.write_out
                return
        if message.instance is None:
            raise BadPduError("a data set ended before its command set")
        message.write_out()
        self._message = self.connection.keeper = None
        status, comment = message.instance.finish()
        if message.request is not None:
            self._answer(message.context_id, store_response(message.request, status, comment))

    def _answer(self, context_id: int, command: bytes) -> None:
        step = max((self.assoc.requestor.maximum_length or BIGGEST_ANSWER) - 6, 1)
        for at in range(0, len(command), step):
            piece = command[at : at + step]
            control = _COMMAND | (_LAST if at + step >= len(command) else 0)
            size = len(piece) + 2
            self.connection.send(_ANSWER_HEAD.pack(_DATA, 0, size + 4, size, context_id, control) + piece)

    def _drop_message(self) -> None:
        message, self._message = self._message, None
        self.connection.keeper = None
        if message is not None and message.instance is not None:
            message.instance.discard()


class _HandedOn:
    """A message that pynetdicom decodes and serves, gathered first."""

    def __init__(self, upper_layer: UpperLayer, message: _Message, has_data_set: bool) -> None:
        self._dimse, self._context_id = upper_layer.assoc.dimse, message.context_id
        self._command, self._data, self._has_data_set = bytes(message.command), bytearray(), has_data_set

    def write(self, pieces: Sequence[memoryview]) -> None:
        for piece in pieces:
            if len(self._data) + len(piece) > OTHER_DATA_BYTES:
                raise BadPduError(f"a message with a data set of more than {OTHER_DATA_BYTES} bytes")
            self._data += piece

    def finish(self) -> tuple[int, str]:
        self._pass(_COMMAND | _LAST, self._command)
        if self._has_data_set:
            self._pass(_LAST, bytes(self._data))
        return 0, ""

    def discard(self) -> None:
        self._data.clear()

    def _pass(self, control: int, content: bytes) -> None:
        primitive = P_DATA()
        primitive.presentation_data_value_list = [[self._context_id, bytes([control]) + content]]  # type: ignore[list-item]
        try:
            self._dimse.receive_primitive(primitive)
        except Exception as problem:
            raise BadPduError(f"a message cannot be decoded: {problem!r}") from problem


def _require_syntaxes(request: A_ASSOCIATE) -> None:
    """Raise BadPduError for a context without a transfer syntax (PS3.8 9.3.2.2 asks for one at least), which
    pynetdicom does not expect."""
    for context in request.presentation_context_definition_list:
        if not context.transfer_syntax:
            raise BadPduError(f"presentation context {context.context_id} has no transfer syntax")


def _require_modest(request: bytes) -> None:
    """Raise BadPduError for an A-ASSOCIATE-RQ of more items than one has, before any is decoded."""
    contexts = items = 0
    at, end = _FIRST_ITEM, len(request)
    while end - at >= 4:
        kind, length = request[at], int.from_bytes(request[at + 2 : at + 4], "big")
        contexts, items = contexts + (kind == _CONTEXT_ITEM), items + 1
        # Contexts and user information hold items of their own; a context has four bytes before them.
        inner = at + 4 + (4 if kind == _CONTEXT_ITEM else 0)
        while kind in (_CONTEXT_ITEM, _USER_ITEM) and at + 4 + length - inner >= 4 and items <= MOST_ITEMS:
            inner += 4 + int.from_bytes(request[inner + 2 : inner + 4], "big")
            items += 1
        if contexts > MOST_CONTEXTS:
            raise BadPduError(f"an association request of more than {MOST_CONTEXTS} contexts")
        if items > MOST_ITEMS:
            raise BadPduError(f"an association request of more than {MOST_ITEMS} items")
        at += 4 + length
