"""Jobs in real sandboxes of both kinds: every byte, then the exit status; cells as in a notebook."""

import asyncio
import copy
import time

import pytest
from sandbox_lab import NODE, Lab, Result

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.sandbox.link import Link, ProgramEnd

pytestmark = pytest.mark.docker
docker_only = pytest.mark.parametrize("prepared", ["docker"], indirect=True)
engines = pytest.mark.parametrize("prepared", ["docker", "podman"], indirect=True)


async def test_output_arguments_and_status(lab: Lab) -> None:
    source = "import sys; print(sys.argv[1:]); print('bad', file=sys.stderr); sys.exit(3)"
    result = await lab.run(source, args=("--epochs", "10"))
    assert (result.out, result.err) == (b"['--epochs', '10']\n", b"bad\n")
    assert result.program == ProgramEnd(status=3, signal=None, deadline=False)
    assert result.end
    assert (result.end.exit_code, result.end.out_of_memory, result.end.detail) == (0, False, "")


async def test_two_thousand_lines_at_once(lab: Lab) -> None:
    result = await lab.run("for i in range(2000): print(i)")
    assert result.out.split() == [b"%d" % i for i in range(2000)]


async def test_a_million_lines_complete_and_in_order(lab: Lab) -> None:
    result = await lab.run("import sys\nfor i in range(1_000_000): sys.stdout.write(f'{i}\\n')")
    assert result.out == b"".join(b"%d\n" % i for i in range(1_000_000))
    assert result.status == 0


async def test_a_lost_connection_loses_nothing(lab: Lab) -> None:
    box, result = lab.box("import sys\nfor i in range(1_000_000): sys.stdout.write(f'line {i}\\n')"), Result()
    sandbox, link = await lab.start(box)
    for _ in range(5):
        async for record in link:
            result.add(record)
            if record.seq % 3 == 0:
                break  # with more under way to us
        await link.ack(result.seqs[-1] - 1)
        link = Link(*await sandbox.attach())
        await link.connect(after=result.seqs[-1])
    async for record in link:
        result.add(record)
    await link.ack(result.seqs[-1])
    assert (await sandbox.end()).exit_code == 0
    await sandbox.remove()
    assert result.out == b"".join(b"line %d\n" % i for i in range(1_000_000))
    assert result.seqs == list(range(1, len(result.seqs) + 1))


async def test_a_sandbox_killed_from_outside_just_ends(lab: Lab) -> None:
    sandbox, link = await lab.start(lab.box("print('here', flush=True)\nimport time; time.sleep(60)"))
    result = Result()
    async for record in link:
        result.add(record)
        if result.out:
            await sandbox.kill()
    end = await sandbox.end()
    await sandbox.kill()
    await sandbox.remove()
    await sandbox.remove()
    assert (result.program, end.exit_code, end.out_of_memory) == (None, 137, False)
    assert (await sandbox.end()).exit_code is None


async def test_last_words_of_a_runner_that_cannot_run(lab: Lab) -> None:
    box = lab.box("print(1)")
    box.spool.chmod(0o000)
    sandbox, link = await lab.start(box)
    assert [record async for record in link] == []
    end = await sandbox.end()
    await sandbox.remove()
    assert end.exit_code == 70
    assert end.detail.startswith("runner: PermissionError")


async def test_files_come_back(lab: Lab) -> None:
    result = await lab.run("import os; os.makedirs('out'); open('out/a.txt', 'w').write('hello')")
    assert result.collected
    assert [file.name for file in result.collected.files] == ["main.py", "out/a.txt"]
    assert result.collected.skipped == ()


async def test_a_sandbox_that_runs_is_removed_at_once(lab: Lab) -> None:
    """Podman would ask first, and wait for ten seconds."""
    sandbox, _ = await lab.start(lab.box("import time; time.sleep(60)"))
    began = time.monotonic()
    await sandbox.remove()
    assert time.monotonic() - began < 5


@engines
async def test_frozen_and_thawed(lab: Lab) -> None:
    sandbox, link = await lab.start(lab.box("import time\nwhile True: print(1, flush=True); time.sleep(0.01)"))
    await sandbox.freeze(True)
    engine = lab.backend._engine
    found = await engine.call(engine.client.inspect_container, sandbox._container)
    assert found["State"]["Paused"]
    await sandbox.freeze(False)
    await link.signal(15)
    *_, last = [record async for record in link]
    assert last.fact == ProgramEnd(status=None, signal=15, deadline=False)
    await sandbox.remove()


@engines
async def test_sweep_takes_only_what_is_ours(lab: Lab) -> None:
    other = "f" * 64
    boxes = [lab.box("", node=node) for node in (NODE, NODE, other)]
    sandboxes = [await lab.backend.create(box) for box in boxes]
    assert await lab.backend.sweep(NODE, frozenset({boxes[0].job})) == 1
    assert await lab.backend.sweep(NODE, frozenset({boxes[0].job})) == 0
    assert (await sandboxes[1].end()).exit_code is None
    for sandbox in (sandboxes[0], sandboxes[2]):
        assert (await sandbox.end()).exit_code == 0, "created, not started, still there"
        await sandbox.remove()


@engines
async def test_a_cancelled_creation_leaves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, loop, asked = lab.backend._engine, asyncio.get_running_loop(), asyncio.Event()
    real = engine.client.create_container

    def create(**options: object) -> object:
        loop.call_soon_threadsafe(asked.set)
        return real(**options)

    monkeypatch.setattr(engine.client, "create_container", create)
    creating = asyncio.create_task(lab.backend.create(lab.box("")))
    await asked.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await lab.backend.sweep(NODE, frozenset()) == 0


@engines
async def test_a_sandbox_that_cannot_be_made_is_explained(lab: Lab) -> None:
    backend = copy.copy(lab.backend)
    backend.image = "no-such-image:1"
    with pytest.raises(SandboxError, match=r"(?i)no such image: .*no-such-image"):
        await backend.create(lab.box(""))


@docker_only
async def test_a_card_that_the_engine_cannot_give_fails_at_start(lab: Lab) -> None:
    box = lab.box("print(1)", Limits(cpus=1, memory=64 << 20, timeout=5, gpus=("GPU-1",)))
    sandbox = await lab.backend.create(box)
    try:
        with pytest.raises(
            SandboxError, match=r"could not select device driver.*; on that machine the NVIDIA Container Toolkit"
        ):
            await sandbox.start()
    finally:
        await sandbox.remove()


@pytest.mark.parametrize("prepared", ["podman"], indirect=True)
async def test_cards_are_refused_where_the_engine_would_forget_them(lab: Lab) -> None:
    box = lab.box("print(1)", Limits(cpus=1, memory=64 << 20, timeout=5, gpus=("GPU-1",)))
    with pytest.raises(SandboxError, match="podman get no graphics cards"):
        await lab.backend.create(box)


async def test_many_at_once(lab: Lab) -> None:
    results = await asyncio.gather(*(lab.run(f"print({number})") for number in range(6)))
    assert [result.out for result in results] == [b"%d\n" % number for number in range(6)]
