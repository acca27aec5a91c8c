"""The durable list of one job's events: appended by its host, read as `events after N`.

The file holds the records as they travel (`wire.frame`), so a reader gets the file's own bytes. A reader that
is slow or gone costs no memory: the file is the queue.
"""

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from homie_core.model.errors import BadMessage
from homie_core.model.event import Ended, Event, Record
from homie_core.model.wire import MAX_MESSAGE, Unframer, decode, frame

BATCH = 256 << 10
"""Bytes read, and sent, at once."""
STRIDE = 256
"""Every so many records the offset is kept in memory."""


class Spool:
    """Events 1, 2, 3, ... of one job; one writer, any number of readers, one event loop."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)  # open as long as its writer or a reader holds it
        self._end = 0
        self._offsets = [0]
        """Where record 1, 1 + STRIDE, 1 + 2 * STRIDE, ... begins."""
        self.last = 0
        """Number of the last event; 0 before the first."""
        self.ended = False
        self._news = asyncio.Event()
        self._recover()

    def append(self, event: Event, at: float) -> int:
        """Write the next event, with its wall time; return its number."""
        data = frame(Record(seq=self.last + 1, at=at, event=event))
        view = memoryview(data)
        written = 0
        while written < len(view):
            written += os.pwrite(self._file, view[written:], self._end + written)
        self._count(self._end, len(data), isinstance(event, Ended))
        self._news.set()
        self._news = asyncio.Event()
        return self.last

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """Yield the records after number `after`, in whole frames of about 256 KiB at most, until `Ended`."""
        at = self._offset_of(after + 1)
        while True:
            news = self._news
            data = self._read(at)
            if data:
                at += len(data)
                yield data
            elif self.ended:
                return
            else:
                await news.wait()

    def events(self) -> Iterator[Event]:
        """Yield all events that are here now (for jobs that are found again at start)."""
        at = 0
        while data := self._read(at):
            at += len(data)
            yield from (decode(record, Record).event for record in Unframer().feed(data))

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
        at = self._offsets[(seq - 1) // STRIDE]
        for _ in range((seq - 1) % STRIDE):
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
        at = 0
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
