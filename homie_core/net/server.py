"""The peer API: what other nodes of the group may ask of this one, over mutual TLS.

POST /v1/hello                          who are you, what do you offer
POST /v1/jobs?place=N                   take this job (the same id again: the same answer), unless it would have to
                                        wait, and beyond place N: then say where, and take nothing
POST /v1/jobs/reports                   how do these jobs stand
PUT  /v1/jobs/{job}/inputs/{digest}     here is a file of it
GET  /v1/jobs/{job}/events?after=N      WebSocket: its events, from N + 1 on (-1: from the newest cell on), until
                                        it has ended; the other way,
                                        for a session, what it is told, answered by what was taken (text)
POST /v1/jobs/{job}/expect              which of these files for a running session are missing
POST /v1/jobs/{job}/place               put them into its folder
PUT, GET /v1/jobs/{job}/parcels/{name}  values into a session that runs, or out of it
GET  /v1/jobs/{job}/results/{digest}    a file it made
POST /v1/jobs/{job}/lease               let it run on, by a ticket; the next one
POST /v1/jobs/{job}/stop                stop it
DELETE /v1/jobs/{job}                   it has ended and its submitter has everything

The caller is the id of its certificate; a job answers to its own submitter only.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import WSCloseCode, web

from homie_core.model.errors import CannotWrite
from homie_core.model.event import Accepted, Queued
from homie_core.model.job import JobSpec, Ticket
from homie_core.model.names import Digest, JobId, PeerId
from homie_core.model.peer import Hello
from homie_core.model.report import ReportRequest, Reports
from homie_core.model.session import Input, Missing, ParcelName, Place, Taken
from homie_core.model.wire import MAX_MESSAGE, decode
from homie_core.net.http import CHUNK, after_of, answer, application, converse, length_of, message_of, place_of
from homie_core.net.tls import peer_id_of

JOB = "{job:[0-9a-f]{12}}"
PARCEL = "{parcel:[0-9a-f]{16}}"
DIGEST = "{digest:[0-9a-f]{64}}"
PING = 10.0
"""Seconds between WebSocket pings; a link that is silent for longer is dead."""


class Sink(Protocol):
    """Where an uploaded file's bytes go."""

    def write(self, data: bytes) -> None: ...


Greet = Callable[[PeerId, str, Hello], Hello]
"""Answers the hello of a caller who has this id and called from this address."""


class Host(Protocol):
    """What stands behind the jobs of the peer API. Every method raises HomieError with the reason for a no."""

    def offer(self, caller: PeerId, spec: JobSpec, most: int | None) -> Accepted | Queued: ...

    def report(self, caller: PeerId, request: ReportRequest) -> Reports: ...

    def receive(self, caller: PeerId, job: JobId, digest: Digest) -> AbstractContextManager[Sink]: ...

    def expect(self, caller: PeerId, job: JobId, place: Place) -> Missing: ...

    async def place(self, caller: PeerId, job: JobId, place: Place) -> None: ...

    def take_parcel(
        self, caller: PeerId, job: JobId, name: ParcelName, size: int
    ) -> AbstractContextManager[Sink]: ...

    def give_parcel(
        self, caller: PeerId, job: JobId, name: ParcelName
    ) -> AbstractContextManager[tuple[int, int]]: ...

    async def tell(self, caller: PeerId, job: JobId, said: Input) -> Taken: ...

    async def renew(self, caller: PeerId, job: JobId, ticket: Ticket) -> Ticket: ...

    def events(self, caller: PeerId, job: JobId, after: int) -> AsyncIterator[bytes]: ...

    def result(self, caller: PeerId, job: JobId, digest: Digest) -> AbstractContextManager[Path]: ...

    def stop(self, caller: PeerId, job: JobId) -> None: ...

    def forget(self, caller: PeerId, job: JobId) -> None: ...


