"""A program that the runner starts in advance: used for what it was prepared for, gone otherwise."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from test_runner import Host, hosting

from homie_core.sandbox.link import ProgramEnd
from homie_core.sandbox.program import Program

WAITS = """
import json, os, time
if "HOMIE_GO" not in os.environ:
    print("anew")
    raise SystemExit
go = int(os.environ["HOMIE_GO"])
open("waits", "w").write(str(os.getpid()))
said = os.fdopen(go).read()
if not said:
    time.sleep(60)
told = json.loads(said)
print(os.getpid(), told["argument"], told["env"]["COLOUR"])
"""


@pytest.fixture
async def waiting(tmp_path):
    """A runner whose prepared program waits; its pipe for the moment it does is `waits`."""
    os.mkfifo(tmp_path / "waits")
    pipe = os.open(tmp_path / "waits", os.O_RDONLY | os.O_NONBLOCK)
    async with hosting(tmp_path) as host:
        await host.link.connect()
        await host.link.prepare(program(host, WAITS, ""))
        os.set_blocking(pipe, True)
        while not (pid := os.read(pipe, 100)):
            pass
        os.close(pipe)
        host.waits = int(pid)
        yield host


def program(host: Host, code: str, argument: str, **env: str) -> Program:
    argv = (sys.executable, "-I", "-S", "-c", code, argument)
    return Program(argv=argv, env=env, timeout=30.0, cwd=str(host.folder), report=True)


async def test_it_goes_on_with_the_last_argument_and_the_environment(waiting):
    await waiting.link.start(program(waiting, WAITS, "ü b", COLOUR="blue"))
    told = await waiting.rest()
    assert told.out.decode() == f"{waiting.waits} ü b blue\n"
    assert told.end == ProgramEnd(status=0, signal=None, deadline=False)


async def test_another_program_is_started_anew_and_the_prepared_one_is_gone(waiting):
    await waiting.link.start(program(waiting, "import sys; print(sys.argv[1])", "other"))
    told = await waiting.rest()
    assert told.out == b"other\n"
    assert not Path(f"/proc/{waiting.waits}").exists()


async def test_one_that_died_meanwhile_is_replaced(waiting):
    os.kill(waiting.waits, 9)
    while psutil.Process(waiting.waits).status() != psutil.STATUS_ZOMBIE:
        pass
    await waiting.link.start(program(waiting, WAITS, "x"))
    assert (await waiting.rest()).out == b"anew\n"
