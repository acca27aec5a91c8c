"""The record of each sandbox, by which a later life of the daemon finds it again."""

import contextlib
from pathlib import Path

import msgspec

from homie_core.model.names import JobId, PeerId


class Record(msgspec.Struct, frozen=True):
    """What must be known to end a sandbox that somebody else started; one file for each."""

    node: PeerId
    job: JobId
    folder: str
    """Of its box."""
    pid: int = 0
    """Process 1 of the sandbox; 0: it has not been started."""
    started: str = ""

    def write(self, path: Path) -> None:
        """Keep it; the file is whole or not there."""
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self))
        new.replace(path)


def read(path: Path) -> Record | None:
    """Return the record in this file; None if there is none that can be read."""
    with contextlib.suppress(msgspec.DecodeError, OSError):
        return msgspec.json.decode(path.read_bytes(), type=Record)
    return None


def records(folder: Path) -> list[tuple[Path, Record]]:
    """Return all records that can be read."""
    return [(path, record) for path in sorted(folder.glob("*.json")) if (record := read(path))]
