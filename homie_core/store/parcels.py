"""Parcels: values too large for a message, and files, in a folder of a session that runs.

The session's own code owns that folder and may change it at any moment, so every step is taken through a
descriptor, no link is followed, and only regular files count. Whatever fails is a TransferError.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from homie_core.model.errors import TransferError
from homie_core.model.session import ParcelName
from homie_core.runner.parcel import PARCELS

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Incoming:
    """A parcel on its way in; `write` raises TransferError, also beyond the bytes that were announced."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self.missing = fd, size

    def write(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing < 0:
            raise TransferError("more came than was announced")
        view = memoryview(data)
        with _in_words():
            while view:
                view = view[os.write(self._fd, view) :]


@contextmanager
def incoming(work: Path, name: ParcelName, size: int, uid: int, gid: int) -> Iterator[Incoming]:
    """Take a parcel of so many bytes in; it gets its name, and that owner, when it is whole."""
    part = f"{name}.part"
    with ExitStack() as cleaning:
        with _in_words():
            folder = _folder(work, uid, gid)
            cleaning.callback(os.close, folder)
            fd = os.open(part, _NEW, 0o600, dir_fd=folder)
            cleaning.callback(os.close, fd)
        try:
            parcel = Incoming(fd, size)
            yield parcel
            if parcel.missing:
                raise TransferError(f"a parcel came without its last {parcel.missing} bytes")
            with _in_words():
                os.fchown(fd, uid, gid)
                os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            raise


@contextmanager
def outgoing(work: Path, name: ParcelName, most: int) -> Iterator[tuple[int, int]]:
    """Open a parcel that the session has made: its descriptor and size, at most so many bytes.

    It is removed on leaving, unless that is by an exception: then it may be asked for again.
    """
    with ExitStack() as cleaning:
        with _in_words():
            folder = _folder(work)
            cleaning.callback(os.close, folder)
            fd = os.open(name, _OLD, dir_fd=folder)
            cleaning.callback(os.close, fd)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise TransferError("what the session made is no parcel")
        yield fd, status.st_size
        with suppress(FileNotFoundError), _in_words():
            os.unlink(name, dir_fd=folder)


def _folder(work: Path, uid: int = -1, gid: int = -1) -> int:
    """Open the folder of a session's parcels; make it for that owner, if one is named."""
    top = os.open(work, _FOLDER)
    try:
        if uid >= 0:
            with suppress(FileExistsError):
                os.mkdir(PARCELS, 0o700, dir_fd=top)
                os.chown(PARCELS, uid, gid, dir_fd=top, follow_symlinks=False)
        return os.open(PARCELS, _FOLDER, dir_fd=top)
    finally:
        os.close(top)


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransferError(f"a parcel of the session: {error.strerror}") from error
