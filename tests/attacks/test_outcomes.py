"""How jobs end that did not end by themselves: told apart, on every backend, by what the host really sees."""

import hashlib
import secrets
from pathlib import Path

import pytest
from sandbox_lab import NODE, Lab

from homie_core.daemon.pool import Workshop
from homie_core.daemon.running import Running
from homie_core.model.event import Output
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits, Outcome
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.environments import Environments

pytestmark = pytest.mark.docker
MIB = 1 << 20
LIMITS = Limits(cpus=1, memory=96 * MIB, timeout=20, disk=20 * MIB, inodes=2000, output=5 * MIB)


async def host(lab: Lab, source: str, killed: bool = False) -> tuple[int, Outcome]:
    """Run a job as a daemon does; return how many bytes of output it had, and its outcome."""
    digest = hashlib.sha256(source.encode()).hexdigest()
    file = FileRef(name="main.py", digest=digest, size=len(source.encode()))
    spec = JobSpec(id=secrets.token_hex(6), kind=Kind.SCRIPT, entry="main.py", files=(file,))
    received = lab.folder / spec.id / "received"
    received.mkdir(parents=True)
    (received / digest).write_text(source)
    environments = Environments(Path("/nonexistent"))
    workshop = Workshop(lab.backend, Interpreter("3.11", "x86_64", "2.36"), environments, ())
    running = Running(workshop, None, NODE, spec, LIMITS, lab.folder / spec.id, lambda _: None)
    written = 0
    try:
        async for event, _ in running.events():
            if isinstance(event, Output):
                written += len(event.data)
                if killed:
                    assert running._ready
                    await running._ready.sandbox.kill()
    finally:
        await running.close()
    return written, running.outcome


async def test_output_flood(lab: Lab) -> None:
    source = "import os\nfor _ in range(300): os.write(1, b'x' * (1 << 20))"
    written, outcome = await host(lab, source)
    assert (outcome.how, outcome.status) == (How.OUTPUT, 153)
    assert outcome.detail == "it wrote more than 5.0 MB of output"
    assert 4 * MIB <= written <= LIMITS.output


async def test_killed_from_outside(lab: Lab) -> None:
    source = "import os, time\nos.write(1, b'here\\n')\ntime.sleep(20)"
    written, outcome = await host(lab, source, killed=True)
    assert (written, outcome.how, outcome.status) == (5, How.KILLED, 137)
