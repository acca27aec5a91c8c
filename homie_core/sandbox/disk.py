"""What a job may write to disk: capped exactly by a file system of its own, or else watched.

How a host uses it:

    disk = await Disk.make(box, limits, uid, gid)     # before workspace.lay_out(box, ...)
    why = await disk.watch()                          # a task beside the job: it returns when the job must end
    await disk.settle()                               # before workspace.collect(box, ...)
    await disk.remove()                               # after sandbox.remove(), before workspace.remove(box)
    await sweep(jobs)                                 # once at start, before anything in that folder is removed

Collect with `max_bytes=limits.disk`: a sparse file looks larger than the disk it lies on.
"""

import asyncio
import contextlib
import ctypes
import errno
import functools
import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Self

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.quantity import show_size

SPOOL = Limits(cpus=1, memory=0, timeout=0, disk=128 << 20, inodes=1000)
"""What fits into `spool/`: more than a runner ever keeps there. It takes this room at once: so nothing that a job
says is lost when the disk below is full."""

PERIOD = 0.25
"""Seconds between two looks at a folder that has no exact cap."""

SHARE = 4
"""A look that took long is followed by a pause so many times as long."""

MAX_DEPTH = 200
"""Folders within folders that are followed; what lies deeper counts as too much."""

RESERVE = 1 << 30
"""Bytes that stay free for the owner: also what is written to deleted files, which no look at a folder finds."""

LOOK = 1.0
"""Seconds between two looks at the disk below an exact one."""

LEAST = 16 << 20
"""Bytes free below an exact disk with which what was written to it can be settled."""

INODE = 256
PATIENCE = 60.0
"""Seconds for one mkfs, mount or umount."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk:
    """The disk of one job: `work/` and `spool/` in its folder. Leave nothing behind: `remove` it."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.exact = False
        """Whether the kernel holds the limits."""
        self._was_short = False
        """Whether there may have been no room below."""
        self._limits = limits

    @classmethod
    async def make(cls, folder: Path, limits: Limits, uid: int, gid: int) -> Self:
        """Make `folder`; as root, with file systems for `work/` and `spool/` in it that belong to uid and gid.

        Where such cannot be made (no root, no mkfs, no loop devices), it is a plain folder to be watched.
        Raises OSError if not even that can be made.
        """
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        disk = cls(folder, limits)
        if not _may_mount():
            return disk
        making = asyncio.gather(
            asyncio.to_thread(_make_mounted, folder / "work", limits, uid, gid, sparse=True),
            asyncio.to_thread(_make_mounted, folder / "spool", SPOOL, uid, gid, sparse=False),
            return_exceptions=True,
        )
        try:
            made = await asyncio.shield(making)
        except asyncio.CancelledError:  # the threads go on regardless: wait for what they make, and remove it
            await making
            await disk.remove()
            raise
        disk.exact = all(each is True for each in made)
        if not disk.exact:
            await disk.remove()
        for each in made:
            if isinstance(each, BaseException):
                raise each
        return disk

    @classmethod
    def find(cls, folder: Path, limits: Limits) -> Self:
        """Return the disk that was made in this folder, by an earlier life of the daemon."""
        disk = cls(folder, limits)
        disk.exact = disk._was_short = (folder / "work").is_mount()
        return disk

    async def watch(self) -> str:
        """Return, in words, which limit was passed; with an exact disk that is never."""
        while self.exact:
            self._was_short = self._was_short or _free(self.folder) < RESERVE
            await asyncio.sleep(LOOK)
        while True:
            before = time.monotonic()
            why = await asyncio.to_thread(too_much, self.folder, self._limits)
            if why:
                return why
            await asyncio.sleep(max(PERIOD, SHARE * (time.monotonic() - before)))

    async def settle(self) -> None:
        """See that an exact disk has all that the job wrote; what it lies on may have been full.

        Raises OSError as long as that is full, and SandboxError if something is lost.
        """
        if not self._was_short:
            return
        if _free(self.folder) < LEAST:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        if not await asyncio.to_thread(_sync, self.folder / "work"):
            raise SandboxError("its host's disk was full for some time, and not all that it wrote is there")

    async def remove(self) -> None:
        """Take the file systems and their images away, in use or not; the folder is left to its maker."""
        await sweep(self.folder)
        for name in ("work", "spool"):
            _image(self.folder / name).unlink(missing_ok=True)


