"""A clock that goes on while the machine sleeps."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic clock stops


def boottime() -> float:
    """Return seconds since this machine was started, asleep or awake."""
    return time.clock_gettime(_CLOCK)
