"""A LAN on one machine: network namespaces on a bridge that has a namespace of its own.

    with Lab(hosts=2) as lab:
        lab.host(1).run(["ping", "-c1", lab.host(2).address])

Nothing of it touches the machine's own network: the bridge is not in the root namespace, where Docker's
FORWARD policy would eat broadcasts. Only the network is separate: files, users and Unix sockets (that of the
Docker engine, say) are the machine's. Needs root, iproute2, iptables and nsenter.
"""

import contextlib
import itertools
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

PREFIX = "homie-lab"
NAMESPACES = Path("/run/netns")
GRACE = 5.0
"""Seconds that processes get to end after SIGTERM."""

_numbers = itertools.count()


def missing() -> str:
    """Return why there can be no LAN here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [tool for tool in ("ip", "iptables", "nsenter") if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Host:
    """One machine of the LAN: it has `eth0` with `address`, and a loopback of its own."""

    def __init__(self, switch: str, namespace: str, port: str, address: str) -> None:
        self.namespace = namespace
        self.address = address
        self._switch = switch
        self._port = port

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end in this host and return its output; raises CalledProcessError or TimeoutExpired."""
        entered, env = self._entered(command, env)
        return subprocess.run(entered, env=env, timeout=timeout, capture_output=True, text=True, check=True)

    def popen(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **kwargs: Any
    ) -> subprocess.Popen[Any]:
        """Start in this host; what still runs when the LAN is taken down is ended."""
        entered, env = self._entered(command, env)
        return subprocess.Popen(entered, env=env, **kwargs)

    def lose(self, share: float) -> None:
        """From now on drop this share (0 to 1) of all packets that arrive here; 0 ends it."""
        self.run(["iptables", "-F", "INPUT"])
        if share:
            statistic = ["-m", "statistic", "--mode", "random", "--probability", str(share)]
            self.run(["iptables", "-A", "INPUT", "-i", "eth0", *statistic, "-j", "DROP"])

    def ignore(self, other: "Host") -> None:
        """From now on drop all packets from another host, until `lose` says otherwise."""
        self.run(["iptables", "-A", "INPUT", "-s", other.address, "-j", "DROP"])

    def plug(self, plugged: bool) -> None:
        """Pull this host's cable out of the switch, or put it back."""
        _ip("-n", self._switch, "link", "set", self._port, "up" if plugged else "down")

    def _entered(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None
    ) -> tuple[list[str | Path], dict[str, str] | None]:
        # Not `ip netns exec`: it makes a mount namespace too, and the engine would not see a daemon's mounts.
        enter = ["nsenter", f"--net={NAMESPACES / self.namespace}"]
        return [*enter, *command], os.environ | env if env else None


class Lab:
    """A LAN of so many hosts while the `with` lasts; their addresses are 10.77.0.1, 10.77.0.2, ..."""

    broadcast = "10.77.0.255"

    def __init__(self, hosts: int = 2) -> None:
        name = f"{PREFIX}-{os.getpid()}-{_stamp(os.getpid())}-{next(_numbers)}"
        self._switch = f"{name}-switch"
        self.hosts = [
            Host(self._switch, f"{name}-{number}", f"port{number}", f"10.77.0.{number}")
            for number in range(1, hosts + 1)
        ]

    def host(self, number: int) -> Host:
        """Return a host; they count from 1, as the last part of their addresses."""
        return self.hosts[number - 1]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process in the LAN and remove it; harmless if it is gone."""
        for namespace in (*(host.namespace for host in self.hosts), self._switch):
            _remove(namespace)

    def _build(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for host in self.hosts:
            inside, port = ("-n", host.namespace), host._port
            _ip("netns", "add", host.namespace)
            _ip(*inside, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self._switch)
            _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
            _ip(*inside, "address", "add", f"{host.address}/24", "broadcast", self.broadcast, "dev", "eth0")
            _ip(*inside, "link", "set", "eth0", "up")
            _ip(*inside, "link", "set", "lo", "up")


def sweep() -> list[str]:
    """Remove what labs of processes that are no more have left behind; return the namespaces' names."""
    left = []
    for path in NAMESPACES.glob(f"{PREFIX}-*"):
        pid, stamp = path.name.removeprefix(f"{PREFIX}-").split("-")[:2]
        if _stamp(int(pid)) != stamp:
            _remove(path.name)
            left.append(path.name)
    return left


def _remove(namespace: str) -> None:
    if not (NAMESPACES / namespace).exists():
        return
    try:
        # Whatever runs in there was started by the lab, or by something that the lab started.
        _end([int(pid) for pid in _ip("netns", "pids", namespace).split()])
        _ip("netns", "delete", namespace)
    except RuntimeError:
        if (NAMESPACES / namespace).exists():  # else the sweep of another test run was quicker
            raise


def _end(pids: Sequence[int]) -> None:
    """Ask these processes to end, then make them; by pidfd, which leaves the status to their Popen."""
    with contextlib.ExitStack() as stack:
        running: set[int] = set()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                running.add(fd := os.pidfd_open(pid))
                stack.callback(os.close, fd)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for fd in running:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
            until = time.monotonic() + GRACE
            while running and (left := until - time.monotonic()) > 0:
                running -= set(select.select(running, [], [], left)[0])


def _stamp(pid: int) -> str:
    """Return when the process started, so that a reused pid is not taken for the lab's owner."""
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return "gone"


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
