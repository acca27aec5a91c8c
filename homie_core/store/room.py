"""What a full disk says, in one word: `CannotWrite`, whatever was written."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homie_core.model.errors import CannotWrite

FULL = {errno.ENOSPC, errno.EDQUOT}


def is_full(error: OSError) -> bool:
    """Return whether this says that a disk is full, or a user's share of it."""
    return error.errno in FULL


@contextmanager
def room(at: Path) -> Iterator[None]:
    """Raise CannotWrite, with this place, for what a full disk says."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise CannotWrite(f"the disk that holds {at} is full; make room there") from error
        raise
