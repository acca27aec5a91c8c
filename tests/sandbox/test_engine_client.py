"""What the engine is told, beside what docker-py would tell it, and what becomes of answers that are none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.types import ContainerConfig, HostConfig
from sandbox_lab import LIMITS

from homie_core.model.errors import EngineAway, SandboxError
from homie_core.model.job import Limits
from homie_core.sandbox.base import Box
from homie_core.sandbox.dialect import DOCKER, PODMAN, Dialect
from homie_core.sandbox.engine import Engine, Gone, NoContainer
from homie_core.sandbox.engine_client import Client, container_config
from homie_core.sandbox.profile import Profile, User, compile_profile, job_profile, probe_profile
from homie_core.sandbox.pull import pull

API = "1.41"
USER = User(10001, 10001)


def job(limits: Limits, dialect: Dialect = DOCKER, limited: bool = True) -> Profile:
    box = Box(node="a" * 64, job="b" * 12, limits=limits, folder=Path("/box"), environments=(Path("/env"),))
    return job_profile(box, "image", USER, Path("/site"), "{}", dialect, limited)


CARDS = Limits(cpus=1.5, memory=1 << 30, timeout=9, gpus=("GPU-1", "GPU-2"))


def given(config: Any) -> Any:
    """Return what is said in it, without what docker-py adds to say nothing."""
    if isinstance(config, list):
        return [given(item) for item in config]
    if not isinstance(config, dict):
        return config
    silent = [None, False, "", {}]
    said = {name: given(value) for name, value in config.items() if (name, value) != ("Count", 0)}
    return {name: value for name, value in said.items() if type(value) is int or value not in silent}


@pytest.mark.parametrize(
    "profile",
    [
        job(LIMITS),
        job(CARDS),
        job(LIMITS, PODMAN),
        job(LIMITS, PODMAN, limited=False),
        compile_profile(Path("/env"), "image", USER, "{}"),
        probe_profile(Path("/probe"), "image", USER, LIMITS, "/seccomp.json", "print()", PODMAN),
    ],
    ids=["job", "job with cards", "podman", "podman without limits", "compile", "probe"],
)
@pytest.mark.parametrize("own", [{}, {"runtime": "runsc"}, {"userns_mode": "host"}], ids=str)
def test_containers_are_those_that_docker_py_would_make(profile: Profile, own: dict[str, str]) -> None:
    theirs = {name: value for name, value in profile.container.items() if name != "use_config_proxy"}
    host = HostConfig(version=API, **profile.host, **own)
    expected = given(ContainerConfig(API, **theirs, host_config=host))
    ours = container_config(**profile.container, host_config=Client.create_host_config(**profile.host, **own))
    assert given(ours) == expected
    assert expected["HostConfig"]["ReadonlyRootfs"] is True
    assert expected["StopTimeout"] == 0


def test_a_user_namespace_that_docker_py_does_not_know() -> None:
    with pytest.raises(ValueError, match="userns_mode"):
        HostConfig(version=API, userns_mode="keep-id")
    assert Client.create_host_config(userns_mode="keep-id", runtime=None) == {"UsernsMode": "keep-id"}


def test_an_argument_that_nobody_knows_is_never_left_out() -> None:
    with pytest.raises(KeyError, match="privileged"):
        Client.create_host_config(privileged=True)
    with pytest.raises(KeyError, match="detach"):
        container_config(detach=False)


Respond = Callable[[str], bytes | None]


@asynccontextmanager
async def engine_that(respond: Respond, path: Path) -> AsyncIterator[list[str]]:
    """An engine that answers each request as told (None: never); yields the requests' first lines."""
    asked: list[str] = []
    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        if head := await reader.readline():  # nothing: somebody looked whether we are there
            asked.append(head.decode().strip())
            said = respond(asked[-1])
            if said is None:
                await reader.read()
                asked.append("hung up")
            else:
                writer.write(said)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield asked
        await asyncio.gather(*filter(None, serving))


