"""Jupyter messages that come from a session: bytes to types, once, where they enter; and those that go to one."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from homie_core.model.errors import BadMessage
from homie_core.runner.messages import pack
from homie_core.runner.values import Buffer

Header = dict[str, Any]
"""Of a request; what answers it names it as its parent."""


class _Header(msgspec.Struct, frozen=True):
    """What matters of a message's header."""

    msg_id: str = ""
    msg_type: str = ""


@dataclass(frozen=True)
class Message:
    """One message of a session's kernel; whoever runs code there decides what is in it."""

    channel: int
    type: str
    parent: str
    """Id of the request that caused it; empty if it names none."""
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes] = field(default_factory=list)


_header = msgspec.json.Decoder(_Header)
_object = msgspec.json.Decoder(dict[str, Any])


def unpack(channel: int, parts: list[bytes]) -> Message:
    """Return the message; raise BadMessage for anything else."""
    if len(parts) < 4:
        raise BadMessage("a message of a session has too few parts")
    try:
        header, parent = _header.decode(parts[0]), _header.decode(parts[1])
        metadata, content = _object.decode(parts[2]), _object.decode(parts[3])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a message of Jupyter's: {error}") from error
    return Message(channel, header.msg_type, parent.msg_id, content, metadata, parts[4:])


_ANYBODY = {"session": "", "username": "", "date": "1970-01-01T00:00:00Z", "version": "5.3"}
"""What a header must have beside id and type: a peer learns no name of a user, and no time."""


def new_header() -> Header:
    """Return the header of a new request to run code."""
    return {"msg_id": os.urandom(16).hex(), "msg_type": "execute_request", **_ANYBODY}


def to_session(channel: int, header: Header, content: dict[str, Any], buffers: Sequence[Buffer] = ()) -> bytes:
    """Return a message as a session's kernel takes it; what it answers names this header as its parent."""
    sent = {"msg_id": header["msg_id"], "msg_type": header["msg_type"], **_ANYBODY}
    parts = [json.dumps(part).encode() for part in (sent, {}, {}, content)]
    return pack(channel, [*parts, *map(bytes, buffers)])
