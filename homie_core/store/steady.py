"""A wall clock that does not leap, whatever people or NTP do to the machine's own: what ages are counted in.

It goes on while the machine sleeps.
"""

import logging
import time
from pathlib import Path

from homie_core.model.errors import HomieError
from homie_core.private_file import read_private, write_private
from homie_core.runner.clock import boottime

log = logging.getLogger(__name__)

OFF = 86400.0
"""Seconds at most that count for a time in which this node was off: its clock may have been set meanwhile."""
SAVED = 60.0
"""Seconds between two notes of how far it has come."""


class Steady:
    """Goes on as `boottime` does, from where an earlier life of the daemon left it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began, wall = boottime(), time.time()
        before = self._read()
        self._then = wall if before is None else before + min(max(0.0, wall - before), OFF)
        self._saved = 0.0

    def now(self) -> float:
        """Return seconds since 1970, as far as the clock was right when this node was first started."""
        return self._then + boottime() - self._began

    def save(self) -> None:
        """Note how far it has come, from time to time. A disk that is full makes it go on from an earlier note."""
        now = self.now()
        if now - self._saved < SAVED:
            return
        try:
            write_private(self._path, repr(now).encode(), HomieError)
        except HomieError as error:
            log.warning("how old things are may be counted short: %s", error)
        self._saved = now

    def _read(self) -> float | None:
        try:
            before = float(read_private(self._path, 100, HomieError))
        except FileNotFoundError:
            return None
        except (HomieError, ValueError) as error:
            log.warning("%s is not used: %s", self._path, error)
            return None
        return before if 0 <= before < 1e12 else None