async def sweep(folder: Path) -> int:
    """Unmount whatever is mounted below this folder, as an earlier life may have left it; return how many."""
    mounts = _mounts_below(folder)
    for path in sorted(mounts, reverse=True):  # inner ones first
        await asyncio.to_thread(_unmount, path)
    return len(mounts)


def too_much(folder: Path, limits: Limits) -> str:
    """Return, in words, which limit this folder's content passes; empty if none.

    The job is alive and hostile: no link is followed, and a look ends as soon as a limit is passed.
    """
    if _free(folder) < RESERVE:
        return f"its host has less than {show_size(RESERVE)} of disk left"
    used = names = 0
    open_folders = [os.scandir(top := os.open(folder, FOLDER))]
    handles = [top]
    try:
        while open_folders:
            entry = _next(open_folders[-1])
            if entry is None:
                open_folders.pop().close()
                os.close(handles.pop())
                continue
            try:
                status = os.stat(entry.name, dir_fd=handles[-1], follow_symlinks=False)
            except OSError:  # gone by now
                continue
            names += 1
            # A file with several names is found under each of them.
            used += status.st_blocks * 512 // max(1, status.st_nlink if stat.S_ISREG(status.st_mode) else 1)
            if names > limits.inodes:
                return f"it made more than {limits.inodes:,} files"
            if used > limits.disk:
                return f"it wrote more than {show_size(limits.disk)} to disk"
            if stat.S_ISDIR(status.st_mode):
                if len(handles) > MAX_DEPTH:
                    return f"it made folders {MAX_DEPTH} levels deep"
                with contextlib.suppress(OSError):  # gone, replaced, or closed to us
                    handles.append(os.open(entry.name, FOLDER, dir_fd=handles[-1]))
                    open_folders.append(os.scandir(handles[-1]))
    finally:
        for listing in open_folders:
            listing.close()
        for handle in handles:
            os.close(handle)
    return ""


@functools.cache
def _may_mount() -> bool:
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in ("mkfs.ext4", "mount", "umount"))


def _make_mounted(folder: Path, limits: Limits, uid: int, gid: int, *, sparse: bool) -> bool:
    """Make a file system of this size at this new folder; return whether that worked. Raises OSError if not even
    its image can be made."""
    image = _image(folder)
    folder.mkdir()
    with image.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        # A little more than asked for, since the file system keeps its own books in it.
        size = limits.disk + limits.disk // 100 + limits.inodes * INODE + (4 << 20)
        file.truncate(size)
        if not sparse:
            os.posix_fallocate(file.fileno(), 0, size)
    make = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-I", str(INODE), "-m", "0", "-N", str(limits.inodes)]
    make += ["-O", "^has_journal,^resize_inode"]
    make += ["-E", f"root_owner={uid}:{gid},lazy_itable_init=1,nodiscard", str(image)]
    mount = ["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime", str(image), str(folder)]
    return _run(make) and _run(mount)


def _free(folder: Path) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def _sync(folder: Path) -> bool:
    """Write what is in memory of this file system to its disk; return whether that has always worked."""
    handle = os.open(folder, FOLDER)
    try:
        return not ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def _image(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.img")


def _unmount(path: Path) -> None:
    if not _run(["umount", str(path)]):
        _run(["umount", "--lazy", str(path)])


def _run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _mounts_below(folder: Path) -> list[Path]:
    table = Path("/proc/self/mountinfo")
    if not table.exists():
        return []
    top = folder.resolve()
    points = (os.fsdecode(_unescaped(line.split(b" ")[4])) for line in table.read_bytes().splitlines())
    return [path for path in map(Path, points) if path != top and path.is_relative_to(top)]


def _unescaped(field: bytes) -> bytes:
    """Blanks and backslashes are octal in the kernel's table."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)


def _next(listing: "os._ScandirIterator[str]") -> "os.DirEntry[str] | None":
    try:
        return next(listing, None)
    except OSError:
        return None
