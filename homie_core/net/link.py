"""Calling another node's API: one pinned mutual-TLS client per peer, errors in words."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import msgspec

from homie_core.model.control import Refused
from homie_core.model.errors import BadMessage, HomieError, LinkBroke, NoRoom, PeerUnreachable, TransferError
from homie_core.model.event import Accepted, Queued, Record
from homie_core.model.job import FileRef, JobSpec, Ticket
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Hello
from homie_core.model.report import Gone, Report, ReportRequest, Reports
from homie_core.model.session import Input, Missing, ParcelName, Place, Taken
from homie_core.model.wire import MAX_MESSAGE, Unframer, decode, encode
from homie_core.net.http import CHUNK
from homie_core.net.server import PING, Sink
from homie_core.net.tls import Pin

_ADVICE = "a different secret? Compare `homie whoami` on both machines"
MAX_REQUESTS = 16
"""Questions and transfers at a time to one node; more wait."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=4.0, sock_read=30.0)


class Outbox(Protocol):
    """What a session is told, kept until its host has taken it."""

    def sending(self) -> AsyncIterator[Input]: ...

    def taken(self, taken: Taken) -> None: ...


class Link:
    """The way to one node at one address; `expect` is the only id that may answer there (None: learn it)."""

    def __init__(self, address: str, port: int, expect: PeerId | None, context: ssl.SSLContext) -> None:
        self.address = (address, port)
        self._where = f"{address}:{port}"
        self._base = f"https://{address}:{port}/v1"
        self._pin = Pin(expect)
        self._context = context
        self._session = self._connected(MAX_REQUESTS)
        self._streams = self._connected(0)
        """One for each job that is followed: were there a limit, jobs that run would keep new ones out."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()
        await self._streams.close()

    def _connected(self, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._pin, limit=limit)
        return aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, auto_decompress=False)

    async def hello(self, mine: Hello) -> tuple[PeerId, Hello]:
        """Exchange hellos; return who answered, proven by its certificate."""
        theirs = decode(await self._post("/hello", encode(mine)), Hello)
        assert self._pin.seen is not None
        return self._pin.seen, theirs

    async def offer(self, spec: JobSpec) -> Accepted:
        """Ask the node to take a job."""
        return decode(await self._post("/jobs", encode(spec)), Accepted)

    async def offer_for(self, spec: JobSpec, most: int | None) -> Accepted | Queued:
        """Ask the node to take a job or, if it would wait at a place beyond `most`, only to say where."""
        if most is None:
            return await self.offer(spec)
        path = f"/jobs?place={most}"
        answer: Accepted | Queued = decode(await self._post(path, encode(spec)), Accepted | Queued)  # type: ignore[arg-type]
        return answer

    async def report(self, jobs: Sequence[JobId]) -> dict[JobId, Report | Gone]:
        """Ask how these jobs stand, at most MAX_REPORTS; a node that does not say it of each is mistaken."""
        answer = decode(await self._post("/jobs/reports", encode(ReportRequest(jobs=tuple(jobs)))), Reports)
        reports = {report.job: report for report in answer.jobs}
        if reports.keys() != set(jobs):
            raise BadMessage(f"{self._where} reported on other jobs than it was asked about")
        return reports

    async def renew(self, job: JobId, ticket: Ticket) -> Ticket:
        """Let a job that has a lease run on; return the ticket for the next time."""
        return decode(await self._post(f"/jobs/{job}/lease", encode(ticket)), Ticket)

    async def stop(self, job: JobId) -> None:
        """Ask the node to stop a job."""
        await self._post(f"/jobs/{job}/stop", b"")

    async def forget(self, job: JobId) -> None:
        """Tell the node that everything of an ended job has been fetched."""
        url = f"{self._base}/jobs/{job}"
        async with self._errors(), self._session.delete(url, ssl=self._context) as answer:
            await self._body(answer)

    async def upload(self, job: JobId, file: FileRef, chunks: AsyncIterator[bytes]) -> None:
        """Send one input of a job."""
        headers = {"Content-Length": str(file.size)}
        url = f"{self._base}/jobs/{job}/inputs/{file.digest}"
        async with (
            self._errors(),
            self._session.put(url, data=chunks, headers=headers, ssl=self._context) as answer,
        ):
            await self._body(answer)

    async def download(self, job: JobId, file: FileRef, sink: Sink, progress: Callable[[int], None]) -> None:
        """Fetch one result of a job into the sink; `progress` hears the size of each piece."""
        url = f"{self._base}/jobs/{job}/results/{file.digest}"
        async with self._errors(), self._session.get(url, ssl=self._context) as answer:
            if answer.status != 200:
                await self._body(answer)
            async for chunk in answer.content.iter_chunked(CHUNK):
                sink.write(chunk)
                progress(len(chunk))

    async def expect(self, job: JobId, place: Place) -> Missing:
        """Ask which of these files a running session has not been sent."""
        return decode(await self._post(f"/jobs/{job}/expect", encode(place)), Missing)

    async def place(self, job: JobId, place: Place) -> None:
        """Ask the node to put files that it was sent into a session's folder."""
        await self._post(f"/jobs/{job}/place", encode(place))

    async def send_parcel(self, job: JobId, name: ParcelName, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Send values to a session that runs."""
        headers, url = {"Content-Length": str(size)}, f"{self._base}/jobs/{job}/parcels/{name}"
        async with (
            self._errors(),
            self._session.put(url, data=chunks, headers=headers, ssl=self._context) as answer,
        ):
            await self._body(answer)

    @asynccontextmanager
    async def parcel(self, job: JobId, name: ParcelName) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Fetch values from a session that runs: how many bytes, and these."""
        url = f"{self._base}/jobs/{job}/parcels/{name}"
        async with self._errors(), self._session.get(url, ssl=self._context) as answer:
            if answer.status != 200:
                await self._body(answer)
            if answer.content_length is None:
                raise BadMessage(f"{self._where} did not say how large its values are")
            yield answer.content_length, answer.content.iter_any()

    async def events(self, job: JobId, after: int, outbox: Outbox | None = None) -> AsyncIterator[Record]:
        """Yield the job's records from `after` + 1 on, each number once and in order, until the link ends.

        With -1, they begin where a session's newest cell does. Meanwhile it hears what is in the outbox.
        """
        url = f"{self._base}/jobs/{job}/events?after={after}"
        unframer = Unframer()
        async with (
            self._errors(),
            self._socket(url) as socket,
            _sending(socket, outbox),
        ):
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and outbox:
                    outbox.taken(_taken(message.data))
                    continue
                if message.type is aiohttp.WSMsgType.ERROR and not isinstance(
                    message.data, aiohttp.WebSocketError
                ):
                    raise message.data  # it fell silent; what was malformed is said below
                if message.type is not aiohttp.WSMsgType.BINARY:
                    raise BadMessage(f"{self._where} sent something that is no event")
                for data in unframer.feed(message.data):
                    record = decode(data, Record)
                    after = record.seq if after < 0 else after + 1
                    if record.seq != after:
                        raise BadMessage(f"{self._where} sent event {record.seq} where {after} was due")
                    yield record
            if socket.close_code == aiohttp.WSCloseCode.TRY_AGAIN_LATER:
                raise NoRoom("its disk is full; what you say waits until its owner has made room")

    @asynccontextmanager
    async def _socket(self, url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket. A no to that comes without its reason, so that is asked for in another request."""
        try:
            async with self._streams.ws_connect(
                url, ssl=self._context, heartbeat=PING, max_msg_size=2 * MAX_MESSAGE
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError:
            async with self._session.get(url, ssl=self._context) as answer:
                await self._body(answer)
            raise

    async def _post(self, path: str, body: bytes) -> bytes:
        async with (
            self._errors(),
            self._session.post(self._base + path, data=body, ssl=self._context) as answer,
        ):
            return await self._body(answer)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > MAX_MESSAGE:
                raise BadMessage(f"{self._where} answered with more than {MAX_MESSAGE} bytes")
        if answer.status >= 300:
            try:
                raise decode(bytes(body), Refused).as_error()
            except BadMessage as error:
                raise BadMessage(f"{self._where} answered {answer.status}; another version of Homie?") from error
        return bytes(body)

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """Translate what aiohttp and ssl raise; `ssl.SSLError` is an OSError, so it comes first."""
        try:
            yield
        except HomieError:
            raise
        except aiohttp.ServerFingerprintMismatch as error:
            raise PeerUnreachable(f"{self._where} answers with another key than the one known") from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise PeerUnreachable(f"{self._where} is not of our group: {_ADVICE}") from error
        except aiohttp.ServerDisconnectedError as error:
            # A server that rejects our certificate (TLS 1.3) just hangs up.
            raise LinkBroke(f"{self._where} hung up: {_ADVICE}") from error
        except aiohttp.ClientConnectorError as error:
            # asyncio's own text repeats the address
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
            raise PeerUnreachable(f"no answer from {self._where} ({reason.lower()})") from error
        except TimeoutError as error:
            raise LinkBroke(f"no answer from {self._where} in time") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error.__cause__, HomieError):
                raise error.__cause__ from None  # raised by what gave the bytes of an upload
            raise LinkBroke(f"the link to {self._where} broke ({error})") from error


@asynccontextmanager
async def _sending(socket: aiohttp.ClientWebSocketResponse, outbox: Outbox | None) -> AsyncIterator[None]:
    """Send what comes into the outbox, all that was not taken first."""

    async def send(outbox: Outbox) -> None:
        with suppress(ConnectionError):  # the receiving side says what that means
            async for said in outbox.sending():
                await socket.send_bytes(encode(said))

    if outbox is None:
        yield
        return
    task = asyncio.create_task(send(outbox), name="send inputs")
    try:
        yield
    finally:
        task.cancel()


def _taken(text: str) -> Taken:
    try:
        return msgspec.json.decode(text, type=Taken)
    except msgspec.DecodeError as error:
        raise BadMessage(f"not a valid message: {error}") from error


async def read_chunks(path: Path, size: int, progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Yield a file's content for an upload; `progress` hears the size of each piece.

    Raises TransferError if it is not the `size` bytes any more that were announced.
    """
    left = size
    try:
        with path.open("rb", buffering=0) as file:  # 256 KiB: as quick as a thread switch
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                progress(len(chunk))
                yield chunk
            grown = bool(file.read(1))
    except OSError as error:
        raise TransferError(f"{path} cannot be read any more ({error.strerror})") from error
    if left or grown:
        raise TransferError(f"{path} was changed while it was being sent; send it again when it is at rest")
