"""What a session has been told, until its runner has surely heard it: so that another daemon can say the rest.

The file holds one `_State`, then one `Kept` for each input, as frames (`wire.frame`). What has been heard is
dropped from its front now and then.
"""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from homie_core.model.errors import CannotWrite
from homie_core.model.names import Digest, FileName
from homie_core.model.session import Input, Place, Told
from homie_core.model.wire import MAX_MESSAGE, Frozen, decode, frame
from homie_core.store.room import room

LARGE = 1 << 20
"""Bytes that are worth dropping."""
MAX_ORIGINS = 64
"""Front ends whose last number is remembered."""


class Kept(Frozen, frozen=True):
    """One input; `number` grows by one from each to the next."""

    number: Annotated[int, Meta(ge=1, lt=2**62)]
    what: Told | Place
    origin: str = ""
    said: int = 0
    """Its number among those of its origin."""


class _State(Frozen, frozen=True):
    """All that is to be known of the inputs that are not in the file."""

    last: int
    taken: dict[str, int]
    placed: dict[FileName, Digest]


class Inputs:
    """The inputs of one session; one writer."""

    def __init__(self, path: Path) -> None:
        """Open them, or make them; raise CannotWrite if there is no room."""
        self._path = path
        self.last = 0
        """Number of the newest."""
        self.taken: dict[str, int] = {}
        """Of each front end, the number of its newest."""
        self.placed: dict[FileName, Digest] = {}
        """Files that came while it ran."""
        self._kept: deque[tuple[int, int, int]] = deque()
        """Number, offset and length of those in the file that have perhaps not been heard."""
        self._size = 0
        with room(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    def append(self, what: Told | Place, said: Input | None = None) -> int:
        """Write down the next input; return its number. Raises CannotWrite, and has taken none, without room."""
        origin, number = (said.origin, said.number) if said else ("", 0)
        kept = Kept(number=self.last + 1, what=what, origin=origin, said=number)
        data = frame(kept)
        self._write(data)
        self._count(kept, self._size - len(data), len(data))
        return self.last

    def next(self, number: int) -> Kept | None:
        """Return the first input after this one that is here; None if there is none."""
        if not self._kept or number >= self.last:
            return None
        _, offset, length = self._kept[max(0, number + 1 - self._kept[0][0])]
        return decode(os.pread(self._file, length - 4, offset + 4), Kept)

    def heard(self, number: int) -> None:
        """The runner has all inputs up to this one."""
        while self._kept and self._kept[0][0] <= number:
            self._kept.popleft()
        begin = self._kept[0][1] if self._kept else self._size
        if begin > LARGE:
            with suppress(CannotWrite):  # it may be dropped with the next ones
                self._drop(begin)

    def close(self) -> None:
        os.close(self._file)

    def _drop(self, begin: int) -> None:
        """Write the file anew, with what it has from this offset on."""
        first = self._kept[0][0] if self._kept else self.last + 1
        state = frame(_State(last=first - 1, taken=self.taken, placed=self.placed))
        new = self._path.with_name(f"{self._path.name}.new")
        with room(new):
            new.write_bytes(state + os.pread(self._file, self._size - begin, begin))
        new.chmod(0o600)
        new.replace(self._path)
        os.close(self._file)
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        moved = len(state) - begin
        self._kept = deque((number, offset + moved, length) for number, offset, length in self._kept)
        self._size += moved

    def _write(self, data: bytes) -> None:
        view, written = memoryview(data), 0
        with room(self._path):
            while written < len(view):
                written += os.pwrite(self._file, view[written:], self._size + written)
        self._size += written

    def _count(self, kept: Kept, offset: int, length: int) -> None:
        self.last = kept.number
        self._kept.append((kept.number, offset, length))
        if kept.origin:
            self.taken.pop(kept.origin, None)
            self.taken[kept.origin] = kept.said
            while len(self.taken) > MAX_ORIGINS:
                del self.taken[next(iter(self.taken))]
        if isinstance(kept.what, Place):
            self.placed |= {file.name: file.digest for file in kept.what.files}

    def _recover(self) -> None:
        """Read what an earlier life of the daemon wrote; a record that was cut by its death was never taken."""
        total = os.fstat(self._file).st_size
        if (first := self._frame_at(0, total)) is None:
            self._write(frame(_State(last=0, taken={}, placed={})))
            return
        state = decode(first, _State)
        self.last, self.taken, self.placed = state.last, state.taken, state.placed
        self._size = 4 + len(first)
        while (data := self._frame_at(self._size, total)) is not None:
            self._count(decode(data, Kept), self._size, 4 + len(data))
            self._size += 4 + len(data)
        os.ftruncate(self._file, self._size)

    def _frame_at(self, offset: int, total: int) -> bytes | None:
        length = int.from_bytes(os.pread(self._file, 4, offset), "big")
        if offset + 4 + length > total or not 0 < length <= MAX_MESSAGE:
            return None
        return os.pread(self._file, length, offset + 4)
