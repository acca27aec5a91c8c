"""What the peer API and the local API have in common: message bodies, and errors that say why."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

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


def answer(message: object, status: int = 200) -> web.Response:
    """Return a response with this message."""
    return web.Response(status=status, body=encode(message), content_type="application/msgpack")


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
