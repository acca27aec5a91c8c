"""What a host costs its owner while nobody needs it: a daemon with a peer, and one sandbox that waits.

For each kind of sandbox: the daemon's CPU and memory, and what the waiting sandbox adds to it.
"""

import time
from collections.abc import Iterator
from contextlib import closing

import docker
import psutil
from docker.errors import DockerException
from pair import Node, Pair

from benchmarks.jobs import wait_for_pool
from benchmarks.pairs import Comparison, Result, Skipped
from homie_core.client import Client
from homie_core.store.identity import read_peer_id

SECONDS = 30.0
MOST_CPU = 0.5
"""Percent of one core."""
MOST_MEMORY = 60.0
"""MB (1,000,000 bytes) that are resident."""
JOB_MEMORY = 4 * 1024**3 / 1e6
"""MB that an ordinary job may use; what waits in advance uses some of them."""


def measure(repeat: int) -> Iterator[Result]:
    """Compare with what is promised."""
    for sandbox in ("docker", "bubblewrap"):
        if sandbox == "docker" and (missing := _no_engine()):
            yield Skipped("idle, docker", missing)
            continue
        yield from _idle(sandbox, repeat)


def _idle(sandbox: str, repeat: int) -> Iterator[Result]:
    cpu, memory, waiting = [], [], []
    with Pair(sandbox=sandbox) as pair:
        wait_for_pool(pair.desk)
        daemon = psutil.Process(Client(pair.desk.home).status().pid)
        for _ in range(repeat):
            before = sum(daemon.cpu_times()[:2])
            time.sleep(SECONDS)
            cpu.append((sum(daemon.cpu_times()[:2]) - before) / SECONDS * 100)
            memory.append(daemon.memory_info().rss / 1e6)
            waiting.append(sum(each.memory_full_info().pss for each in _waiting(pair.desk, sandbox, daemon)) / 1e6)
    yield Comparison(f"{sandbox}: idle daemon, CPU", "promised", "%", tuple(cpu), (MOST_CPU,) * repeat)
    yield Comparison(f"{sandbox}: idle daemon, RSS", "promised", "MB", tuple(memory), (MOST_MEMORY,) * repeat)
    yield Comparison(
        f"{sandbox}: waiting sandbox, PSS", "a job's limit", "MB", tuple(waiting), (JOB_MEMORY,) * repeat
    )


def _waiting(node: Node, sandbox: str, daemon: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the sandbox that waits, and what stands outside for it (bwrap, Docker's shim)."""
    if sandbox == "bubblewrap":
        return daemon.children(recursive=True)
    with closing(docker.from_env()) as client:
        mine = {"label": f"homie.node={read_peer_id(node.home)}"}
        (container,) = client.containers.list(filters=mine)
    shim = psutil.Process(psutil.Process(container.attrs["State"]["Pid"]).ppid())
    return [shim, *shim.children(recursive=True)]


def _no_engine() -> str:
    try:
        docker.from_env(timeout=5).close()
    except DockerException as error:
        return f"no Docker engine: {error}"
    return ""
