"""A sandbox that waits: one job takes it with its own limits, nothing of it stays, another takes its place."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from made_ready import give_environments, keep_environments
from msgspec import structs

from homie_core.daemon.pool import LEAST_MEMORY, Pool, Ready, Workshop, fits
from homie_core.daemon.running import Running
from homie_core.model.event import Output
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits
from homie_core.sandbox.base import Box
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.program import RUNNER_REQUIREMENTS

NODE = "1" * 56 + secrets.token_hex(4)
COMMON = Limits(cpus=1, memory=512 << 20, timeout=60.0)
MEMORY = "print(open('/sys/fs/cgroup/memory/memory.limit_in_bytes').read())"


class Host:
    """A host with a pool, without network and journal."""

    def __init__(self, workshop, folder):
        self.workshop, self.folder = workshop, folder
        self.pool = Pool(workshop, NODE, folder / "pool", COMMON, 1)

    async def waiting(self) -> Ready:
        """Return the sandbox that waits, once there is one."""
        async with asyncio.timeout(60):
            while not self.pool._ready:
                await asyncio.sleep(0.01)
        ((ready, _),) = self.pool._ready.values()
        return ready

    def running(self, source, limits=COMMON):
        digest = hashlib.sha256(source.encode()).hexdigest()
        file = FileRef(name="main.py", digest=digest, size=len(source.encode()))
        spec = JobSpec(id=secrets.token_hex(6), kind=Kind.SCRIPT, entry="main.py", files=(file,))
        received = self.folder / spec.id / "received"
        received.mkdir(parents=True)
        (received / digest).write_text(source)
        return Running(self.workshop, self.pool, NODE, spec, limits, self.folder / spec.id, lambda _: None)

    async def run(self, source, limits=COMMON, on_output: Callable[[Running], None] = lambda _: None):
        running, out = self.running(source, limits), b""
        try:
            async for event, _ in running.events():
                if isinstance(event, Output):
                    out += event.data
                    on_output(running)
            assert running._ready is not None, running.outcome
            return running._ready.box.folder.parent.name, out.decode(), running.outcome
        finally:
            await running.close()


@pytest.fixture
async def host(base_image, tmp_path) -> AsyncIterator[Host]:
    backend = Docker(base_image)
    interpreter = await backend.prepare(print)
    give_environments(tmp_path)
    environments = Environments(tmp_path / "environments", compile=backend.compile)
    host = Host(Workshop(backend, interpreter, environments, RUNNER_REQUIREMENTS), tmp_path)
    yield host
    await host.pool.close()
    left = await backend.sweep(NODE, frozenset())
    await backend.close()
    keep_environments(tmp_path)
    assert left == 0, "something was left behind"
    assert list((tmp_path / "pool").iterdir()) == []


docker = pytest.mark.docker


@docker
async def test_a_job_takes_the_one_that_waits_with_its_files_and_its_own_limits(host):
    await host.waiting()
    limits = structs.replace(COMMON, memory=256 << 20, timeout=20.0)
    place, out, outcome = await host.run(MEMORY, limits)
    assert (place, outcome.how, outcome.status) == ("pool", How.EXITED, 0)
    assert int(out) == 256 << 20


@docker
async def test_the_next_job_finds_nothing_of_the_one_before(host):
    first = await host.waiting()
    await host.run("for at in '/work', '/tmp', '/spool', '/dev/shm': open(at + '/marker', 'w').write('x')")
    second = await host.waiting()
    assert first.box.job != second.box.job
    look = "import os; print([at for at in ('/work', '/tmp', '/spool', '/dev/shm') if 'marker' in os.listdir(at)])"
    assert (await host.run(look))[:2] == ("pool", "[]\n")


@docker
async def test_one_that_dies_while_it_waits_is_replaced(host):
    first = await host.waiting()
    await first.sandbox.kill()
    async with asyncio.timeout(30):
        while first.box.job in host.pool._ready:
            await asyncio.sleep(0.01)
    assert (await host.waiting()).box.job != first.box.job


@docker
async def test_many_at_once_all_run_and_only_one_is_warm(host):
    await host.waiting()
    done = await asyncio.gather(*(host.run(f"print({number})") for number in range(4)))
    assert [out for _, out, _ in done] == ["0\n", "1\n", "2\n", "3\n"]
    assert sorted(place == "pool" for place, _, _ in done) == [False, False, False, True]


@docker
async def test_deadline_memory_output_and_stop_end_it_as_anywhere_else(host):
    async def how(source, **changes):
        await host.waiting()
        on_output = changes.pop("on_output", lambda _: None)
        place, _, outcome = await host.run(source, limits=structs.replace(COMMON, **changes), on_output=on_output)
        assert (place == "pool") == ("output" not in changes), "one that waits has the usual cap of output"
        return outcome.how

    assert await how("import time; time.sleep(60)", timeout=0.5) is How.DEADLINE
    assert await how("x = b'x' * (1 << 30)", memory=LEAST_MEMORY) is How.MEMORY
    assert await how("print('x' * 100_000)", output=50_000) is How.OUTPUT
    asleep = "import time; print(1, flush=True); time.sleep(60)"
    assert await how(asleep, on_output=lambda running: running.stop(How.STOPPED)) is How.STOPPED


def test_what_cannot_be_changed_any_more_needs_a_sandbox_of_its_own(tmp_path):
    env = tmp_path / "env"
    box = Box(NODE, "0" * 12, COMMON, tmp_path, (env,))
    assert fits(box, structs.replace(COMMON, cpus=0.5, memory=1 << 30, timeout=5.0), (env,))
    assert fits(box, COMMON, ())
    assert not fits(box, COMMON, (tmp_path / "other",))
    assert not fits(replace(box, environments=()), COMMON, (env,))
    for changed in ({"gpus": ("GPU-1",)}, {"disk": 1 << 20}, {"tmp": 1 << 20}, {"pids": 9}, {"memory": 64 << 20}):
        assert not fits(box, structs.replace(COMMON, **changed), ())
