"""A Docker engine, spoken to from asyncio: docker-py in a few threads; what waits for long needs none of them."""

import asyncio
import functools
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

from homie_core.model.errors import SandboxError
from homie_core.sandbox.attached import Attached

P = ParamSpec("P")
T = TypeVar("T")
Made = TypeVar("Made", bound=asyncio.Protocol)

TIMEOUT = 60
"""Seconds for one answer of the engine; a pull answers all the time."""

PORT = 2375

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


class Engine:
    """One connected engine. Whatever goes wrong comes as SandboxError."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = None
        """docker-py's APIClient; use its methods through `call` only."""
        self.closing = False
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="docker")

    @classmethod
    async def connect(cls, url: str | None = None) -> Self:
        """Return the engine at this address (or where one usually is). Raises SandboxError with the way out."""
        engine = cls(url or _usual_url())
        try:
            transport, _ = await engine._open(asyncio.Protocol)
            transport.close()
            engine.client = await engine.call(_make_client, engine.url)
        except OSError as error:
            await engine.close()
            raise SandboxError(_way_out(error).format(url=engine.url)) from error
        except BaseException:
            await engine.close()
            raise
        return engine

    async def call(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run one of the client's methods in a thread."""
        work = functools.partial(_translated, functools.partial(function, *args, **options))
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def attach(self, container: str) -> tuple[Attached, asyncio.StreamWriter]:
        """Connect to the container's stdin, stdout and stderr, from now on."""
        try:
            transport, attached = await self._open(lambda: Attached(container))
        except OSError as error:
            raise SandboxError(f"the container engine at {self.url} does not answer any more: {error}") from error
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
        request = f"POST /containers/{container}/wait?condition=not-running HTTP/1.1\r\n"
        headers = "Host: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        transport.write((request + headers).encode("ascii"))
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            transport.close()

    async def close(self) -> None:
        """Let go of it; a pull under way stops at its next line."""
        self.closing = True
        if self.client:
            self.client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _open(self, make: Callable[[], Made]) -> tuple[asyncio.WriteTransport, Made]:
        loop, address = asyncio.get_running_loop(), urlsplit(self.url)
        if address.scheme == "unix":
            return await loop.create_unix_connection(make, address.path)
        if address.scheme in ("tcp", "http") and address.hostname:
            return await loop.create_connection(make, address.hostname, address.port or PORT)
        raise SandboxError(f"Docker engines are used over unix:// and tcp:// only, not {self.url}")


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


def _make_client(url: str) -> Any:
    import docker  # 0.2 s, which a daemon that hosts nothing need not wait for

    return docker.APIClient(base_url=url, version="auto", timeout=TIMEOUT)


def _translated(work: Callable[[], T]) -> T:
    """Do it; turn what docker-py and requests raise into SandboxError."""
    from docker.errors import APIError, DockerException
    from requests import RequestException

    try:
        return work()
    except APIError as error:
        why = str(error.explanation or error)
        gone = error.status_code in (404, 409) or "container state improper" in why  # Podman calls that 500
        kind = NoContainer if gone else SandboxError
        raise kind(f"the container engine refused: {why}") from error
    except (DockerException, RequestException, OSError) as error:
        raise SandboxError(f"the container engine does not answer as it should: {error}") from error
