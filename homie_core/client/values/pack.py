"""Values on their way to a sandbox: pickled, since it is the sender's own code that reads them there."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homie_core.model.control import Source
from homie_core.model.errors import CannotSend
from homie_core.model.names import FileName
from homie_core.runner.exchange import bundle
from homie_core.runner.values import Buffer, name_of

INLINE = 2 << 20
"""Bytes that travel with the cell itself; more become a file that goes before it."""


class Packed:
    """Values that are ready to go: a pickled dict of them, then the memory that it refers to, uncopied."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Raises CannotSend, which names the value that is in the way."""
        self.names = tuple(values)
        self.buffers = _pickled(dict(values)) if values else []
        self.size = sum(memoryview(buffer).nbytes for buffer in self.buffers)
        """Bytes."""

    @property
    def is_large(self) -> bool:
        """Whether they need a file of their own."""
        return self.size > INLINE

    @contextmanager
    def as_file(self, folder: Path) -> Iterator[Source]:
        """Hold a file with all of it in this folder, as it can be sent."""
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / os.urandom(8).hex()
        try:
            with path.open("xb", buffering=0) as file:
                path.chmod(0o600)
                for each in bundle(self.buffers):
                    view = memoryview(each).cast("B")
                    while view:
                        view = view[file.write(view) :]
            yield Source(name=FileName(f".homie/{path.name}"), path=str(path))
        finally:
            path.unlink(missing_ok=True)


def wish(
    packed: Packed, gives: tuple[str, ...] = (), keeps: tuple[str, ...] = (), *, file: str | None, pickles: bool
) -> dict[str, Any]:
    """Return what a cell's request says of its values; see `homie_core.runner.exchange`."""
    return {
        "python": sys.version_info[:2],
        "sends": bool(packed.names),
        "file": file,
        "gives": gives,
        "keeps": keeps,
        "pickles": pickles,
    }


def _pickled(values: dict[str, Any]) -> list[Buffer]:
    import pickle

    import cloudpickle

    taken: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps(values, protocol=5, buffer_callback=taken.append)
    except Exception as error:  # whatever a class's own code raises
        for name, value in values.items():
            if len(values) > 1:
                _pickled({name: value})
            else:
                raise CannotSend(
                    f"`{name}` ({name_of(type(value))}) cannot be sent: {type(error).__name__}: {error}"
                ) from error
        raise CannotSend(f"{', '.join(values)} cannot be sent together: {error}") from error
    return [data, *(buffer.raw() for buffer in taken)]
