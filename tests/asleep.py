"""Machines that sleep: every process of a node is stopped, and goes on when it wakes."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import docker
import psutil
from pair import Node

from homie_core.client import Client

STOPPED_WITHIN = 10.0


class Asleep:
    """What of a node is asleep: its front ends, its daemon, and all that runs in its sandboxes."""

    def __init__(self, node: Node) -> None:
        self.daemon = Client(node.home).status().pid
        boxed = sorted(_in_sandboxes(node), key=_namespace_pid)
        self.runners = [pid for pid in boxed if _namespace_pid(pid) == 1]
        self.programs = [pid for pid in boxed if pid not in self.runners]
        mine = {process.pid for process in node.processes()}
        self.others = sorted(mine - {self.daemon, *boxed})
        self._all = {self.daemon, *boxed, *self.others}
        self._send(self._all, signal.SIGSTOP)
        until = time.monotonic() + STOPPED_WITHIN
        while any(psutil.Process(pid).status() != psutil.STATUS_STOPPED for pid in self._all):
            assert time.monotonic() < until, "it does not fall asleep"
            time.sleep(0.01)

    def wake(self, *first: int) -> None:
        """Let these go on, or all; harmless for who has ended meanwhile."""
        self._send(first or self._all, signal.SIGCONT)

    def _send(self, pids: Iterable[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def asleep(node: Node) -> Iterator[Asleep]:
    """Let a node sleep meanwhile."""
    sleeper = Asleep(node)
    try:
        yield sleeper
    finally:
        sleeper.wake()


def _in_sandboxes(node: Node) -> list[int]:
    """Return what runs in the node's sandboxes: their control groups are called by their jobs or containers."""
    names = {folder.name for where in ("jobs", "pool") for folder in (node.home / where).glob("*")}
    label = f"homie.node={Client(node.home).status().id}"
    with contextlib.closing(docker.from_env()) as engine:
        names |= {str(container.id) for container in engine.containers.list(filters={"label": label})}
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            if any(name in groups for name in names):
                found.append(pid)
    return found


def _namespace_pid(pid: int) -> int:
    """Return what a process is called in its own sandbox."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])
