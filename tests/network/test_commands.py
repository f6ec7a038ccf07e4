"""C-STORE command sets are those that pynetdicom writes and reads."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode

from spine_node.network import commands
from spine_node.network.statuses import Status

CT = "1.2.840.10008.5.1.4.1.1.2"


def encoded_request(uid: str) -> bytes:
    primitive = C_STORE()
    primitive.MessageID, primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = 4711, CT, uid
    primitive.Priority, primitive.DataSet = 2, BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    (first, *_) = message.encode_msg(3, 16384)
    return bytes(first.presentation_data_value_list[0][1][1:])


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "2.25." + "9" * 59])
def test_a_request_is_read_as_it_was_written(uid: str) -> None:
    command = commands.elements(encoded_request(uid))
    assert commands.command_field(command) == commands.C_STORE_RQ
    assert commands.has_data_set(command)
    assert commands.store_request(command, 3) == commands.StoreRequest(4711, CT, uid, 3)


@pytest.mark.parametrize("comment", ["", "data set is instance 1.2", "x" * 90, "a\\b"])
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_a_response_is_the_one_that_pynetdicom_writes(uid: str, comment: str) -> None:
    answer = commands.store_response(commands.StoreRequest(7, CT, uid, 1), Status.CANNOT_UNDERSTAND, comment)
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = 7, 0xC000
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT, uid
    if comment:
        primitive.ErrorComment = comment[:64].replace("\\", "/")
    message = C_STORE_RSP()
    message.primitive_to_message(primitive)
    (theirs,) = message.encode_msg(1, 16384)
    assert answer == bytes(theirs.presentation_data_value_list[0][1][1:])
    assert decode(BytesIO(answer), True, True).Status == 0xC000


@given(st.binary(max_size=200))
def test_bytes_that_are_no_command_set_are_refused_and_nothing_else(noise: bytes) -> None:
    for text in (noise, encoded_request("1.2.3")[: len(noise)] + noise):
        try:
            command = commands.elements(text)
            commands.store_request(command, 1)
        except commands.CommandError:
            continue
        assert 0x0110 in command
