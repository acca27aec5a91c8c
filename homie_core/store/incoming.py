"""Files that arrive from another machine: written beside their place, checked, then put there whole."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from homie_core.model.errors import TransferError, UnsafeName
from homie_core.model.job import FileRef
from homie_core.model.names import Digest, FileName, JobId, safe_file_name
from homie_core.model.quantity import show_size
from homie_core.model.session import Offered
from homie_core.store.room import is_full, room


class Incoming:
    """One file on its way in; leaves nothing behind unless `finish` was reached.

    `folder` is a file descriptor of the folder it will lie in; `digest` may not be known.
    """

    def __init__(self, folder: int, size: int, digest: Digest | None) -> None:
        self._folder = folder
        self._part = f".homie-{secrets.token_hex(6)}.part"
        self._size, self._digest = size, digest
        self._hash = hashlib.sha256()
        self._done = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._part, flags, 0o600, dir_fd=folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.close(self._file)
        if self._part:
            with suppress(FileNotFoundError):  # with the whole folder
                os.unlink(self._part, dir_fd=self._folder)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; raise TransferError as soon as there are more than announced."""
        self._done += len(data)
        if self._done > self._size:
            raise TransferError(f"more than the {self._size} bytes that were announced")
        if self._digest is not None:
            self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def finish(self, name: str, mode: int) -> bool:
        """Check size and digest and put the file in place; False if something has that name already."""
        if self._done != self._size:
            raise TransferError(f"{self._done} of {self._size} bytes arrived")
        if self._digest is not None and self._hash.hexdigest() != self._digest:
            raise TransferError("its content is not what was announced (it may have been changed meanwhile)")
        os.fchmod(self._file, mode)
        try:
            # A hard link, unlike a rename, never replaces what is there.
            os.link(self._part, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
        except FileExistsError:
            return False
        os.unlink(self._part, dir_fd=self._folder)
        self._part = ""
        return True


class Delivery:
    """The folder in which the files of one job arrive on their submitter's machine.

    Nothing is written outside it, through a link, or over a file that exists: such a file gets the job's id
    behind its name.
    """

    def __init__(self, folder: Path, job: JobId) -> None:
        self._job = job
        self.folder = folder
        """Made when the first file comes."""
        self.taken: set[FileName] = set()
        """What has arrived, by the names that the job gave."""
        self.files: list[FileName] = []
        """What has arrived, by the names that it has here."""
        self.notes: list[str] = []

    @contextmanager
    def receive(self, ref: FileRef | Offered) -> Iterator[Incoming]:
        """Yield where this file's bytes are to be written; on leaving, it is checked and put in place."""
        with room(self.folder), self._receive(ref) as incoming:
            yield incoming

    @contextmanager
    def _receive(self, ref: FileRef | Offered) -> Iterator[Incoming]:
        folder = self._open_parent(safe_file_name(ref.name))
        base = ref.name.rsplit("/", 1)[-1]
        mode = 0o755 if ref.executable else 0o644
        digest = ref.digest if isinstance(ref, FileRef) else None
        try:
            with Incoming(folder, ref.size, digest) as incoming:
                yield incoming
                if incoming.finish(base, mode):
                    self.files.append(ref.name)
                    self.taken.add(ref.name)
                    return
                other = FileName(f"{ref.name}.{self._job}")
                if not incoming.finish(f"{base}.{self._job}", mode):
                    raise TransferError(f"{ref.name} and {other} exist already; nothing was overwritten")
                self.files.append(other)
                self.taken.add(ref.name)
                self.notes.append(f"{ref.name} exists already and was kept; what came back is {other}")
        finally:
            os.close(folder)

    def _open_parent(self, name: FileName) -> int:
        """Open the folder of this name below the root, making it; never through a symbolic link."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.folder, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        for part in name.split("/")[:-1]:
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                inner = os.open(part, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                if is_full(error):
                    raise
                raise UnsafeName.because(name, f"{part} is no folder below the results") from error
            finally:
                os.close(folder)
            folder = inner
        return folder


def check_room(folder: Path, size: int) -> None:
    """Raise TransferError if so many bytes do not fit onto the disk of this folder, which may not be made yet."""
    made = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(made).free
    if size > free:
        raise TransferError(f"{show_size(size)} would come; {show_size(free)} of disk are free at {made}")


class Inbox:
    """The folder in which the inputs of one hosted job arrive; each lies there under its digest."""

    def __init__(self, folder: Path, files: tuple[FileRef, ...]) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._sizes = {file.digest: file.size for file in files}
        self._missing = {digest: None for digest in self._sizes if not (folder / digest).exists()}

    @property
    def missing(self) -> tuple[Digest, ...]:
        """What has not arrived yet, in the job's order."""
        return tuple(self._missing)

    @contextmanager
    def receive(self, digest: Digest) -> Iterator[Incoming]:
        """Yield where this input's bytes are to be written; raise TransferError if nobody announced it."""
        if digest not in self._sizes:
            raise TransferError(f"no file of this job has the digest {digest[:12]}")
        folder = os.open(self._folder, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        try:
            with Incoming(folder, self._sizes[digest], digest) as incoming:
                yield incoming
                try:
                    incoming.finish(digest, 0o600)  # a second copy that came at the same time is dropped
                except FileNotFoundError as error:  # the job has begun with the first copy, or has ended
                    if digest in self._missing:
                        raise TransferError("its job has ended meanwhile") from error
            self._missing.pop(digest, None)
        finally:
            os.close(folder)
