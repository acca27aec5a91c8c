"""What this machine has, what is free, and where the network reaches it."""

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MIN_BUSY_WINDOW = 0.25
"""Seconds (of each core) below which a measured CPU use is noise, and the previous one is repeated."""

_CONTAINER_BRIDGE = re.compile(r"^(docker\d|br-[0-9a-f]{12}$|virbr|lxcbr|lxdbr|podman|cni|veth)")


@dataclass(frozen=True)
class Sample:
    """One look at the machine."""

    cores: int
    """Cores this process may use."""
    cpu_percent: float
    """Use of all cores together, by anyone, since the sample before; 0 to 100."""
    ram_total: int
    """Bytes."""
    ram_free: int
    """Bytes that can be had without swapping."""


@dataclass(frozen=True)
class Interface:
    """One IPv4 address of an interface that is up."""

    name: str
    address: str
    broadcast: str | None
    """The directed broadcast address of its network; None if it has none (point to point)."""
    is_loopback: bool


class Machine:
    """Samples this machine; each call takes well below a millisecond and never waits.

    In a container the container's own limits count. They are read where the cgroup file system is mounted,
    because only a container sees limits there. The group of this process alone (a systemd slice, say) is
    left out on purpose: jobs do not run in it.
    """

    def __init__(self, cgroups: Path = Path("/sys/fs/cgroup"), times: Callable[[], Any] = psutil.cpu_times):
        self._cgroups = cgroups
        self._times = times
        self._busy_total = _busy_and_total(times())
        self._percent = 0.0

    def sample(self) -> Sample:
        """Return how it is now; CPU use is 0 until there is a span to measure over."""
        memory = psutil.virtual_memory()
        total, free = memory.total, memory.available
        limit, used = _container_memory(self._cgroups)
        if limit is not None and limit < total:
            total, free = limit, min(free, max(0, limit - used))
        return Sample(self._cores(), self._cpu_percent(), total, min(free, total))

    def _cores(self) -> int:
        affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
        cores = len(affinity(0)) if affinity else psutil.cpu_count() or 1
        quota = _container_cores(self._cgroups)
        return max(1, cores if quota is None else min(cores, int(quota)))

    def _cpu_percent(self) -> float:
        # psutil.cpu_percent remembers per thread, so it tells nothing to a caller from a pool of threads.
        busy_before, total_before = self._busy_total
        busy, total = _busy_and_total(self._times())
        if total - total_before >= MIN_BUSY_WINDOW * (psutil.cpu_count() or 1):
            self._busy_total = busy, total
            self._percent = min(100.0, max(0.0, 100 * (busy - busy_before) / (total - total_before)))
        return self._percent


def interfaces() -> tuple[Interface, ...]:
    """Return the IPv4 addresses of all interfaces that are up now; ask again each time, they come and go.

    Bridges of container engines are among them: a heartbeat more is harmless, whereas guessing which
    interface leads to friends goes wrong with VPNs and virtual machines.
    """
    state = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        if name not in state or not state[name].isup:
            continue
        for entry in addresses:
            if entry.family == socket.AF_INET:
                loopback = ipaddress.ip_address(entry.address).is_loopback
                broadcast = _broadcast(entry.address, entry.netmask)
                found.append(Interface(name, entry.address, broadcast, loopback))
    return tuple(found)


def addresses() -> tuple[str, ...]:
    """Return where friends can reach this machine, for people to read; loopback if there is nothing else."""
    mine = interfaces()
    outward = [each for each in mine if not each.is_loopback]
    friendly = [each for each in outward if not _CONTAINER_BRIDGE.match(each.name)]
    return tuple(dict.fromkeys(each.address for each in friendly or outward or mine))


def _broadcast(address: str, netmask: str | None) -> str | None:
    """Return the directed broadcast address; computed, because psutil gives none for loopback."""
    if not netmask:
        return None
    network = ipaddress.IPv4Network((address, netmask), strict=False)
    return str(network.broadcast_address) if network.prefixlen < 31 else None


def _busy_and_total(times: Any) -> tuple[float, float]:
    """Return CPU seconds of all cores together: those used, and those there were."""
    fields = times._asdict()
    # Linux counts a guest's time in `user` (`nice`) already.
    total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
    return total - fields["idle"] - fields.get("iowait", 0.0), total


def _container_memory(cgroups: Path) -> tuple[int | None, int]:
    """Return the container's memory limit (None: no limit) and what of it cannot be reclaimed, in bytes."""
    for folder, limit_file, used_file, reclaimable in (
        (cgroups, "memory.max", "memory.current", "inactive_file"),
        (cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _number(folder / limit_file)
        if limit is not None:
            cached = re.search(rf"^{reclaimable} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            return limit, max(0, (_number(folder / used_file) or 0) - int(cached[1] if cached else 0))
    return None, 0


def _container_cores(cgroups: Path) -> float | None:
    """Return the container's CPU quota in cores; None if there is none."""
    quota, period = _text(cgroups / "cpu.max").split() or ("", "")
    if not quota:
        quota, period = (_text(cgroups / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # not Linux, no such controller, or the other version of cgroups
        return ""
