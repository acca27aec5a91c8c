"""Files that come back from a session: what may be asked for, what it offers, and where that goes."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from homie_core.model.errors import HomieError, UnsafeName
from homie_core.model.job import MAX_FILES, check_names
from homie_core.model.names import FileName, safe_file_name
from homie_core.model.session import Offered, ParcelName

MAX_GLOBS = 100
RESULTS = Path("homie-results")

_Told = Annotated[dict[str, str], Meta(max_length=2 * MAX_GLOBS)]


class _File(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=4096)]
    size: Annotated[int, Meta(ge=0, lt=2**62)]
    parcel: ParcelName
    executable: bool = False


class Offer(msgspec.Struct, frozen=True):
    """What a session says of the files that it was asked for; it may say anything."""

    files: Annotated[tuple[_File, ...], Meta(max_length=MAX_FILES)] = ()
    misses: _Told = {}
    """Why a pattern, or a file, does not come."""
    left: _Told = {}
    """What is no file that could come, and was found all the same."""

    def sound(self) -> tuple[Offered, ...]:
        """Return the files, which can lie below one folder of ours. Raises ValueError."""
        files = tuple(
            Offered(name=FileName(each.name), size=each.size, parcel=each.parcel, executable=each.executable)
            for each in self.files
        )
        check_names([file.name for file in files])
        return files


def checked_globs(globs: Iterable[str]) -> tuple[str, ...]:
    """Return these patterns of files in a session's folder. Raises HomieError for what can be none."""
    checked = tuple(dict.fromkeys(globs))
    for glob in checked:
        try:
            safe_file_name(glob.removeprefix("./").rstrip("/"))
        except UnsafeName as error:
            raise HomieError(
                f"files are taken from the session's folder, by patterns such as 'out/*.png', not {glob[:80]!r}"
            ) from error
    if len(checked) > MAX_GLOBS:
        raise HomieError(f"{len(checked)} patterns; {MAX_GLOBS} are possible: `**/*.png` looks in all folders")
    return checked


@contextmanager
def fresh_folder(name: str) -> Iterator[Path]:
    """Make a folder for files of the session of this name: homie-results/NAME-1, or a later number.

    If nothing lies in it on leaving, it is removed.
    """
    RESULTS.mkdir(exist_ok=True)
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:40] or "session"
    numbers = count(1)
    while True:
        folder = (RESULTS / f"{plain}-{next(numbers)}").absolute()
        with suppress(FileExistsError):
            folder.mkdir()
            break
    try:
        yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()
