"""Limits that the kernel holds: one control group (version 1 or 2) per job, where this machine lets us make it."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homie_core.model.job import Limits

CONTROLLERS = ("memory", "pids", "cpu")
PERIOD = 100_000
"""Microseconds over which a job's share of the processors is counted."""

GONE_WITHIN = 5.0
"""Seconds for killed processes to leave their group."""

ANYWHERE = -1


@dataclass(frozen=True)
class Group:
    """The group of one job: one folder for each controller, or one for all of them."""

    folders: dict[str, Path]
    unified: bool
    """Whether these are control groups of version 2."""

    def make(self, limits: Limits) -> None:
        """Make it, with these limits. Raises OSError."""
        for folder in self._all():
            folder.mkdir(parents=True, exist_ok=True)
        self.limit(limits)

    def limit(self, limits: Limits) -> None:
        """Set what its processes may use together. Raises OSError."""
        memory, pids, cpu = (self.folders[name] for name in CONTROLLERS)
        quota = max(1000, round(limits.cpus * PERIOD))
        _write(pids / "pids.max", limits.pids)
        if self.unified:
            _write(memory / "memory.max", limits.memory)
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap
                _write(memory / "memory.swap.max", 0)
            _write(cpu / "cpu.max", f"{quota} {PERIOD}")
            return
        both = memory / "memory.memsw.limit_in_bytes"  # which must never be the smaller one
        if both.exists():
            _write(both, ANYWHERE)
        _write(memory / "memory.limit_in_bytes", limits.memory)
        if both.exists():
            _write(both, limits.memory)
        _write(cpu / "cpu.cfs_period_us", PERIOD)
        _write(cpu / "cpu.cfs_quota_us", quota)

    def add(self, pid: int) -> None:
        """Put a process, and all that it starts from now on, into the group."""
        for folder in self._all():
            _write(folder / "cgroup.procs", pid)

    def freeze(self, frozen: bool) -> bool:
        """Stop all where they are, or let them go on; return whether this kernel could."""
        if self.unified:
            _write(self.folders["memory"] / "cgroup.freeze", int(frozen))
        elif "freezer" in self.folders:
            _write(self.folders["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            return False
        return True

    def out_of_memory(self) -> bool:
        """Whether the kernel killed one of them for want of memory."""
        name = "memory.events" if self.unified else "memory.oom_control"
        try:
            lines = (self.folders["memory"] / name).read_text().splitlines()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)

    def pids(self) -> set[int]:
        """Return its processes."""
        found: set[int] = set()
        for folder in self._all():
            with contextlib.suppress(OSError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        return found

    def remove(self) -> None:
        """Kill what is in it, and remove it; blocking, at most for `GONE_WITHIN`. Harmless if it is gone."""
        until = time.monotonic() + GONE_WITHIN
        for folder in self._all():
            while folder.exists() and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    self.freeze(False)
                for pid in self.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:  # the last of them is still on its way out
                    time.sleep(0.01)

    def _all(self) -> Iterator[Path]:
        return iter(dict.fromkeys(self.folders.values()))


@dataclass(frozen=True)
class Tree:
    """Where groups of jobs may be made on this machine."""

    parents: dict[str, Path]
    unified: bool

    def group(self, name: str) -> Group:
        """Return the group of this name, not made yet."""
        return Group({each: parent / name for each, parent in self.parents.items()}, self.unified)


def find(mountinfo: str, own: str, root: bool) -> Tree | None:
    """Return where groups could be made; None: nowhere. Pure.

    `mountinfo` and `own` are the texts of /proc/self/mountinfo and /proc/self/cgroup; groups are made below our
    own, so that whatever limits us limits all jobs. With version 2 only leaves may hold processes, so there they
    are made at the top, which takes `root`.
    """
    mounts = _mounts(mountinfo)
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        paths |= dict.fromkeys(names.split(","), path)
    if all(name in mounts and name in paths for name in CONTROLLERS):
        wanted = [*CONTROLLERS, *(["freezer"] if "freezer" in mounts and "freezer" in paths else [])]
        return Tree({each: mounts[each] / paths[each].lstrip("/") / "homie" for each in wanted}, unified=False)
    if "cgroup2" in mounts and root:
        return Tree(dict.fromkeys(CONTROLLERS, mounts["cgroup2"] / "homie"), unified=True)
    return None


def usable() -> Tree | None:
    """Return where groups can be made here, tried out; None: nowhere."""
    try:
        tree = find(
            Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text(), os.getuid() == 0
        )
        if tree is None:
            return None
        if tree.unified:
            _delegate(tree.parents["memory"])
        trial = tree.group(f"trial-{os.getpid()}")
        try:
            trial.make(Limits(cpus=1, memory=64 << 20, timeout=1))
        finally:
            trial.remove()
    except OSError:  # not ours to make: then others hold the limits, see the watchdog
        return None
    return tree


def _delegate(parent: Path) -> None:
    """Let the groups in `parent` have controllers of their own (version 2)."""
    wish = " ".join(f"+{name}" for name in CONTROLLERS)
    _write(parent.parent / "cgroup.subtree_control", wish)
    parent.mkdir(exist_ok=True)
    _write(parent / "cgroup.subtree_control", wish)


def _mounts(mountinfo: str) -> dict[str, Path]:
    """Return where each controller of version 1 is mounted, and version 2 as `cgroup2`."""
    found: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place, (kind, _, options) = Path(left.split()[4]), right.split()[:3]
        if kind == "cgroup":
            found |= dict.fromkeys(options.split(","), place)
        elif kind == "cgroup2":
            found["cgroup2"] = place
    return found


def _write(file: Path, value: int | str) -> None:
    file.write_text(str(value))