class PeerServer:
    """Serves the peer API on one address and port."""

    def __init__(self, host: Host, greet: Greet, context: ssl.SSLContext) -> None:
        self._host, self._greet, self._context = host, greet, context
        app = application()
        app.router.add_post("/v1/hello", self._hello)
        app.router.add_post("/v1/jobs", self._offer)
        app.router.add_post("/v1/jobs/reports", self._report)
        app.router.add_put(f"/v1/jobs/{JOB}/inputs/{DIGEST}", self._receive)
        app.router.add_post(f"/v1/jobs/{JOB}/expect", self._expect)
        app.router.add_post(f"/v1/jobs/{JOB}/place", self._place)
        app.router.add_put(f"/v1/jobs/{JOB}/parcels/{PARCEL}", self._take_parcel)
        app.router.add_get(f"/v1/jobs/{JOB}/parcels/{PARCEL}", self._give_parcel, allow_head=False)
        app.router.add_get(f"/v1/jobs/{JOB}/events", self._events)
        app.router.add_get(f"/v1/jobs/{JOB}/results/{DIGEST}", self._result)
        app.router.add_post(f"/v1/jobs/{JOB}/lease", self._renew)
        app.router.add_post(f"/v1/jobs/{JOB}/stop", self._stop)
        app.router.add_delete(f"/v1/jobs/{JOB}", self._forget)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def open(self, listen: str, port: int) -> None:
        """Listen; raise OSError if the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, listen, port, ssl_context=self._context).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _hello(self, request: web.Request) -> web.Response:
        hello = await message_of(request, Hello)
        return answer(self._greet(_caller(request), request.remote or "", hello))

    async def _offer(self, request: web.Request) -> web.Response:
        spec = await message_of(request, JobSpec)
        return answer(self._host.offer(_caller(request), spec, place_of(request)))

    async def _report(self, request: web.Request) -> web.Response:
        return answer(self._host.report(_caller(request), await message_of(request, ReportRequest)))

    async def _receive(self, request: web.Request) -> web.Response:
        with self._host.receive(_caller(request), _job(request), Digest(request.match_info["digest"])) as sink:
            async for chunk in request.content.iter_chunked(CHUNK):
                sink.write(chunk)
        return web.Response(status=204)

    async def _expect(self, request: web.Request) -> web.Response:
        return answer(self._host.expect(_caller(request), _job(request), await message_of(request, Place)))

    async def _place(self, request: web.Request) -> web.Response:
        await self._host.place(_caller(request), _job(request), await message_of(request, Place))
        return web.Response(status=204)

    async def _take_parcel(self, request: web.Request) -> web.Response:
        size, name = length_of(request), request.match_info["parcel"]
        with self._host.take_parcel(_caller(request), _job(request), name, size) as sink:
            async for chunk in request.content.iter_chunked(CHUNK):
                sink.write(chunk)
        return web.Response(status=204)

    async def _give_parcel(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["parcel"]
        with self._host.give_parcel(_caller(request), _job(request), name) as (fd, size):
            response = web.StreamResponse()
            response.content_length = size
            await response.prepare(request)
            while size and (chunk := os.read(fd, min(CHUNK, size))):
                size -= len(chunk)
                await response.write(chunk)
            if size:
                raise ConnectionResetError("a parcel was made shorter while it was sent")
            await response.write_eof()
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        caller, job = _caller(request), _job(request)
        events = self._host.events(caller, job, after_of(request))
        socket = web.WebSocketResponse(heartbeat=PING, max_msg_size=MAX_MESSAGE, compress=False)
        await socket.prepare(request)

        async def hear(data: bytes) -> None:
            try:
                taken = await self._host.tell(caller, job, decode(data, Input))
            except CannotWrite:
                await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)  # the caller keeps what it has to say
            else:
                await socket.send_str(msgspec.json.encode(taken).decode())

        await converse(socket, _send(socket, events), hear)
        return socket

    async def _result(self, request: web.Request) -> web.StreamResponse:
        digest = Digest(request.match_info["digest"])
        # Not FileResponse: over TLS its sendfile fallback is eight times slower.
        with (
            self._host.result(_caller(request), _job(request), digest) as path,
            path.open("rb", buffering=0) as file,
        ):
            response = web.StreamResponse()
            response.content_length = path.stat().st_size
            await response.prepare(request)
            while chunk := file.read(CHUNK):
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _renew(self, request: web.Request) -> web.Response:
        ticket = await message_of(request, Ticket)
        return answer(await self._host.renew(_caller(request), _job(request), ticket))

    async def _stop(self, request: web.Request) -> web.Response:
        self._host.stop(_caller(request), _job(request))
        return web.Response(status=204)

    async def _forget(self, request: web.Request) -> web.Response:
        self._host.forget(_caller(request), _job(request))
        return web.Response(status=204)


async def _send(socket: web.WebSocketResponse, events: AsyncIterator[bytes]) -> None:
    async for data in events:
        await socket.send_bytes(data)


def _job(request: web.Request) -> JobId:
    return JobId(request.match_info["job"])


def _caller(request: web.Request) -> PeerId:
    if request.transport is None:
        raise ConnectionResetError("the caller has hung up")
    return peer_id_of(request.transport.get_extra_info("ssl_object"))
