"""The durable list of one job's events: appended by its host, read as `events after N`.

The file holds the records as they travel (`wire.frame`), so a reader gets the file's own bytes. A reader that
is slow or gone costs no memory: the file is the queue. What a session needs no more is dropped from its front: the
file keeps its length, and the blocks go back to the file system (a hole, see fallocate(2)).
"""

import asyncio
import contextlib
import ctypes
import os
import struct
import weakref
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from homie_core.model.errors import BadMessage, PeerRefused
from homie_core.model.event import Ended, Record
from homie_core.model.wire import MAX_MESSAGE, Unframer, decode, frame
from homie_core.store.room import room

BATCH = 256 << 10
"""Bytes read, and sent, at once."""
STRIDE = 256
"""Every so many records the offset is kept in memory."""
LEAST = 16 << 20
"""Bytes that are worth dropping."""
BEGIN = struct.Struct(">QQ")
"""Offset of the first record that is kept, and its number; in a file of its own beside the records."""


class Spool:
    """Events 1, 2, 3, ... of one job; one writer, any number of readers, one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)  # open as long as its writer or a reader holds it
        self._end = 0
        self._offsets = [0]
        """Where record 1, 1 + STRIDE, 1 + 2 * STRIDE, ... begins."""
        self.last = 0
        """Number of the last event; 0 before the first."""
        self.ended = False
        self._begin = 0
        """Offset of the first record that is kept."""
        self.dropped = 0
        """Number of the last record that is not kept any more."""
        self._readers: dict[object, int] = {}
        """Where each reader is."""
        self._news = asyncio.Event()
        self._recover()

    def append(self, record: Record) -> None:
        """Write the next record; raise CannotWrite, and have written none, if there is no room."""
        data = frame(record)
        view = memoryview(data)
        written = 0
        with room(self._path):
            while written < len(view):
                written += os.pwrite(self._file, view[written:], self._end + written)
        self._count(self._end, len(data), isinstance(record.event, Ended))
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self, after: int) -> AsyncGenerator[bytes]:
        """Yield the records after number `after`, in whole frames of about 256 KiB at most, until `Ended`.

        Raises PeerRefused if the next one is not kept any more.
        """
        if after < self.dropped:
            raise PeerRefused(f"what happened before event {self.dropped} is not kept any more")
        me = object()
        self._readers[me] = at = self._offset_of(after + 1)
        try:
            while True:
                news = self._news
                data = self._read(at)
                if data:
                    yield data
                    self._readers[me] = at = at + len(data)
                elif self.ended:
                    return
                else:
                    await news.wait()
        finally:
            del self._readers[me]

    def drop(self, number: int) -> None:
        """Keep no record up to this number, once it is worth it and no reader has yet to read them."""
        end = self._offset_of(number + 1)
        if end - self._begin < LEAST or any(at < end for at in self._readers.values()):
            return
        written = self._path.with_name(f"{self._path.name}.begin.new")
        written.write_bytes(BEGIN.pack(end, number + 1))
        written.replace(self._path.with_name(f"{self._path.name}.begin"))
        self._begin, self.dropped = end, number
        _punch(self._file, end)

    def records(self) -> Iterator[Record]:
        """Yield all records that are kept (for jobs that are found again at start)."""
        at = self._begin
        while data := self._read(at):
            at += len(data)
            yield from (decode(record, Record) for record in Unframer().feed(data))

    def _read(self, at: int) -> bytes:
        """Return whole frames from this offset: at least one if there is one."""
        data = os.pread(self._file, min(BATCH, self._end - at), at)
        whole = 0
        while len(data) - whole >= 4:
            size = 4 + int.from_bytes(data[whole : whole + 4], "big")
            if whole + size > len(data):
                return data[:whole] if whole else os.pread(self._file, size, at)
            whole += size
        return data[:whole]

    def _offset_of(self, seq: int) -> int:
        if seq > self.last:
            return self._end
        block = (seq - 1) // STRIDE
        at, have = self._offsets[block], block * STRIDE + 1
        if have <= self.dropped:
            at, have = self._begin, self.dropped + 1
        for _ in range(seq - have):
            at += 4 + int.from_bytes(os.pread(self._file, 4, at), "big")
        return at

    def _count(self, offset: int, size: int, ended: bool) -> None:
        if self.last % STRIDE == 0:
            self._offsets[self.last // STRIDE :] = [offset]
        self.last += 1
        self._end = offset + size
        self.ended = self.ended or ended

    def _recover(self) -> None:
        """Read what an earlier process wrote; drop a record that was cut by its death."""
        total = os.fstat(self._file).st_size
        with contextlib.suppress(FileNotFoundError):
            self._begin, first = BEGIN.unpack(self._path.with_name(f"{self._path.name}.begin").read_bytes())
            self.last = self.dropped = first - 1
            self._offsets = [self._begin] * (1 + self.dropped // STRIDE)
        at = self._end = self._begin
        while at + 4 <= total:
            size = 4 + int.from_bytes(os.pread(self._file, 4, at), "big")
            if size > MAX_MESSAGE or at + size > total:
                break
            try:
                record = decode(os.pread(self._file, size - 4, at + 4), Record)
            except BadMessage:
                break
            self._count(at, size, isinstance(record.event, Ended))
            at += size
        if at < total:
            os.ftruncate(self._file, at)


def _punch(file: int, end: int) -> None:
    """Give the blocks before this offset back; a system that cannot keeps them."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is not None:
        fallocate(file, KEEP_SIZE | PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(end))


KEEP_SIZE, PUNCH_HOLE = 1, 2
"""Of fallocate(2)."""
