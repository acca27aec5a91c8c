"""The stream to a sandbox's runner over named pipes in the job's folder, which outlive the daemon.

The runner's own ends are open for both directions, so it never sees the end of a daemon, and another one opens
them again. They belong to the daemon once a stream is made, and no job has begun by then: a job that is another
user cannot open them, by whatever name it finds them.
"""

import asyncio
import contextlib
import errno
import os
from pathlib import Path

from homie_core.runner.frames import PIPES

IN, OUT, ERRORS = PIPES
MAX_ERRORS = 8 << 10
"""Bytes kept of what comes out of the sandbox's stderr: the last words of a runner that crashed."""

LIMIT = 512 << 10


class NobodyThere(OSError):
    """No runner holds its ends: it has not opened them yet, or it has ended."""


class Pipes:
    """The three pipes of one job; `folder` is its own, closed to others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: tuple[asyncio.ReadTransport, asyncio.StreamWriter] | None = None
        self._errors = -1
        self._words = bytearray()

    def make(self, uid: int, gid: int) -> None:
        """Make them, for a runner that is this user here. Raises OSError."""
        for name in PIPES:
            os.mkfifo(self._folder / name, 0o600)
            os.chown(self._folder / name, uid, gid)

    def inner_ends(self) -> tuple[int, int, int]:
        """Return standard input, output and error for a runner that is to be started with them."""
        first, second, third = (os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC) for name in PIPES)
        return first, second, third

    def listen(self) -> None:
        """Start to keep the runner's last words. Raises OSError."""
        self._errors = self._open(ERRORS, os.O_RDONLY)
        asyncio.get_running_loop().add_reader(self._errors, self._hear)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to the runner in place of an earlier one; it ends with the last process that holds
        the inner ends. Raises NobodyThere, OSError."""
        self._hang_up()
        ends = [self._open(OUT, os.O_RDONLY)]
        try:
            ends.append(self._open(IN, os.O_WRONLY))
            for name in PIPES:
                os.chown(self._folder / name, os.geteuid(), os.getegid())
        except OSError as error:
            for end in ends:
                os.close(end)
            if error.errno == errno.ENXIO:
                raise NobodyThere(*error.args) from error
            raise
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(LIMIT, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        incoming, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(ends[0], "rb", 0))
        outgoing, flow = await loop.connect_write_pipe(lambda: _Writing(incoming), os.fdopen(ends[1], "wb", 0))
        writer = asyncio.StreamWriter(outgoing, flow, reader, loop)
        self._streams = incoming, writer
        return reader, writer

    def last_words(self) -> str:
        """Return what the runner said last on its standard error, so far."""
        self._hear()
        return self._words.decode(errors="replace").strip()

    def close(self) -> None:
        """Hear and say nothing more."""
        self._hang_up()
        self._hear_no_more()

    def remove(self) -> None:
        """Leave nothing of them behind."""
        self.close()
        for name in PIPES:
            (self._folder / name).unlink(missing_ok=True)

    def _hang_up(self) -> None:
        if self._streams is None:
            return
        (incoming, writer), self._streams = self._streams, None
        outgoing = writer.transport
        incoming.close()  # now: it would take what another is to hear
        if not outgoing.is_closing() or outgoing.get_write_buffer_size():
            outgoing.abort()  # what is left to say may never be taken

    def _hear(self) -> None:
        if self._errors < 0:
            return
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._errors, 1 << 20)
            self._words += said
            del self._words[:-MAX_ERRORS]
            if not said:
                self._hear_no_more()

    def _hear_no_more(self) -> None:
        if self._errors >= 0:
            asyncio.get_running_loop().remove_reader(self._errors)
            os.close(self._errors)
            self._errors = -1

    def _open(self, name: str, how: int) -> int:
        return os.open(self._folder / name, how | os.O_NONBLOCK | os.O_CLOEXEC)


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
