"""The host's daemon is killed at every step of a job's life: the next one goes on, and nothing happens twice.

HOMIE_KILLS says how often a session's is killed at random (CI: 2).
"""

import contextlib
import functools
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ear import Ear, cell, text
from pair import Node, Pair

from homie_core.client import Client, new_job_id, request_for_session
from homie_core.client.channel import Channel
from homie_core.model.event import Busy, Ended
from homie_core.model.job import How
from homie_core.model.session import Finish

pytestmark = pytest.mark.docker

KILLS = int(os.environ.get("HOMIE_KILLS", "2"))
SCRIPT = """
import sys
with open("starts", "a") as file:
    file.write("x")
print("one", flush=True)
print("two", file=sys.stderr, flush=True)
open("result", "w").write(open("data").read() * 2)
print("three")
sys.exit(7)
"""

EVERYWHERE = """
homie_core.store.journal:Journal.accept after
homie_core.store.spool:Spool.append after
homie_core.daemon.pool:Ready.make before
homie_core.sandbox.disk:Disk.make after
homie_core.daemon.pool:Ready.make after
homie_core.store.workspace:lay_out after
homie_core.store.journal:Journal.begin before
homie_core.store.journal:Journal.begin after
homie_core.store.workspace:stamped before
homie_core.store.workspace:stamped after
homie_core.sandbox.link:Link.start before
homie_core.sandbox.link:Link.start after
homie_core.store.spool:Spool.append before 1
homie_core.store.spool:Spool.append after 1
homie_core.sandbox.link:Link.ack before
homie_core.sandbox.link:Link.ack after
homie_core.store.spool:Spool.append before 2
homie_core.store.spool:Spool.append after 2
homie_core.sandbox.link:Link.ack after 3
homie_core.sandbox.link:Link.ack after 4
homie_core.store.workspace:collect before
homie_core.store.workspace:collect after
homie_core.store.journal:Journal.end before
homie_core.store.journal:Journal.end after
homie_core.sandbox.disk:Disk.remove before
homie_core.sandbox.disk:Disk.remove after
"""
STATES = """
homie_core.daemon.pool:Ready.make after
homie_core.store.journal:Journal.begin after
homie_core.sandbox.link:Link.start after
homie_core.store.spool:Spool.append before 1
homie_core.sandbox.link:Link.ack after
homie_core.sandbox.link:Link.ack after 4
homie_core.store.workspace:collect before
homie_core.store.journal:Journal.end before
homie_core.sandbox.disk:Disk.remove before
homie_core.sandbox.disk:Disk.remove after
"""
"""One point of each state in which the sandbox itself may be: what lies between two of them differs only in the
journal and in files, which are the same for all kinds."""
OF_KIND = {
    "docker": f"""{EVERYWHERE}
homie_core.sandbox.docker:Docker.create after
homie_core.sandbox.docker_sandbox:DockerSandbox.start after
homie_core.sandbox.docker_sandbox:DockerSandbox.remove before
""",
    "podman": f"""{STATES}
homie_core.sandbox.docker:Docker.create after
homie_core.sandbox.piped_sandbox:PipedSandbox.attach before
homie_core.sandbox.piped_sandbox:PipedSandbox.start after
homie_core.sandbox.docker_sandbox:DockerSandbox.remove before
""",
    "bubblewrap": f"""{STATES}
homie_core.sandbox.bubblewrap.backend:Bubblewrap.create after
homie_core.sandbox.bubblewrap.launcher:Launcher.spawn after
homie_core.sandbox.bubblewrap.sandbox:BubblewrapSandbox.start after
homie_core.sandbox.bubblewrap.sandbox:BubblewrapSandbox.remove before
""",
}
POINTS = [(kind, point) for kind, points in OF_KIND.items() for point in points.splitlines() if point]


class Host:
    """A desk that can be told where it dies."""

    def __init__(self, pair: Pair, kind: str, folder: Path) -> None:
        self.pair = pair
        self._file = folder / "failpoint"
        places = {point.split()[0] for each, point in POINTS if each == kind}
        self.pair.desk.env |= {
            "PYTHONPATH": str(Path(__file__).parents[1] / "failpoints"),
            "FAILPOINT": str(self._file),
            "FAILPOINTS": " ".join(sorted(places)),
        }

    def die_at(self, point: str) -> None:
        self._file.write_text(point)

    def wait_for_death(self) -> None:
        daemon = psutil.Process(Client(self.pair.desk.home).status().pid)
        until = time.monotonic() + 30
        while self._file.exists():
            assert time.monotonic() < until, f"it never came to {self._file.read_text()}"
            time.sleep(0.01)
        with contextlib.suppress(psutil.NoSuchProcess):
            daemon.wait(10)


