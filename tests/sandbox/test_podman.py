"""Podman: its engine as a child of ours, and runtimes."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from podman_lab import IMAGE, PodmanLab, answers
from sandbox_lab import Lab
from waiting import wait_until

from homie_core.model.errors import SandboxError
from homie_core.model.peer import Holds
from homie_core.sandbox import disk, selftest
from homie_core.sandbox.podman import Podman, Service

pytestmark = pytest.mark.docker

HOLD = """
import asyncio, sys
from pathlib import Path
from homie_core.sandbox.podman import Service
async def main():
    service = Service(Path(sys.argv[1]))
    await service.start()
    print("started", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def at_home(podman_lab: PodmanLab, monkeypatch: pytest.MonkeyPatch) -> PodmanLab:
    """Podman's programs that we start find the laboratory's storage, and no engine that runs."""
    monkeypatch.delenv("CONTAINER_HOST")
    monkeypatch.setattr("homie_core.sandbox.podman._usual_socket", lambda: Path("/nonexistent/podman.sock"))
    for name, value in podman_lab.env.items():
        monkeypatch.setenv(name, value)
    return podman_lab


async def test_where_no_engine_answers_one_is_started_and_ends_with_us(
    at_home: PodmanLab, short_tmp: Path
) -> None:
    backend = Podman(IMAGE, short_tmp)
    interpreter = await backend.prepare(lambda said: None)
    assert interpreter.version >= "3.11"
    assert backend.name.startswith("podman ")
    assert answers(short_tmp / "podman.sock")
    assert (await Lab(backend, short_tmp).run("print('hello')")).out == b"hello\n"
    await backend.close()
    assert not (short_tmp / "podman.sock").exists()


async def test_an_engine_that_somebody_else_started_is_used(
    at_home: PodmanLab, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Path(at_home.start().removeprefix("unix://"))
    monkeypatch.setattr("homie_core.sandbox.podman._usual_socket", lambda: theirs)
    backend = Podman(IMAGE, short_tmp)
    await backend.prepare(lambda said: None)
    await backend.close()
    assert not list(short_tmp.iterdir())
    assert answers(theirs)


def test_the_engine_ends_with_a_daemon_that_is_killed(at_home: PodmanLab, short_tmp: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, short_tmp], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout
        assert daemon.stdout.readline() == b"started\n"
        assert answers(short_tmp / "podman.sock")
        daemon.kill()
    wait_until(lambda: not answers(short_tmp / "podman.sock"), "it outlived the daemon")


async def test_an_engine_that_dies_is_started_again(
    at_home: PodmanLab, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homie_core.sandbox.podman.PAUSE", 0.0)
    service = Service(short_tmp)
    await service.start()
    try:
        assert service._process
        first = service._process.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while service._process.pid == first or not answers(short_tmp / "podman.sock"):
                await asyncio.sleep(0.02)
    finally:
        await service.end()


async def test_no_podman_at_all(monkeypatch: pytest.MonkeyPatch, short_tmp: Path) -> None:
    monkeypatch.setenv("PATH", str(short_tmp))
    with pytest.raises(SandboxError, match="there is no Podman on this machine: install it"):
        await Service(short_tmp).start()


async def test_a_runtime_that_is_not_there(at_home: PodmanLab, short_tmp: Path) -> None:
    backend = Podman(IMAGE, short_tmp, runtime="nosuch")
    with pytest.raises(SandboxError, match=r'does not start: .*"nosuch" not found.*sandbox_runtime is nosuch'):
        await backend.prepare(lambda said: None)
    await backend.close()


async def test_another_runtime_than_the_engines_is_not_forgotten_silently(
    podman_lab: PodmanLab, short_tmp: Path
) -> None:
    backend = Podman(IMAGE, short_tmp, url=podman_lab.start(), runtime="runsc")
    with pytest.raises(SandboxError, match="sandbox_runtime is runsc, and podman runs containers with runc"):
        await backend.prepare(lambda said: None)
    await backend.close()


async def test_an_image_that_nobody_has(podman_lab: PodmanLab, short_tmp: Path) -> None:
    said: list[str] = []
    backend = Podman("localhost:1/no/such:image", short_tmp, url=podman_lab.start())
    with pytest.raises(SandboxError, match=r"cannot be pulled \(.*localhost:1.*\)\. Is this machine online"):
        await backend.prepare(said.append)
    assert said == ["pulling localhost:1/no/such:image"]
    await backend.close()


async def test_crun_isolates_as_well(
    podman_lab: PodmanLab, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_may_mount", lambda: False)  # this engine has mounts of its own
    backend = Podman(IMAGE, short_tmp, url=podman_lab.start("crun"), runtime="crun")
    await backend.prepare(lambda said: None)
    verdict = await selftest.try_out(backend)
    assert (verdict.isolated, verdict.why) == (True, "")
    assert verdict.holds == {
        "memory": Holds.EXACT, "processes": Holds.EXACT, "cpu": Holds.EXACT, "disk": Holds.SOFT
    }  # fmt: skip
    result = await Lab(backend, short_tmp).run("x = b'x' * (400 << 20)")
    assert result.end
    assert result.end.out_of_memory
    await backend.close()
