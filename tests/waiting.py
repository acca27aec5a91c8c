"""To wait for what another process does: as short as it takes, never for a fixed time."""

import time
from collections.abc import Callable


def wait_until(happens: Callable[[], object], otherwise: str, patience: float = 20.0) -> None:
    """Look until it happens; AssertionError after so many seconds."""
    until = time.monotonic() + patience
    while not happens():
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)
