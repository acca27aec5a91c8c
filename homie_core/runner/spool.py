"""Records on disk, in order, until the host has them; also the queue from which they are sent.

What lies in a segment is exactly what goes over the wire, so sending is copying bytes. Segments stay open:
the job may rename or delete their names, which changes nothing.
"""

import contextlib
import os

from homie_core.runner.frames import HEADER, frame

SEGMENT = 8 << 20
"""A segment is closed when it holds that many bytes."""

FULL = 64 << 20
"""With that many bytes not yet acknowledged, no more of the program's output is taken."""


class _Segment:
    def __init__(self, folder: str, first: int) -> None:
        self.first = first
        self.size = 0
        self.path = os.path.join(folder, f"{first:020d}")
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def delete(self) -> None:
        os.close(self.fd)
        with contextlib.suppress(OSError):  # the job may have been there first
            os.unlink(self.path)


class Spool:
    """All records that are not yet acknowledged, and how far they have been sent."""

    def __init__(self, folder: str) -> None:
        self.last = 0
        """Number of the newest record."""
        self.acknowledged = 0
        self._folder = folder
        self._segments: list[_Segment] = []
        self._reading = 0
        """Number of the first record of the segment that is being sent."""
        self._offset = 0

    @property
    def full(self) -> bool:
        """Whether the host must take some before there may be more."""
        return sum(segment.size for segment in self._segments) >= FULL

    @property
    def pending(self) -> bool:
        """Whether there is something to send."""
        return bool(self._segments) and (
            self._reading < self._segments[-1].first or self._offset < self._segments[-1].size
        )

    def append(self, kind: int, payload: bytes) -> None:
        """Write the next record. Raises OSError when the disk is full: nothing may be lost in silence."""
        if not self._segments or self._segments[-1].size >= SEGMENT:
            self._segments.append(_Segment(self._folder, self.last + 1))
        segment = self._segments[-1]
        data = memoryview(frame(kind, self.last + 1, payload))
        while data:
            written = os.pwrite(segment.fd, data, segment.size)
            segment.size += written
            data = data[written:]
        self.last += 1

    def acknowledge(self, number: int) -> None:
        """Forget records up to this one, as far as whole closed segments allow."""
        self.acknowledged = max(self.acknowledged, min(number, self.last))
        while self._segments and self._segments[0].size >= SEGMENT and self._end(0) <= self.acknowledged:
            self._segments.pop(0).delete()

    def seek(self, after: int) -> None:
        """Go on sending with the record after this one (or the oldest that is still here)."""
        self._reading = self._offset = 0
        for index, segment in enumerate(self._segments):
            if self._end(index) > after:
                self._reading, self._offset = segment.first, _offset_of(segment, after + 1)
                return
        if self._segments:
            self._reading, self._offset = self._segments[-1].first, self._segments[-1].size

    def peek(self, size: int) -> bytes:
        """Return the next bytes to send, at most `size`; empty when all is sent. Raises OSError."""
        for segment in self._segments:
            if segment.first > self._reading:
                self._reading, self._offset = segment.first, 0
            if segment.first == self._reading and self._offset < segment.size:
                data = os.pread(segment.fd, min(size, segment.size - self._offset), self._offset)
                if not data:
                    raise OSError("the job damaged its spool")
                return data
        return b""

    def sent(self, size: int) -> None:
        """So many of the bytes that `peek` returned are on their way."""
        self._offset += size

    def _end(self, index: int) -> int:
        """Number of the last record in this segment."""
        return self._segments[index + 1].first - 1 if index + 1 < len(self._segments) else self.last


def _offset_of(segment: _Segment, number: int) -> int:
    """Return where that record begins."""
    data = os.pread(segment.fd, segment.size, 0)
    offset = 0
    while offset + HEADER.size <= len(data):
        _, found, length = HEADER.unpack_from(data, offset)
        if found >= number:
            break
        offset += HEADER.size + length
    return offset
