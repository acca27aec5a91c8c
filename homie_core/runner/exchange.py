"""Values into a session's kernel before a cell, and out of it afterwards.

The execute request of such a cell carries a wish beside its code, `content["homie"]`:

    python     version of the Python that pickled, [3, 11]
    sends      whether values come: a pickled dict of them is the message's first buffer, or, with what belongs
               to it, the file at `file`, below the session's folder
    gives      expressions whose values go back; `keeps`: names that are only told about
    pickles    whether values that are no data may go back as pickles

What goes back is one message GIVEN on IOPUB, before the cell is idle. Its `values` are in the order of the wish:
each has a `name` and either an `error` or a `description` and the number of its `buffers`; its `kept` have `name`,
`type`, `shape` and `bytes`.
"""

import os
import pickle
import struct
import sys
from collections.abc import Iterator
from typing import Any

from homie_core.runner.values import Buffer, NotData, describe, name_of

WISH = "homie"
GIVEN = "homie_values"
_COUNT, _LENGTH = struct.Struct(">I"), struct.Struct(">Q")
_CODE = b"_make_function", b"_make_skeleton_class", b"CodeType"
"""In a pickle that holds the bytecode of functions, which only the same Python understands."""


class Exchange:
    """What one cell takes and gives; `names` is the namespace of the kernel's variables."""

    def __init__(self, wish: dict[str, Any], buffers: list[Any], folder: str, names: dict[str, Any]) -> None:
        self._wish, self._buffers, self._folder, self._names = wish, buffers, folder, names

    def take(self) -> str:
        """Put what came among the variables; return why that cannot be, or nothing."""
        if not self._wish.get("sends"):
            return ""
        file = self._wish.get("file")
        # in memory of their own, so that arrays can be written
        buffers = (
            [bytearray(each) for each in self._buffers]
            if file is None
            else _read(os.path.join(self._folder, file))
        )
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
        return {"values": values, "kept": kept}, buffers


def bundle(buffers: list[Buffer]) -> Iterator[Buffer]:
    """Yield the bytes of a file that holds these buffers."""
    yield _COUNT.pack(len(buffers)) + b"".join(_LENGTH.pack(memoryview(each).nbytes) for each in buffers)
    yield from buffers


def _read(path: str) -> list[bytearray]:
    """Return the buffers of such a file, and delete it."""
    with open(path, "rb", buffering=0) as file:
        os.unlink(path)
        (count,) = _COUNT.unpack(file.read(_COUNT.size))
        lengths = [_LENGTH.unpack(file.read(_LENGTH.size))[0] for _ in range(count)]
        buffers = []
        for length in lengths:
            buffer = bytearray(length)
            view = memoryview(buffer)
            while view:
                read = file.readinto(view)
                if not read:
                    raise EOFError(path)
                view = view[read:]
            buffers.append(buffer)
        return buffers


def _told(value: Any) -> dict[str, Any]:
    """Return what is told of a value that stays here."""
    shape = getattr(value, "shape", None)
    known = isinstance(shape, tuple) and all(isinstance(length, int) for length in shape)
    size = getattr(value, "nbytes", None)
    if not isinstance(size, int):
        size = sys.getsizeof(value, 0)
    return {"type": name_of(type(value))[:200], "shape": list(shape) if known and shape else None, "bytes": size}
