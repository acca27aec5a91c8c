"""The processes of one sandbox as the host sees them: how much they use, stopped, gone on, killed.

All of them descend from process 1 of the sandbox, which its members cannot leave.
"""

import contextlib
import os
import signal
from pathlib import Path

import psutil

from homie_core.sandbox.program import HOME

PROC = Path("/proc")
INODE = 1 << 10
"""Bytes of kernel memory that a file in a memory-backed file system costs, roughly, however small it is."""


def started_at(pid: int) -> str | None:
    """Return what tells this process from a later one with the same number; None if there is none."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return f"{(PROC / 'sys/kernel/random/boot_id').read_text().strip()}/{fields[19]}"


def kill(pid: int, started: str) -> None:
    """Kill this very process; as process 1 of a sandbox it takes all others with it. Harmless if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if started_at(pid) == started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def freeze(pid: int, frozen: bool) -> None:
    """Stop or continue all of them; new ones are looked for until there are none."""
    done: set[int] = set()
    while new := members(pid) - done:
        for each in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP if frozen else signal.SIGCONT)
        done |= new


def members(pid: int) -> set[int]:
    """Return it and all its descendants."""
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def memory(pid: int, above: int) -> int:
    """Return the bytes that they use, with their memory-backed files; shared pages are counted once if that
    decides whether it is more than `above`."""
    pids, files = members(pid), _files(pid)
    rough = files + sum(_field(each, "status", "RssAnon:") for each in pids)
    if rough <= above:
        return rough
    return files + sum(_field(each, "smaps_rollup", "Pss_Anon:") for each in pids)


def _files(pid: int) -> int:
    used = 0
    for place in (HOME, "/dev/shm"):  # noqa: S108 - as the job sees them
        with contextlib.suppress(OSError):
            of = os.statvfs(f"/proc/{pid}/root{place}")
            used += (of.f_blocks - of.f_bfree) * of.f_frsize + (of.f_files - of.f_ffree) * INODE
    return used


def _field(pid: int, file: str, name: str) -> int:
    """Return a number of kilobytes from a file of /proc, in bytes; 0 if the process is gone."""
    try:
        for line in (PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    except OSError:
        return 0
    return 0
