"""Jupyter messages as bytes: what a kernel in a sandbox and the notebook outside say to each other.

Everything between the two passes these bytes on and reads none of them. A message is

    channel (1) | number of parts (2) | length of each part (4, ...) | the parts

big endian. The parts are header, parent header, metadata and content (JSON each), then buffers: a message of
Jupyter's protocol 5 without identities and signature, which mean nothing elsewhere.
"""

import struct
from collections.abc import Iterator, Sequence

SHELL, CONTROL, STDIN, IOPUB = 1, 2, 3, 4
"""Channels of Jupyter's protocol."""

INTERRUPT = 8
"""To a kernel: interrupt what runs, or is about to run, at this place of the stream; with a part: only the request
of this id, now or when its turn comes."""

ENVIRONMENT = 9
"""To a kernel that was started in advance: one part, a JSON object of environment variables."""

MAX_PARTS = 4096
MAX_MESSAGE = 256 << 20
"""Bytes of one message from a kernel."""

OUT_FD, IN_FD = 3, 4
"""Pipes that a kernel inherits from its runner. In: messages. Out: records, each `RECORD` and as many bytes."""

RECORD = struct.Struct(">BI")
"""Kind (MESSAGES or BUSY of frames.py) and length. BUSY comes between two messages only, never within one."""

_HEAD = struct.Struct(">BH")


def pack(channel: int, parts: Sequence[bytes]) -> bytes:
    """Return one message as bytes."""
    lengths = struct.pack(f">{len(parts)}I", *map(len, parts))
    return b"".join((_HEAD.pack(channel, len(parts)), lengths, *parts))


class Unpacker:
    """Cuts a stream of bytes back into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, list[bytes]]]:
        """Take the next bytes; yield channel and parts of each message that is now whole.

        Raises ValueError for what can be no message: nothing after it makes sense any more.
        """
        self._buffer += data
        at, buffer = 0, self._buffer
        try:
            while len(buffer) - at >= _HEAD.size:
                channel, count = _HEAD.unpack_from(buffer, at)
                if count > MAX_PARTS:
                    raise ValueError(f"a message of {count} parts")
                begin = at + _HEAD.size + 4 * count
                if len(buffer) < begin:
                    return
                lengths = struct.unpack_from(f">{count}I", buffer, at + _HEAD.size)
                if sum(lengths) > MAX_MESSAGE:
                    raise ValueError(f"a message of {sum(lengths)} bytes")
                if len(buffer) < begin + sum(lengths):
                    return
                parts = []
                for length in lengths:
                    parts.append(bytes(buffer[begin : begin + length]))
                    begin += length
                at = begin
                yield channel, parts
        finally:
            del buffer[:at]
