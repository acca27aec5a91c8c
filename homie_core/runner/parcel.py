"""Parcels: buffers too large for a message, as one file.

    number of buffers (4) | length of each (8, ...) | the buffers

big endian; each buffer begins at a multiple of 64, as numpy likes it. The file lies in the folder PARCELS, below
the session's. The host puts those that come there, and the session removes them; it sends those that go, and
removes them when they are sent. A file that goes (`outgoing`) is a parcel too, as it is, without head and lengths.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence

from homie_core.runner.values import Buffer

PARCELS = ".homie"
INLINE = 2 << 20
"""Bytes of buffers that travel in a message; more are a parcel."""
MAX_BUFFERS = 1 << 16
_COUNT, _LENGTH = struct.Struct(">I"), struct.Struct(">Q")
_ALIGNED = 64


def bundle(buffers: Sequence[Buffer]) -> Iterator[memoryview]:
    """Yield the bytes of a parcel that holds these buffers."""
    head = _COUNT.pack(len(buffers)) + b"".join(_LENGTH.pack(memoryview(each).nbytes) for each in buffers)
    for each in (head, *buffers):
        if view := memoryview(each):
            yield view.cast("B")
            if gap := -view.nbytes % _ALIGNED:
                yield memoryview(bytes(gap))


def unbundled(size: int, read_into: Callable[[memoryview], int]) -> list[memoryview]:
    """Read a parcel of so many bytes; `read_into` fills the beginning of what it is given and returns how much.

    Raises ValueError for what is no parcel, before there is memory for it.
    """

    def read(length: int) -> memoryview:
        # A bytearray is filled with zeros first: of a gigabyte, half a second in which nothing comes.
        whole = memoryview(mmap.mmap(-1, length) if length >= INLINE else bytearray(length))
        view = whole
        while view:
            got = read_into(view)
            if not got:
                raise ValueError("a parcel that ends before its end")
            view = view[got:]
        return whole

    def read_aligned(length: int) -> memoryview:
        buffer = read(length)
        read(-length % _ALIGNED)
        return buffer

    (count,) = _COUNT.unpack(read(_COUNT.size))
    if count > MAX_BUFFERS:
        raise ValueError(f"a parcel of {count} buffers")
    lengths = [length for (length,) in _LENGTH.iter_unpack(read(count * _LENGTH.size))]
    head = _COUNT.size + count * _LENGTH.size
    read(-head % _ALIGNED)
    if sum(length + -length % _ALIGNED for length in (head, *lengths)) != size:
        raise ValueError("a parcel of another size")
    return [read_aligned(length) for length in lengths]


def taken(path: str) -> list[memoryview]:
    """Return the buffers of a parcel that lies here, and delete it.

    They are the file itself: nothing is copied until it is written to, and what is not in use needs no memory.
    """
    with open(path, "rb") as file:
        os.unlink(path)
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    (count,) = _COUNT.unpack_from(whole)
    buffers, at = [], _COUNT.size + count * _LENGTH.size
    for number in range(count):
        (length,) = _LENGTH.unpack_from(whole, _COUNT.size + number * _LENGTH.size)
        at += -at % _ALIGNED
        buffers.append(whole[at : at + length])
        at += length
    return buffers
