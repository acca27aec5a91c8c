"""Not more than a Jupyter Server passes on."""

import time

MESSAGES_A_SECOND, BYTES_A_SECOND = 700, 700_000
"""Below what Jupyter Server passes on by default (1000 and 1 MB a second, averaged over 3 s); beyond, it drops."""
BURST = 1.0
"""Seconds' worth that may go out at once."""


class Pace:
    """Slows down whoever publishes more than a Jupyter Server passes on, and only then."""

    def __init__(self) -> None:
        self._free_at = [0.0, 0.0]
        """When, at the allowed rates, all messages (all bytes) so far have gone out; monotonic seconds."""

    def wait(self, size: int) -> None:
        """Wait until a message of this size may go out."""
        time.sleep(self.delay(size, time.monotonic()))

    def delay(self, size: int, now: float) -> float:
        """Return the seconds to wait before a message of this size, and count it."""
        for index, cost in enumerate((1 / MESSAGES_A_SECOND, size / BYTES_A_SECOND)):
            self._free_at[index] = max(self._free_at[index], now - BURST) + cost
        return max(0.0, max(self._free_at) - now)
