"""Values into a session's kernel before a cell, and out of it afterwards.

The execute request of such a cell carries a wish beside its code, `content["homie"]`:

    python     version of the Python that pickled, [3, 11]
    sends      whether values come: a pickled dict of them is the message's first buffer, before what belongs to it
    parcel     name of the parcel that holds these buffers instead
    gives      expressions whose values go back; `keeps`: names that are only told about
    offers     names whose values go back, each only if it takes no more than `most` bytes
    pickles    whether values that are no data may go back as pickles
    gets       patterns of files that go back

What goes back is one message GIVEN on IOPUB, before the cell is idle. Its `values` are in the order of the wish:
each has a `name` and either an `error` or a `description` and the number of its `buffers`, which are the
message's own, or in its `parcel`; its `kept` have `name`, `type`, `shape` and `bytes`. Its `files`, `misses` and
`left` are what `outgoing` says of files.
"""

import os
import pickle
import sys
import time
from contextlib import suppress
from typing import Any

from homie_core.runner.outgoing import Outgoing
from homie_core.runner.parcel import INLINE, PARCELS, bundle, taken
from homie_core.runner.values import Buffer, NotData, describe, name_of

WISH = "homie"
UNFETCHED = 3600.0
"""Seconds that a parcel waits for who has asked for it; what was fetched its host removes at once."""
GIVEN = "homie_values"
CANNOT_TAKE = "CannotTake"
"""Name of the error of a cell that has not run, for what came with it could not be made here."""
_CODE = b"_make_function", b"_make_skeleton_class", b"CodeType"
"""In a pickle that holds the bytecode of functions, which only the same Python understands."""


class Exchange:
    """What one cell takes and gives; `names` is the namespace of the kernel's variables."""

    def __init__(self, wish: dict[str, Any], buffers: list[Any], folder: str, names: dict[str, Any]) -> None:
        self._wish, self._buffers, self._names = wish, buffers, names
        self._top = folder
        self._folder = os.path.join(folder, PARCELS)

    def take(self) -> str:
        """Put what came among the variables; return why that cannot be, or nothing."""
        self._clear()
        if not self._wish.get("sends"):
            return ""
        try:
            # in memory that can be written, as arrays should be
            buffers = (
                taken(os.path.join(self._folder, parcel))
                if (parcel := self._wish.get("parcel"))
                else [memoryview(bytearray(each)) for each in self._buffers]
            )
            theirs, mine = tuple(self._wish["python"]), sys.version_info[:2]
            if theirs != mine and any(mark in bytes(buffers[0]) for mark in _CODE):
                return (
                    f"functions and classes of a notebook travel only between the same versions of Python: "
                    f"{theirs[0]}.{theirs[1]} sent, {mine[0]}.{mine[1]} is here. Define them in this cell"
                )
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
        gives = self._wish.get("gives", ())
        for number, name in enumerate((*gives, *self._wish.get("offers", ()))):
            try:
                value = eval(name, self._names)  # noqa: S307 - the submitter's own words, in his own sandbox
                description, parts = describe(name, value, bool(self._wish.get("pickles")))
                if number >= len(gives) and (size := len(description) + _size(parts)) > self._wish["most"]:
                    raise NotData(name, f"its {size} bytes are more than may come unasked")
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
        content: dict[str, Any] = {"values": values, "kept": kept}
        if globs := self._wish.get("gets"):
            content |= Outgoing(self._top).offer(globs)
        if _size(buffers) <= INLINE:
            return content, buffers
        try:
            return {**content, "parcel": self._write(buffers)}, []
        except OSError as error:
            megabytes = f"{_size(buffers) / (1 << 20):.0f} MB"
            why = f"{megabytes} are to come, and do not fit onto its disk ({error.strerror}); `--keep` leaves them"
            return {
                **content,
                "values": [{"name": each["name"], "error": why, "where": ""} for each in values],
            }, []

    def _write(self, buffers: list[Buffer]) -> str:
        os.makedirs(self._folder, 0o700, exist_ok=True)
        name = os.urandom(8).hex()
        path = os.path.join(self._folder, name)
        try:
            with open(path, "xb", buffering=0) as file:
                for view in bundle(buffers):
                    while view:
                        view = view[file.write(view) :]
        except OSError:
            with suppress(OSError):
                os.unlink(path)
            raise
        return name

    def _clear(self) -> None:
        """Remove the parcels, but its own, that nobody has fetched for so long that nobody will."""
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        for name in names:
            path = os.path.join(self._folder, name)
            with suppress(OSError):  # its host has just removed it
                if name != self._wish.get("parcel") and time.time() - os.lstat(path).st_ctime > UNFETCHED:
                    os.unlink(path)


def _size(buffers: list[Buffer]) -> int:
    return sum(memoryview(each).nbytes for each in buffers)


def _told(value: Any) -> dict[str, Any]:
    """Return what is told of a value that stays here."""
    shape = getattr(value, "shape", None)
    known = isinstance(shape, tuple) and all(isinstance(length, int) for length in shape)
    size = getattr(value, "nbytes", None)
    if not isinstance(size, int):
        size = sys.getsizeof(value, 0)
    return {"type": name_of(type(value))[:200], "shape": list(shape) if known and shape else None, "bytes": size}
