"""A container engine, spoken to from asyncio: its calls, streams to its containers, errors with the way out."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from homie_core.model.errors import EngineAway, SandboxError
from homie_core.sandbox.attached import Attached
from homie_core.sandbox.engine_client import PORT, Client, Refused

P = ParamSpec("P")
T = TypeVar("T")
Made = TypeVar("Made", bound=asyncio.Protocol)

TIMEOUT = 60
"""Seconds for one answer of the engine."""
IMPROPER = "container state improper"
"""What Podman calls 500 and Docker 409."""

NOT_INSTALLED = (
    "there is no Docker engine on this machine: install one (Debian, Ubuntu: `sudo apt install docker.io`; "
    "others: https://docs.docker.com/get-docker/)"
)
NOT_RUNNING = (
    "the Docker engine does not answer at {url}: start it (`sudo systemctl start docker`, or Docker Desktop), "
    "or set DOCKER_HOST if it is elsewhere"
)
NO_PERMISSION = (
    "this user may not use the Docker engine at {url}: run `sudo usermod -aG docker $USER`, then log in again"
)


class NoContainer(SandboxError):
    """The container is gone, or not in the state that was asked for."""


class Gone(NoContainer):
    """There is no such container."""


class Engine:
    """One connected engine. Whatever goes wrong comes as SandboxError."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client(url, TIMEOUT)
        """Use its methods through `call` only."""

    @classmethod
    async def connect(cls, url: str | None = None) -> Self:
        """Return the engine at this address (or where one usually is). Raises SandboxError with the way out."""
        engine = cls(url or _usual_url())
        try:
            transport, _ = await engine._open(asyncio.Protocol)
        except OSError as error:
            raise SandboxError(_way_out(error).format(url=engine.url)) from error
        transport.close()
        await engine.call(engine.client.version)
        return engine

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        """Call one of the client's methods."""
        try:
            return await function(*args, **options)
        except Refused as error:
            kind: type[SandboxError] = SandboxError
            if error.status == 404:
                kind = Gone
            elif error.status == 409 or IMPROPER in str(error):
                kind = NoContainer
            raise kind(f"the container engine refused: {error}") from error
        except TimeoutError as error:
            raise EngineAway(f"the container engine has not answered within {TIMEOUT} s") from error
        except (aiohttp.ClientError, msgspec.DecodeError, OSError) as error:
            raise EngineAway(f"the container engine does not answer as it should: {error}") from error

    async def attach(self, container: str) -> tuple[Attached, asyncio.StreamWriter]:
        """Connect to the container's stdin, stdout and stderr, from now on."""
        try:
            transport, attached = await self._open(lambda: Attached(self._path(container)))
        except OSError as error:
            raise EngineAway(f"the container engine at {self.url} does not answer any more: {error}") from error
        try:
            async with asyncio.timeout(TIMEOUT):
                await attached.upgraded
        except BaseException:
            transport.close()
            raise
        loop = asyncio.get_running_loop()
        return attached, asyncio.StreamWriter(transport, attached, attached.reader, loop)

    async def wait(self, container: str) -> None:
        """Return when the container does not run, or there is no engine any more."""
        reader = asyncio.StreamReader()
        try:
            transport, _ = await self._open(lambda: asyncio.StreamReaderProtocol(reader))
        except OSError:
            return
        request = f"POST {self._path(container)}/wait?condition=not-running HTTP/1.1\r\n"
        headers = "Host: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        transport.write((request + headers).encode("ascii"))
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            transport.close()

    def _path(self, container: str) -> str:
        return f"{self.client.prefix}/containers/{container}"

    async def _open(self, make: Callable[[], Made]) -> tuple[asyncio.WriteTransport, Made]:
        loop, address = asyncio.get_running_loop(), urlsplit(self.url)
        if address.scheme == "unix":
            return await loop.create_unix_connection(make, address.path)
        if address.scheme in ("tcp", "http") and address.hostname:
            return await loop.create_connection(make, address.hostname, address.port or PORT)
        raise SandboxError(f"container engines are used over unix:// and tcp:// only, not {self.url}")


def _usual_url() -> str:
    """Return DOCKER_HOST, or the first of the usual sockets that is there."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    usual = [Path("/var/run/docker.sock")]
    usual += [Path.home() / place for place in (".docker/run/docker.sock", ".docker/desktop/docker.sock")]
    return f"unix://{next((path for path in usual if path.exists()), usual[0])}"


def _way_out(error: OSError) -> str:
    """Return what the owner can do when the engine's socket does not open."""
    if isinstance(error, PermissionError):
        return NO_PERMISSION
    installed = shutil.which("docker") or shutil.which("dockerd") or not isinstance(error, FileNotFoundError)
    return NOT_RUNNING if installed else NOT_INSTALLED
