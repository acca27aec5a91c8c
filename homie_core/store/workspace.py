"""A job's files on its host: laid out before it runs, taken back after its sandbox is gone.

What comes back was written by a stranger: it is reached folder by folder through descriptors, no link is ever
followed, nothing is opened that could block, and everything is counted.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from homie_core.model.errors import SandboxError, UnsafeName
from homie_core.model.event import Collected
from homie_core.model.job import MAX_FILES, FileRef
from homie_core.model.names import MAX_DEPTH, Digest, FileName, safe_file_name
from homie_core.runner.parcel import PARCELS
from homie_core.store.room import is_full, room

MAX_BYTES = 64 << 30
"""Bytes of all files that one job may return."""

MAX_SECONDS = 900.0
"""Time for taking them in, mostly spent on reading them."""

MAX_ENTRIES = 1_000_000
"""Names looked at, whatever they are."""

IGNORED = frozenset({PARCELS, "__pycache__", ".ipynb_checkpoints", ".cache"})
"""Folders that programs fill by the way."""

CHUNK = 1 << 20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Stamp(NamedTuple):
    """What changes when a file is written or replaced."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


Stamps = dict[str, Stamp]


def lay_out(folder: Path, files: tuple[FileRef, ...], received: Path, uid: int, gid: int) -> None:
    """Make `folder` with `work/` (the files, which stay in `received` too) and `spool/`.

    Both belong to uid and gid; `folder` itself stays closed to everyone else. It may be there already, and the
    two in it as fresh file systems. Raises SandboxError if the files do not fit.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("work", "spool"):
        _make_folder(folder / name, uid, gid)
    try:
        _fill(folder / "work", files, received, uid, gid)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SandboxError("its files do not fit onto the disk that a job is lent there") from error
        raise


def _fill(work: Path, files: tuple[FileRef, ...], received: Path, uid: int, gid: int) -> None:
    linked: set[Digest] = set()
    for file in files:
        path = work / file.name
        for parent in reversed(path.relative_to(work).parents[:-1]):
            _make_folder(work / parent, uid, gid)
        # Two files with one content must not be one file.
        if file.digest in linked or not _link(received / file.digest, path):
            shutil.copyfile(received / file.digest, path)
        linked.add(file.digest)
        path.chmod(0o755 if file.executable else 0o644)
        os.chown(path, uid, gid)


def stamped(folder: Path, files: tuple[FileRef, ...], kept: Path) -> Stamps:
    """Return the stamps of a job's files as they were before it ran: those in the file `kept`, which is made if
    there is none. Raises CannotWrite if there is no room for that."""
    try:
        return msgspec.json.decode(kept.read_bytes(), type=Stamps)
    except FileNotFoundError:
        stamps = {str(file.name): _stamp((folder / "work" / file.name).stat()) for file in files}
        new = kept.with_name(f"{kept.name}.new")
        with room(kept):
            new.write_bytes(msgspec.json.encode(stamps))
            new.replace(kept)
        return stamps


def collect(
    folder: Path,
    files: tuple[FileRef, ...],
    stamps: Stamps,
    into: Path,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> Collected:
    """Put what is new or changed in `work/` at `into`/<digest> too; say what was left behind, and why.

    Only for a folder whose sandbox has ended: nothing may write there any more. Done twice, it is as done once.
    """
    into.mkdir(mode=0o700, exist_ok=True)
    collection = _Collection(files, stamps, into, max_bytes, time.monotonic() + max_seconds)
    top = os.open(folder / "work", FOLDER)
    try:
        collection.take_folder(top, "", 1)
    except _Enough as reason:
        collection.skip("", str(reason))
    finally:
        os.close(top)
    return collection.result()


def kept_size(folder: Path) -> int:
    """Return the bytes of disk that the events and results of a job take, as far as they are there."""
    size = 0
    for path in (folder / "events", *(folder / "results").glob("*")):
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_blocks * 512
    return size


def remove(folder: Path) -> None:
    """Delete a tree that a job has written, however deep and whatever its modes; follow no link out of it."""
    try:
        top = os.open(folder, FOLDER)
    except FileNotFoundError:
        return
    # Folders are moved to the top one by one, so neither depth nor the length of a path matters.
    prefix, made = uuid.uuid4().hex, 0
    try:
        pending = _empty(top)
        while pending:
            name = pending.pop()
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, FOLDER, dir_fd=top)
            try:
                for child in _empty(inner):
                    os.chmod(child, 0o700, dir_fd=inner)
                    made += 1
                    os.rename(child, f"{prefix}{made}", src_dir_fd=inner, dst_dir_fd=top)
                    pending.append(f"{prefix}{made}")
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


class _Enough(Exception):
    """A bound of the whole collection is reached."""


class _Collection:
    """What has been taken and left so far."""

    def __init__(
        self, files: tuple[FileRef, ...], stamps: Stamps, into: Path, max_bytes: int, until: float
    ) -> None:
        self._given = {file.name: file for file in files}
        self._stamps = stamps
        self._into = into
        self._device = into.stat().st_dev
        self._bytes_left = max_bytes
        self._entries_left = MAX_ENTRIES
        self._until = until
        self._taken: list[FileRef] = []
        self._skipped: list[str] = []
        self._more = 0

    def result(self) -> Collected:
        """Return all of it, bounded."""
        more = (f"and {self._more} more",) if self._more else ()
        return Collected(files=tuple(self._taken), skipped=(*self._skipped, *more))

    def skip(self, name: str, why: str) -> None:
        """Note what is left behind; names of strangers are shown as ASCII."""
        if len(self._skipped) < 99:
            shown = ascii(name)[1:-1]
            shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
            self._skipped.append(f"{shown}: {why}" if name else why)
        else:
            self._more += 1

    def take_folder(self, fd: int, prefix: str, depth: int) -> None:
        """Take what is in this folder, and below."""
        for entry in _entries(fd):
            self._entries_left -= 1
            if self._entries_left < 0:
                raise _Enough(f"the job left more than {MAX_ENTRIES:,} names; the rest was not looked at")
            self._check_time()
            name = prefix + entry.name
            try:
                self._take(fd, entry, name, depth)
            except UnsafeName:
                self.skip(name, "unsafe name")
            except OSError as error:
                if is_full(error):
                    raise
                self.skip(name, f"cannot be read ({error.strerror})")

    def _take(self, parent: int, entry: "os.DirEntry[str]", name: str, depth: int) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if entry.name in IGNORED:
                return
            if depth >= MAX_DEPTH:
                self.skip(name, f"nested deeper than {MAX_DEPTH} levels")
                return
            fd = os.open(entry.name, FOLDER, dir_fd=parent)
            try:
                self.take_folder(fd, f"{name}/", depth + 1)
            finally:
                os.close(fd)
        elif not stat.S_ISREG(status.st_mode):
            self.skip(name, _kind(status.st_mode))
        elif self._stamps.get(name) != _stamp(status):
            self._take_file(parent, entry.name, safe_file_name(name))

    def _take_file(self, parent: int, short: str, name: FileName) -> None:
        if len(self._taken) >= MAX_FILES:
            raise _Enough(f"the job left more than {MAX_FILES:,} files; the rest was left behind")
        fd = os.open(short, FILE, dir_fd=parent)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                self.skip(name, _kind(status.st_mode))
                return
            if status.st_size > self._bytes_left:
                self.skip(name, "more bytes than one job may return")
                return
            digest = self._digest(fd)
            file = FileRef(
                name=name, digest=digest, size=status.st_size, executable=bool(status.st_mode & stat.S_IXUSR)
            )
            if file == self._given.get(name):
                return  # touched, or written as it was
            self._bytes_left -= status.st_size
            if not (self._into / digest).exists():
                self._put(fd, status, parent, short, self._into / digest)
        finally:
            os.close(fd)
        self._taken.append(file)

    def _put(self, fd: int, status: os.stat_result, parent: int, short: str, to: Path) -> None:
        if status.st_dev != self._device:
            self._copy(fd, status.st_size, to)
            return
        os.fchmod(fd, 0o600)
        os.fchown(fd, os.geteuid(), os.getegid())
        os.link(short, to, src_dir_fd=parent, follow_symlinks=False)

    def _copy(self, fd: int, size: int, to: Path) -> None:
        """Copy a file from a file system of the job's own; its holes stay holes, or they would fill our disk."""
        os.lseek(fd, 0, os.SEEK_SET)
        part = to.with_name(f"{to.name}.part")
        try:
            with part.open("wb") as copy:
                os.fchmod(copy.fileno(), 0o600)
                while data := os.read(fd, CHUNK):
                    if data.strip(b"\0"):
                        copy.write(data)
                    else:
                        copy.seek(len(data), os.SEEK_CUR)
                    self._check_time()
                copy.truncate(size)
            part.replace(to)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _digest(self, fd: int) -> Digest:
        hashed = hashlib.sha256()
        while data := os.read(fd, CHUNK):
            hashed.update(data)
            self._check_time()
        return Digest(hashed.hexdigest())

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise _Enough("taking in the job's files took too long; the rest was left behind")


def _entries(fd: int) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(fd) as entries:
        yield from entries


def _empty(fd: int) -> list[str]:
    """Delete everything in this folder but folders; return those."""
    folders = []
    for entry in _entries(fd):
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=fd)
    return folders


def _link(old: Path, new: Path) -> bool:
    """Give a file a second name; return whether it can be."""
    try:
        os.link(old, new)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    return True


def _make_folder(path: Path, uid: int, gid: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    os.chown(path, uid, gid)
    if path.is_mount():
        with contextlib.suppress(FileNotFoundError):  # laid out before, without files
            (path / "lost+found").rmdir()


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return f"not taken: {kinds.get(stat.S_IFMT(mode), 'no regular file')}"
