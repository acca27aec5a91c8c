"""Values on their way to a sandbox: pickled, since it is the sender's own code that reads them there."""

import sys
from collections.abc import Mapping
from typing import Any

from homie_core.client.values.local import sent_whole
from homie_core.model.errors import CannotSend
from homie_core.model.session import ParcelName
from homie_core.runner.parcel import INLINE
from homie_core.runner.values import Buffer, name_of


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
        """Whether they go ahead of their cell, as a parcel."""
        return self.size > INLINE


def wish(
    packed: Packed,
    gives: tuple[str, ...] = (),
    keeps: tuple[str, ...] = (),
    gets: tuple[str, ...] = (),
    offers: tuple[str, ...] = (),
    most: int | None = None,
    *,
    parcel: ParcelName | None,
    pickles: bool,
) -> dict[str, Any]:
    """Return what a cell's request says of its values and files; see `homie_core.runner.exchange`."""
    return {
        "python": sys.version_info[:2],
        "sends": bool(packed.names),
        "parcel": parcel,
        "gives": gives,
        "keeps": keeps,
        "gets": gets,
        "offers": offers,
        "most": most,
        "pickles": pickles,
    }


def _pickled(values: dict[str, Any]) -> list[Buffer]:
    import pickle

    import cloudpickle

    taken: list[pickle.PickleBuffer] = []
    try:
        with sent_whole():
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