def answer(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()


VERSION = answer('{"ApiVersion": "1.41"}')


async def test_the_engines_own_version_is_spoken(short_tmp: Path) -> None:
    async with engine_that(lambda _: VERSION, short_tmp / "engine") as asked:
        engine = await Engine.connect(f"unix://{short_tmp}/engine")
        await engine.call(engine.client.update_container, "c0", mem_limit=1, memswap_limit=1, cpu_quota=1000)
        await engine.wait("c0")
    assert asked == [
        "GET /version HTTP/1.1",
        "POST /v1.41/containers/c0/update HTTP/1.1",
        "POST /v1.41/containers/c0/wait?condition=not-running HTTP/1.1",
    ]


async def test_an_engine_at_a_port() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(VERSION)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        engine = await Engine.connect("tcp://127.0.0.1:{1}".format(*server.sockets[0].getsockname()))
        assert engine.client.prefix == "/v1.41"


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (
            answer('{"message": "No such container: c0"}', "404 Not Found"),
            Gone,
            "refused: No such container",
        ),
        (answer('{"message": "is not running"}', "409 Conflict"), NoContainer, "refused: is not running"),
        (
            answer('{"message": "can only kill running: container state improper"}', "500 Server Error"),
            NoContainer,
            "refused: can only kill",
        ),
        (answer("no JSON", "500 Server Error"), SandboxError, "refused: no JSON"),
        (answer("no JSON"), EngineAway, "does not answer as it should"),
        (b"220 mail.example ESMTP\r\n", EngineAway, "does not answer as it should"),
        (b"", EngineAway, "does not answer as it should"),
    ],
)
async def test_answers_that_are_none(short_tmp: Path, said: bytes, kind: type[SandboxError], why: str) -> None:
    async with engine_that(lambda _: said, short_tmp / "engine"):
        engine = Engine(f"unix://{short_tmp}/engine")
        with pytest.raises(SandboxError, match=why) as caught:
            await engine.call(engine.client.inspect_container, "c0")
    assert type(caught.value) is kind


async def test_an_engine_that_hangs_is_given_up(short_tmp: Path) -> None:
    async with engine_that(lambda _: None, short_tmp / "engine"):
        engine = Engine(f"unix://{short_tmp}/engine")
        engine.client = Client(engine.url, timeout=0.05)
        with pytest.raises(SandboxError, match="has not answered"):
            await engine.call(engine.client.info)


def pulling(*lines: str) -> Respond:
    """An engine that has these lines to say of a pull."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = "".join(f"{len(line) + 2:x}\r\n{line}\r\n\r\n" for line in lines)
    said = head + chunks.encode() + b"0\r\n\r\n"
    return lambda asked: said if "/images/create" in asked else VERSION


def layer(current: int) -> str:
    return f'{{"status": "Downloading", "id": "a", "progressDetail": {{"current": {current}, "total": 100}}}}'


async def test_a_pull_tells_how_far_it_is(short_tmp: Path) -> None:
    told: list[str] = []
    async with engine_that(pulling(layer(7), layer(50), layer(100)), short_tmp / "engine") as asked:
        await pull(f"unix://{short_tmp}/engine", "registry.example/python:3.12", told.append)
    pulled = "pulling registry.example/python:3.12"
    assert told == [pulled, f"{pulled} 7 %", f"{pulled} 50 %", f"{pulled} 100 %"]
    assert asked[-1] == "POST /v1.41/images/create?tag=3.12&fromImage=registry.example%2Fpython HTTP/1.1"


async def test_a_pull_that_fails_says_why_and_the_way_out(short_tmp: Path) -> None:
    async with engine_that(pulling(layer(7), '{"error": "no space left"}'), short_tmp / "engine"):
        with pytest.raises(SandboxError, match=r"x:1 cannot be pulled \(no space left\).*container_base_image"):
            await pull(f"unix://{short_tmp}/engine", "x:1", lambda _: None)


async def test_a_pull_ends_with_the_daemon(short_tmp: Path) -> None:
    begun = asyncio.Event()

    def respond(asked: str) -> bytes | None:
        if "/images/create" not in asked:
            return VERSION
        begun.set()
        return None

    async with engine_that(respond, short_tmp / "engine") as asked, asyncio.timeout(20):
        pull_it = asyncio.create_task(pull(f"unix://{short_tmp}/engine", "x:1", lambda _: None))
        await begun.wait()
        pull_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull_it
        while asked[-1] != "hung up":
            await asyncio.sleep(0.01)
