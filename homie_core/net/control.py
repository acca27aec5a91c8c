"""The local API: what front ends of this user may ask of their daemon, over a Unix socket.

GET    /v1/status              how the daemon is doing          GET  /v1/peers        who is there
POST   /v1/peers               a peer broadcast cannot reach    DELETE /v1/peers/{who}  forget a peer
POST   /v1/peers/{who}/trust   show its outputs unfiltered      DELETE /v1/peers/{who}/trust  filter them
POST   /v1/runs                run this; streams its news       GET  /v1/runs/{job}   its news again
GET    /v1/jobs                jobs that are under way or whose end nobody has seen; with ?ended=1 all of them
GET    /v1/jobs/{start}        the one job of mine whose id begins so
GET    /v1/jobs/{job}/past     streams what has happened to it so far
POST   /v1/jobs/{job}/results  bring the files of one that has ended here
POST   /v1/plan                what would become of it
POST   /v1/runs/{job}/stop     stop it                          POST /v1/runs/{job}/files  send files to a session
POST   /v1/runs/{job}/fetch    bring files of a session here
PUT, GET /v1/runs/{job}/parcels/{name}  values to a session that runs, or from it
GET    /v1/channel             WebSocket: open a session (the first message is its RunRequest), hear its news,
                               tell it things; with ?job=J&after=N&results=DIR one that is open already
POST   /v1/shutdown            end the daemon

The lock is the socket: mode 0600 in a folder of mode 0700, and the caller's uid is checked. Hanging up in the
middle of a run detaches; the job goes on.
"""

import asyncio
import logging
import os
import re
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from homie_core.model.control import (
    AddPeer,
    FetchRequest,
    Follow,
    GetRequest,
    JobView,
    JobViews,
    News,
    Plan,
    PutRequest,
    Refused,
    RunRequest,
    Status,
)
from homie_core.model.errors import BadMessage, ConfigError, HomieError
from homie_core.model.names import JobId
from homie_core.model.peer import Peer
from homie_core.model.session import ParcelName, Told
from homie_core.model.wire import MAX_MESSAGE, decode, frame
from homie_core.net.http import CHUNK, after_of, answer, application, converse, length_of, message_of
from homie_core.net.server import JOB, PARCEL

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 100
"""Bytes; the system's own limit is 104 to 108."""


class Control(Protocol):
    """What stands behind the node part of the local API. Every method may raise HomieError."""

    def status(self) -> Status: ...

    def peers(self) -> list[Peer]: ...

    async def add_peer(self, wanted: AddPeer) -> Peer: ...

    async def remove_peer(self, who: str) -> None: ...

    def trust_peer(self, who: str) -> Peer: ...

    def untrust_peer(self, who: str) -> None: ...

    def shutdown(self) -> None: ...


Tell = Callable[[Told], Awaitable[None]]
"""Tells a session something; waits while it has much to take in."""


class Sender(Protocol):
    """What stands behind the runs of the local API. Every method may raise HomieError."""

    def run(self, request: RunRequest) -> AsyncGenerator[News]: ...

    async def plan(self, request: RunRequest) -> Plan: ...

    def follow(self, job: JobId, after: int, results: str | None) -> AsyncGenerator[News]: ...

    def put(self, job: JobId, request: PutRequest) -> AsyncGenerator[News]: ...

    def fetch(self, job: JobId, request: FetchRequest) -> AsyncGenerator[News]: ...

    def channel(self, opening: RunRequest | Follow) -> tuple[AsyncGenerator[News], Tell]: ...

    async def send_parcel(self, job: JobId, name: ParcelName, size: int, chunks: AsyncIterator[bytes]) -> None: ...

    def parcel(
        self, job: JobId, name: ParcelName
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]: ...

    async def stop(self, job: JobId) -> None: ...


class Listing(Protocol):
    """What stands behind the jobs of the local API, followed or not. Every method may raise HomieError."""

    async def views(self, ended: bool) -> JobViews: ...

    async def find(self, start: str) -> JobView: ...

    def past(self, job: JobId) -> AsyncGenerator[News]: ...

    def get(self, job: JobId, request: GetRequest) -> AsyncGenerator[News]: ...


