"""The stream to a bubblewrap sandbox's runner: named pipes in the job's folder, which outlive the daemon.

The runner's own ends are open for both directions, so it never sees the end of a daemon, and another one opens
them again.
"""

import asyncio
import os
from pathlib import Path

IN, OUT, ERRORS = "in", "out", "errors"
MAX_ERRORS = 8 << 10
"""Bytes kept of what comes out of the sandbox's stderr: the last words of a runner that crashed."""

LIMIT = 512 << 10


def make(folder: Path) -> None:
    """Make the pipes. Raises OSError."""
    for name in (IN, OUT, ERRORS):
        os.mkfifo(folder / name, 0o600)


def inner_ends(folder: Path) -> tuple[int, int, int]:
    """Return standard input, output and error for the runner."""
    first, second, third = (os.open(folder / name, os.O_RDWR | os.O_CLOEXEC) for name in (IN, OUT, ERRORS))
    return first, second, third


class LastWords(asyncio.Protocol):
    """Reads to the end, keeps the last of it."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.said += data
        del self.said[:-MAX_ERRORS]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a new stream to the runner; it ends when the last process that holds the inner ends has ended."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LIMIT, loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    incoming, _ = await loop.connect_read_pipe(lambda: protocol, _open(folder / OUT, os.O_RDONLY))
    outgoing, flow = await loop.connect_write_pipe(lambda: _Writing(incoming), _open(folder / IN, os.O_WRONLY))
    return reader, asyncio.StreamWriter(outgoing, flow, reader, loop)


async def listen(folder: Path) -> tuple[asyncio.ReadTransport, LastWords]:
    """Start to keep the runner's last words."""
    loop = asyncio.get_running_loop()
    return await loop.connect_read_pipe(LastWords, _open(folder / ERRORS, os.O_RDONLY))


class _Writing(asyncio.streams.FlowControlMixin):
    """The writing half; closing it closes the reading half, as with a socket."""

    def __init__(self, incoming: asyncio.ReadTransport) -> None:
        super().__init__()
        self._incoming = incoming
        self._closed = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._incoming.close()
        if not self._closed.done():
            self._closed.set_result(None)

    def _get_close_waiter(self, stream: asyncio.StreamWriter) -> "asyncio.Future[None]":
        return self._closed


def _open(path: Path, how: int):  # type: ignore[no-untyped-def]
    return os.fdopen(os.open(path, how | os.O_NONBLOCK | os.O_CLOEXEC), "rb" if how == os.O_RDONLY else "wb", 0)
