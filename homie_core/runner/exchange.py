"""Values into a session's kernel before a cell, and out of it afterwards.

The execute request of such a cell carries a wish beside its code, `content["homie"]`:

    python     version of the Python that pickled, [3, 11]
    sends      whether values come: a pickled dict of them is the message's first buffer, before what belongs to it
    parcel     name of the parcel that holds these buffers instead
    gives      expressions whose values go back; `keeps`: names that are only told about
    pickles    whether values that are no data may go back as pickles

What goes back is one message GIVEN on IOPUB, before the cell is idle. Its `values` are in the order of the wish:
each has a `name` and either an `error` or a `description` and the number of its `buffers`, which are the
message's own, or in its `parcel`; its `kept` have `name`, `type`, `shape` and `bytes`.

A parcel is a file in the folder PARCELS, below the session's: the number of buffers, the length of each, then all
of them. The host puts those that come there and sends those that go; the session removes both.
"""

import os
import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from homie_core.runner.values import Buffer, NotData, describe, name_of

WISH = "homie"
GIVEN = "homie_values"
PARCELS = ".homie"
INLINE = 2 << 20
"""Bytes of buffers that travel in a message; more are a parcel."""
MAX_BUFFERS = 1 << 16
COUNT, LENGTH = struct.Struct(">I"), struct.Struct(">Q")
_CODE = b"_make_function", b"_make_skeleton_class", b"CodeType"
"""In a pickle that holds the bytecode of functions, which only the same Python understands."""


class Exchange:
    """What one cell takes and gives; `names` is the namespace of the kernel's variables."""

    def __init__(self, wish: dict[str, Any], buffers: list[Any], folder: str, names: dict[str, Any]) -> None:
        self._wish, self._buffers, self._names = wish, buffers, names
        self._folder = os.path.join(folder, PARCELS)

    def take(self) -> str:
        """Put what came among the variables; return why that cannot be, or nothing."""
        parcel = self._wish.get("parcel")
        self._clear(parcel)
        if not self._wish.get("sends"):
            return ""
        # in memory of their own, so that arrays can be written
        path = os.path.join(self._folder, parcel) if parcel else ""
        buffers = _read(path) if path else [bytearray(each) for each in self._buffers]
        theirs, mine = tuple(self._wish["python"]), sys.version_info[:2]
        if theirs != mine and any(mark in buffers[0] for mark in _CODE):
            return (
                f"functions and classes of a notebook travel only between the same versions of Python: "
                f"{theirs[0]}.{theirs[1]} sent, {mine[0]}.{mine[1]} is here. Define them in this cell"
            )
        try:
            self._names.update(pickle.loads(buffers[0], buffers=buffers[1:]))  # noqa: S301 - the submitter's
        except ImportError as error:
            return f"what was sent needs a package that is not installed here: {error}"
        except Exception as error:  # whatever a class's own code raises
            return f"what was sent cannot be made here: {type(error).__name__}: {error}"
        return ""

    def give(self) -> tuple[dict[str, Any], list[Buffer]]:
        """Return content and buffers of the message that gives what was wished for."""
        values: list[dict[str, Any]] = []
        buffers: list[Buffer] = []
        for name in self._wish.get("gives", ()):
            try:
                value = eval(name, self._names)  # noqa: S307 - the submitter's own words, in his own sandbox
                description, parts = describe(name, value, bool(self._wish.get("pickles")))
            except NotData as error:
                values.append({"name": name, "error": error.why, "where": error.where})
            except Exception as error:
                values.append({"name": name, "error": f"{type(error).__name__}: {error}", "where": ""})
            else:
                values.append({"name": name, "description": description.decode(), "buffers": len(parts)})
                buffers += parts
        kept = [
            {"name": name, **_told(self._names[name])}
            for name in self._wish.get("keeps", ())
            if name in self._names
        ]
        if sum(memoryview(each).nbytes for each in buffers) <= INLINE:
            return {"values": values, "kept": kept}, buffers
        return {"values": values, "kept": kept, "parcel": self._write(buffers)}, []

    def _write(self, buffers: list[Buffer]) -> str:
        os.makedirs(self._folder, 0o700, exist_ok=True)
        name = os.urandom(8).hex()
        with open(os.path.join(self._folder, name), "xb", buffering=0) as file:
            for view in bundle(buffers):
                while view:
                    view = view[file.write(view) :]
        return name

    def _clear(self, but: str | None) -> None:
        """Remove all parcels but this one: they have been fetched, or nobody wants them any more."""
        if os.path.isdir(self._folder):
            for name in os.listdir(self._folder):
                if name != but:
                    os.unlink(os.path.join(self._folder, name))


def bundle(buffers: Sequence[Buffer]) -> Iterator[memoryview]:
    """Yield the bytes of a parcel that holds these buffers."""
    head = COUNT.pack(len(buffers)) + b"".join(LENGTH.pack(memoryview(each).nbytes) for each in buffers)
    for each in (head, *buffers):
        if view := memoryview(each):
            yield view.cast("B")


def unbundled(size: int, read_into: Callable[[memoryview], int]) -> list[bytearray]:
    """Read a parcel of so many bytes; `read_into` fills the beginning of what it is given and returns how much.

    Raises ValueError for what is no parcel, before there is memory for it.
    """

    def read(length: int) -> bytearray:
        buffer = bytearray(length)
        view = memoryview(buffer)
        while view:
            got = read_into(view)
            if not got:
                raise ValueError("a parcel that ends before its end")
            view = view[got:]
        return buffer

    (count,) = COUNT.unpack(read(COUNT.size))
    if count > MAX_BUFFERS:
        raise ValueError(f"a parcel of {count} buffers")
    lengths = [length for (length,) in LENGTH.iter_unpack(read(count * LENGTH.size))]
    if COUNT.size + count * LENGTH.size + sum(lengths) != size:
        raise ValueError("a parcel of another size")
    return [read(length) for length in lengths]


def _read(path: str) -> list[bytearray]:
    """Return the buffers of a parcel, and delete it."""
    with open(path, "rb", buffering=0) as file:
        os.unlink(path)
        return unbundled(os.fstat(file.fileno()).st_size, file.readinto)


def _told(value: Any) -> dict[str, Any]:
    """Return what is told of a value that stays here."""
    shape = getattr(value, "shape", None)
    known = isinstance(shape, tuple) and all(isinstance(length, int) for length in shape)
    size = getattr(value, "nbytes", None)
    if not isinstance(size, int):
        size = sys.getsizeof(value, 0)
    return {"type": name_of(type(value))[:200], "shape": list(shape) if known and shape else None, "bytes": size}
