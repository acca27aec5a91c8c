"""The clocks of simulated machines: they run almost equally fast, and some stand still while a machine sleeps."""

import contextvars

CLOCK: contextvars.ContextVar["Clock | None"] = contextvars.ContextVar("CLOCK", default=None)
"""Of the machine on which something runs; None: it is nobody's, and never sleeps."""


class Clock:
    """What one machine knows of time. Loop's seconds are the true ones; `Loop.suspend` lets it sleep."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        """How fast its clock of seconds since boot runs, which goes on in its sleep."""
        self.slept = 0.0
        """By so much its monotonic clock is behind."""
        self.wakes = 0.0
        """Until then nothing happens on it."""
        self.context = contextvars.Context()
        self.context.run(CLOCK.set, self)
