"""The stream to a container's runner, cut out of what a Docker engine sends.

A client of HTTP that hands out its socket may have read a part of the stream already: fatal in mid-stream.
So the one request that turns a connection into a stream is made here.
"""

import asyncio

from homie_core.model.errors import SandboxError

MAX_ERRORS = 8 << 10
"""Bytes kept of what comes out of the container's stderr: the last words of a runner that crashed."""

MAX_HEAD = 64 << 10
LIMIT = 512 << 10
STDERR = 2


class Attached(asyncio.StreamReaderProtocol):
    """A connection that asks to be attached to a container; await `upgraded`, then use `reader`.

    `path` is the container's in the engine's API.
    """

    def __init__(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(LIMIT, loop)
        super().__init__(self.reader, loop=loop)
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.errors = bytearray()
        self._request = f"POST {path}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
        self._buffer = bytearray()
        self._stream, self._left = 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.WriteTransport)
        headers = "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        transport.write((self._request + headers).encode("ascii"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.upgraded.done():
            self._read_head()
        if self.upgraded.done() and not self.upgraded.cancelled() and not self.upgraded.exception():
            self._demultiplex()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.upgraded.done():
            self.upgraded.set_exception(SandboxError("the container engine hung up"))
        super().connection_lost(exc)

    def _read_head(self) -> None:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            if len(head) > MAX_HEAD:
                self.upgraded.set_exception(SandboxError("the container engine's answer makes no sense"))
            return
        if head.split(b" ", 2)[1:2] not in ([b"101"], [b"200"]):
            answer = (head.split(b"\r\n")[0] + b" " + rest).decode(errors="replace")[:500]
            self.upgraded.set_exception(SandboxError(f"the container engine gives no stream: {answer}"))
            return
        self._buffer = bytearray(rest)
        self.upgraded.set_result(None)

    def _demultiplex(self) -> None:
        """Before each piece: 1 byte which stream, 3 of padding, 4 its length."""
        at = 0
        while True:
            if self._left == 0:
                if len(self._buffer) - at < 8:
                    break
                self._stream = self._buffer[at]
                self._left = int.from_bytes(self._buffer[at + 4 : at + 8], "big")
                at += 8
            piece = bytes(self._buffer[at : at + self._left])
            if not piece and self._left:
                break
            at += len(piece)
            self._left -= len(piece)
            if self._stream == STDERR:
                self.errors += piece
                del self.errors[:-MAX_ERRORS]
            else:
                super().data_received(piece)
        del self._buffer[:at]
