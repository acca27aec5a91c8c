"""Bytes to types and back: MessagePack, decoded once, where the bytes enter.

Every message is a frozen struct with bounded fields, so what passes here needs no second look. Unknown
fields are ignored (a newer peer may say more); an unknown protocol version is refused in the hello.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from homie_core.model.errors import BadMessage

PROTOCOL = 2
"""Major version of everything two nodes say to each other."""

MAX_MESSAGE = 4 << 20
"""Upper bound of one message in bytes, whoever sends it."""

T = TypeVar("T")


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all nouns: immutable, compared by value, encoded by field name."""


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def encode(message: object) -> bytes:
    """Return the message as MessagePack."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview, kind: type[T], limit: int = MAX_MESSAGE) -> T:
    """Return the bytes as a `kind`; raise BadMessage, naming the field, for anything else."""
    if len(data) > limit:
        raise BadMessage(f"a message of {len(data)} bytes; {limit} are allowed")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        message: T = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a valid message: {error}") from error
    return message


def frame(message: object) -> bytes:
    """Return the message with its length before it (4 bytes, big endian), for byte streams."""
    body = encode(message)
    return len(body).to_bytes(4, "big") + body


class Unframer:
    """Cuts a byte stream back into what `frame` made; holds at most one message of 4 MiB."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the stream; yield each message that is now whole."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= 4:
            size = int.from_bytes(self._buffer[at : at + 4], "big")
            if size > MAX_MESSAGE:
                raise BadMessage(f"a message of {size} bytes; {MAX_MESSAGE} are allowed")
            if len(self._buffer) - at - 4 < size:
                break
            yield bytes(self._buffer[at + 4 : at + 4 + size])
            at += 4 + size
        del self._buffer[:at]
