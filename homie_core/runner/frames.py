"""What host and runner say to each other: frames of kind, number, length and payload.

Host to runner, each time it connects: MARK, then REPLAY with a nonce; after that START, ACK and SIGNAL. The
mark cannot occur inside a command, so what an earlier host left half written is dropped. The runner answers
REPLAY with `answer_to(nonce)`, then with every record after the given number, then goes on live; whoever
connects in mid-stream discards bytes until its own nonce comes by. The answer ends with three numbers: of the last
input that the runner has heard (a host says the rest again, and what comes twice counts once), of its newest
record, and what its clock shows (milliseconds of `clock.boottime`): by that, leases are told.
"""

import struct
from collections.abc import Iterator

PIPES = ("in", "out", "errors")
"""Names of the runner's standard input, output and error where they are named pipes, not an engine's."""

HEADER = struct.Struct(">BQI")
"""Kind, number, length of the payload in bytes."""

REPLAY, START, ACK, SIGNAL, PREPARE = 1, 2, 3, 4, 5
"""Host to runner. REPLAY: JSON {after, nonce}. START: JSON {argv, env, cwd, timeout, session, lease}. ACK: records
up to this number are safe on the host. SIGNAL: the number is a signal for the program's process group. PREPARE:
JSON {argv, env, cwd}: a kernel that gets ready now and hears the rest of its environment at START."""

INPUT, RESTART, CLOSE, FILE, DATA = 6, 7, 8, 9, 10
"""Host to runner, in a session; the number counts inputs, 0 is not counted. INPUT: whole messages for its kernel.
RESTART: another kernel in its place. CLOSE: the kernel is to end. FILE: JSON {name, size, executable}, then as
much DATA as the file has, and then it is heard."""

LEASE = 11
"""Host to runner: the program may run until the runner's clock shows this (milliseconds), unless it is said again.
That is no time from now: whoever was asleep when it was said hears it late."""

STARTED, STDOUT, STDERR, EXITED = 16, 17, 18, 20
"""Runner to host, numbered 1, 2, 3, ... EXITED comes last: JSON {status, signal, deadline, lapsed}."""

OUT_OF_MEMORY = 71
"""The runner's own exit status if it was asked to tell that the kernel killed for memory, and it did."""

MESSAGES, BUSY, RESTARTED, PLACED, HEARD = 21, 22, 23, 24, 25
"""Runner to host, in a session. MESSAGES: the next bytes of the kernel's stream. BUSY: the id of the cell that it
runs from now on, or nothing. RESTARTED: another kernel begins, and with it another stream. PLACED: the file is
there, or in words why not. HEARD: the number of the last input (8 bytes), now and then."""

MAX_RECORD = 256 << 10
"""Upper bound of a record's payload in bytes."""

MAX_COMMAND = 4 << 20
"""Upper bound of a command's payload in bytes; the kernel takes no longer argument list anyway."""

MARK = b"\xff\xffhomie\xff"
"""Comes before REPLAY. No kind is 0xff and no number is that long; JSON holds no such byte."""

NUMBER = struct.Struct(">Q")

HEARD_EVERY = 256 << 10
"""Bytes of inputs after which the runner tells how far it has heard."""

NONCE = 32
"""Length of a nonce in (hexadecimal) characters."""


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return HEADER.pack(kind, number, len(payload)) + payload


def answer_to(nonce: str) -> bytes:
    """Return what the runner writes before it replays."""
    return MARK + nonce.encode("ascii")


class Commands:
    """Cuts the host's bytes into commands; what makes no sense is dropped up to the next mark."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lost = True

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take the next bytes; yield each command that is now whole as kind, number, payload."""
        self._buffer += data
        while True:
            mark = self._buffer.find(MARK)
            if mark == 0 or (self._lost and mark > 0):
                del self._buffer[: mark + len(MARK)]
                self._lost = False
                continue
            if self._lost:
                del self._buffer[: -len(MARK)]
                return
            if len(self._buffer) < HEADER.size:
                break
            kind, number, length = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if length > MAX_COMMAND or 0 < mark < end:
                self._lost = True
                continue
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield kind, number, payload
