"""Ctrl-C while a run is shown: the first stops the job, the second leaves it to itself."""

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from homie_core.model.errors import HomieError


class Detached(Exception):
    """The person does not want to wait any longer."""


class Interrupts:
    """Signals while a run is shown: the first asks for the job's end, the second raises Detached.

    The request is made inside the signal handler, because an exception there would tear the stream of news.
    """

    def __init__(
        self, stop: Callable[[], None], say: Callable[[str], None], signals: Iterable[int] = (signal.SIGINT,)
    ) -> None:
        self._stop = stop
        self._say = say
        self._signals = signals
        self.wanted = self._asked = False
        """`wanted`: whether its end has been asked for."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread has signals; elsewhere nobody presses Ctrl-C
        for number in self._signals:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def repeat(self) -> None:
        """Ask again, if the daemon did not know the job yet when it was to be stopped."""
        if self.wanted and not self._asked:
            self._ask()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise Detached
        self.wanted = True
        self._say("stopping the job and waiting for its end; once more leaves it to itself")
        self._ask()

    def _ask(self) -> None:
        try:
            self._stop()
            self._asked = True
        except HomieError as error:
            self._say(f"not stopped yet: {error}")
