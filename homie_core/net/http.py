"""What the peer API and the local API have in common: messages, and errors that say why."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from homie_core.model.control import Refused
from homie_core.model.errors import BadMessage, HomieError
from homie_core.model.wire import MAX_MESSAGE, decode, encode

log = logging.getLogger(__name__)

CHUNK = 256 << 10
"""Bytes per read and write of a file's content: the fastest size over TLS."""

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application() -> web.Application:
    """Return an application whose handlers may raise HomieError."""
    return web.Application(middlewares=[_explain], client_max_size=MAX_MESSAGE)


async def message_of(request: web.Request, kind: type[T]) -> T:
    """Return the request's body as a `kind`; raise BadMessage for anything else."""
    return decode(await request.read(), kind)


def after_of(request: web.Request) -> int:
    """Return after which event the caller wants to read; -1: from a session's newest cell on."""
    text = request.query.get("after", "0")
    if not re.fullmatch("-1|[0-9]{1,18}", text):
        raise BadMessage("`after` is the number of an event, or -1")
    return int(text)


def place_of(request: web.Request) -> int | None:
    """Return at which place in the queue the caller wants to wait at most; 0: not at all, None: at any."""
    text = request.query.get("place")
    if text is not None and not re.fullmatch("[0-9]{1,6}", text):
        raise BadMessage("`place` is the number of a place in the queue")
    return None if text is None else int(text)


def length_of(request: web.Request) -> int:
    """Return how many bytes the caller sends; one who does not say is refused."""
    if request.content_length is None:
        raise BadMessage("the length of what comes must be said")
    return request.content_length


def answer(message: object, status: int = 200) -> web.Response:
    """Return a response with this message."""
    return web.Response(status=status, body=encode(message), content_type="application/msgpack")


async def converse(
    socket: web.WebSocketResponse, telling: Coroutine[Any, Any, None], hear: Callable[[bytes], Awaitable[None]]
) -> None:
    """Tell and hear at the same time, until all is told or the other side leaves; then close the socket."""

    async def listen() -> None:
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                raise BadMessage("only binary messages mean something here")
            await hear(message.data)

    tasks = asyncio.create_task(telling, name="tell"), asyncio.create_task(listen(), name="listen")
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                with suppress(ConnectionError):  # it has left while it was told something
                    task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadMessage as error:
        return answer(Refused.because(error), status=400)
    except HomieError as error:
        return answer(Refused.because(error), status=409)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return answer(Refused.because(HomieError("an error inside the daemon; its log says more")), status=500)
