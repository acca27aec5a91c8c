"""Files that only their owner may read: the configuration, keys, pins. Read with suspicion, written whole."""

import os
import stat
from pathlib import Path

from homie_core.model.errors import HomieError


def read_private(path: Path, limit: int, error: type[HomieError]) -> bytes:
    """Return the file's bytes; raise `error` if other users can reach it or it is over `limit` bytes.

    FileNotFoundError passes: only the caller knows what a missing file means.
    """
    try:
        # without waiting for a writer, should someone have put a FIFO there
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            _check_ours(path, os.fstat(file.fileno()), error)
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from problem
    if len(data) > limit:
        raise error(f"{path}: is larger than {limit} bytes; it is damaged, or not a file of Homie")
    return data


def write_private(path: Path, data: bytes, error: type[HomieError], *, fresh: bool = False) -> None:
    """Put the whole file in place or change nothing (mode 0600, folder 0700); raise `error` if it cannot.

    With `fresh` an existing file is never replaced: FileExistsError.
    """
    try:
        target = path.resolve()  # a link (dotfiles, say) stays a link
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, parents=True)
        draft = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if fresh:
                os.link(draft, target)
            else:
                draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        _settle(target.parent)
    except OSError as problem:
        if fresh and isinstance(problem, FileExistsError):
            raise
        raise error(f"{path}: cannot be written: {problem.strerror}") from problem


def _check_ours(path: Path, status: os.stat_result, error: type[HomieError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path}: is not a regular file; move it away")
    if os.name != "posix":  # elsewhere the mode says nothing about who may read
        return
    if status.st_uid != os.geteuid():
        raise error(
            f"{path}: belongs to another user (uid {status.st_uid}), you are uid {os.geteuid()}; "
            f"if it is yours, run: sudo chown {os.geteuid()} {path}"
        )
    if status.st_mode & 0o077:
        raise error(
            f"{path}: other users may read or change it (mode {stat.S_IMODE(status.st_mode):o}); "
            f"run: chmod 600 {path}"
        )


def _settle(folder: Path) -> None:
    """Make a rename in the folder outlast a power cut."""
    if os.name != "posix":  # only there can a folder be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