@pytest.fixture(scope="module")
def hosts(
    pair_on: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Host]]:
    """`hosts(kind)`: the desk of this kind.

    No parameter of the module: pytest would sort the tests by point, and start a pair anew for nearly each.
    """
    with contextlib.ExitStack() as stack:

        @functools.cache
        def of_kind(kind: str) -> Host:
            host = Host(pair_on(kind, sandbox_pool="0"), kind, tmp_path_factory.mktemp(kind))
            stack.enter_context(host.pair)
            return host

        yield of_kind


@pytest.fixture
def host(hosts: Callable[[str], Host], kind: str) -> Host:
    return hosts(kind)


@pytest.mark.parametrize(("kind", "point"), POINTS)
def test_a_job_goes_on_wherever_its_daemon_was_killed(host: Host, point: str, tmp_path: Path) -> None:
    pair = host.pair
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "data").write_text("data\n")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    host.die_at(point)
    with pair.laptop.popen("run", "-n", "desk", "-f", "data", "-o", "out", "script.py", **streams) as job:
        host.wait_for_death()
        pair.desk.homie("up")
        out, err = job.communicate(timeout=60)
    assert (out, job.returncode) == ("one\nthree\n", 7), err
    assert err.startswith("two\n"), err
    results = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert results == {"starts": "x", "result": "data\ndata\n"}
    assert left(pair.desk) == []


def left(node: Node) -> list[str]:
    """Return what is left of jobs on a node that has ended them all, once nothing of it changes any more."""
    until = time.monotonic() + 10
    while (found := _left(node)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _left(node: Node) -> list[str]:
    label = f"homie.node={Client(node.home).status().id}"
    found = []
    for engine in ("docker", "podman") if "CONTAINERS_STORAGE_CONF" in node.env else ("docker",):
        asked = [engine, "ps", "--all", "--quiet", "--filter", f"label={label}"]
        answer = subprocess.run(asked, env=node.env, capture_output=True, text=True, timeout=60, check=True)
        found += [f"container {each} of {engine}" for each in answer.stdout.split()]
    folders = [str(node.home / name) for name in ("jobs", "pool")]
    commands = (" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    found += [f"process {command}" for command in commands if any(folder in command for folder in folders)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if str(node.home) in line]
    found += [f"folder {path}" for name in ("jobs", "pool") for path in (node.home / name).glob("*")]
    return found + [f"record {path}" for path in (node.home / "sandboxes").glob("*")]


COUNT = """
import os, time
with open("ran", "a") as file:
    file.write("x")
for number in range(40):
    print(number, flush=True)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_session_goes_on_with_its_variables_and_runs_each_cell_once(
    host: Host, kind: str, tmp_path: Path
) -> None:
    pair, generator = host.pair, random.Random(kind)
    request = request_for_session("session", results=tmp_path / "results", job=new_job_id())
    ear = Ear(Channel(pair.laptop.home, request))
    ear.channel.tell(cell("known = 1"))
    ear.cell_end()
    for turn in range(KILLS):
        ear.channel.tell(cell(COUNT, f"count {turn}"))
        ear.until(Busy)
        time.sleep(generator.uniform(0, 0.8))  # the moment of its death is what is tested
        daemon = psutil.Process(Client(pair.desk.home).status().pid)
        daemon.kill()
        daemon.wait(10)
        ear.channel.tell(cell("known += 1; print('known', known)", f"known {turn}"))  # while nobody is there
        pair.desk.homie("up")
        assert text(ear.cell_end()) == "".join(f"{number}\n" for number in range(40))
        assert text(ear.cell_end()) == f"known {turn + 2}\n"
    ear.channel.tell(Finish())
    ended, _ = ear.until(Ended)
    assert ended.outcome.how is How.EXITED
    assert (tmp_path / "results/ran").read_text() == "x" * KILLS
    assert left(pair.desk) == []