class ControlServer:
    """Serves the local API on a Unix socket of its own."""

    def __init__(self, control: Control, sender: Sender, jobs: Listing, path: Path) -> None:
        self._control, self._sender, self._jobs, self._path = control, sender, jobs, path
        app = application()
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/peers", self._peers)
        app.router.add_post("/v1/peers", self._add_peer)
        app.router.add_delete("/v1/peers/{who}", self._remove_peer)
        app.router.add_post("/v1/peers/{who}/trust", self._trust_peer)
        app.router.add_delete("/v1/peers/{who}/trust", self._untrust_peer)
        app.router.add_post("/v1/runs", self._run)
        app.router.add_post("/v1/plan", self._plan)
        app.router.add_get(f"/v1/runs/{JOB}", self._follow)
        app.router.add_post(f"/v1/runs/{JOB}/stop", self._stop)
        app.router.add_post(f"/v1/runs/{JOB}/files", self._put)
        app.router.add_post(f"/v1/runs/{JOB}/fetch", self._fetch)
        app.router.add_put(f"/v1/runs/{JOB}/parcels/{PARCEL}", self._send_parcel)
        app.router.add_get(f"/v1/runs/{JOB}/parcels/{PARCEL}", self._fetch_parcel, allow_head=False)
        app.router.add_get("/v1/jobs", self._views)
        app.router.add_get("/v1/jobs/{start:[0-9a-f]{1,12}}", self._find)
        app.router.add_get(f"/v1/jobs/{JOB}/past", self._past)
        app.router.add_post(f"/v1/jobs/{JOB}/results", self._get)
        app.router.add_get("/v1/channel", self._channel)
        app.router.add_post("/v1/shutdown", self._shutdown)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, handler_cancellation=True
        )

    async def open(self) -> None:
        """Listen; a socket that a dead daemon left is replaced (the caller holds the home's lock)."""
        if len(os.fsencode(self._path)) > MAX_SOCKET_PATH:
            raise ConfigError(f"{self._path} is too long for a socket; set HOMIE_HOME to a shorter folder")
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(self._path))
        finally:
            os.umask(before)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _status(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(self._control.status())

    async def _peers(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(self._control.peers())

    async def _add_peer(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(await self._control.add_peer(await message_of(request, AddPeer)))

    async def _remove_peer(self, request: web.Request) -> web.Response:
        _check_user(request)
        await self._control.remove_peer(request.match_info["who"])
        return web.Response(status=204)

    async def _trust_peer(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(self._control.trust_peer(request.match_info["who"]))

    async def _untrust_peer(self, request: web.Request) -> web.Response:
        _check_user(request)
        self._control.untrust_peer(request.match_info["who"])
        return web.Response(status=204)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        return await _stream(request, self._sender.run(await message_of(request, RunRequest)))

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        wish = _wish(request, request.match_info["job"])
        return await _stream(request, self._sender.follow(wish.job, wish.after, wish.results))

    async def _plan(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(await self._sender.plan(await message_of(request, RunRequest)))

    async def _views(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(await self._jobs.views("ended" in request.query))

    async def _find(self, request: web.Request) -> web.Response:
        _check_user(request)
        return answer(await self._jobs.find(request.match_info["start"]))

    async def _past(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        return await _stream(request, self._jobs.past(JobId(request.match_info["job"])))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        job = JobId(request.match_info["job"])
        return await _stream(request, self._jobs.get(job, await message_of(request, GetRequest)))

    async def _put(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        job = JobId(request.match_info["job"])
        return await _stream(request, self._sender.put(job, await message_of(request, PutRequest)))

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        job = JobId(request.match_info["job"])
        return await _stream(request, self._sender.fetch(job, await message_of(request, FetchRequest)))

    async def _send_parcel(self, request: web.Request) -> web.Response:
        _check_user(request)
        job, name, size = JobId(request.match_info["job"]), request.match_info["parcel"], length_of(request)
        await self._sender.send_parcel(job, name, size, request.content.iter_chunked(CHUNK))
        return web.Response(status=204)

    async def _fetch_parcel(self, request: web.Request) -> web.StreamResponse:
        _check_user(request)
        job, name = JobId(request.match_info["job"]), request.match_info["parcel"]
        async with self._sender.parcel(job, name) as (size, chunks):
            response = web.StreamResponse()
            response.content_length = size
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _channel(self, request: web.Request) -> web.WebSocketResponse:
        _check_user(request)
        job = request.query.get("job")
        wish = _wish(request, job) if job else None
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
        await socket.prepare(request)
        news, tell = self._sender.channel(wish or decode(await socket.receive_bytes(), RunRequest))
        told: Any = Told
        await converse(socket, _pour(news, socket.send_bytes), lambda data: tell(decode(data, told)))
        return socket

    async def _stop(self, request: web.Request) -> web.Response:
        _check_user(request)
        await self._sender.stop(JobId(request.match_info["job"]))
        return web.Response(status=204)

    async def _shutdown(self, request: web.Request) -> web.Response:
        _check_user(request)
        self._control.shutdown()
        return web.Response(status=204)


async def _stream(request: web.Request, news: AsyncGenerator[News]) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await _pour(news, response.write)
    await response.write_eof()
    return response


async def _pour(news: AsyncGenerator[News], write: Callable[[bytes], Awaitable[None]]) -> None:
    """Write all news as frames; an error is the last of them."""
    try:
        async with aclosing(news):
            async for item in news:
                await write(frame(item))
    except HomieError as error:
        await write(frame(Refused.because(error)))
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        log.exception("the news of a job failed")
        await write(frame(Refused.because(HomieError("an error inside the daemon; see its log"))))


def _wish(request: web.Request, job: str) -> Follow:
    """Return which job is to be followed from where on."""
    if not re.fullmatch("[0-9a-f]{12}", job):
        raise BadMessage("`job` is no id of a job")
    return Follow(job=JobId(job), after=after_of(request), results=request.query.get("results"))


def _check_user(request: web.Request) -> None:
    """Refuse other users, should the socket's mode ever be loosened (root may do as it likes anyway)."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None or not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in (0, os.getuid()):
        raise web.HTTPForbidden(text="this socket belongs to another user")
