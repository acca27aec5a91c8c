"""What a waiting cell is told, from whatever thread, and what the person at the keyboard wants meanwhile."""

import asyncio
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from homie_core.client.session import Letter


@dataclass(frozen=True)
class Stop:
    """The person pressed stop, or Ctrl-C."""


class Mailbox:
    """Letters for one cell, read by the main thread: `await`ed, or waited for (`blocking`).

    While it is open, Ctrl-C and the stop button put a letter in, instead of raising KeyboardInterrupt.
    """

    def __init__(self, blocking: bool) -> None:
        self._loop = None if blocking else asyncio.get_running_loop()
        self._there: asyncio.Queue[Letter | Stop] = asyncio.Queue()
        self._waiting: queue.SimpleQueue[Letter | Stop] = queue.SimpleQueue()  # may be put to in a signal handler
        self._before: Any = None

    def put(self, letter: Letter | Stop) -> None:
        """Put a letter in; any thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._there.put_nowait, letter)
        else:
            self._waiting.put(letter)

    async def get(self, patience: float | None = None) -> Letter | Stop | None:
        """Return the next letter; None if none comes within so many seconds. Without a loop this blocks."""
        try:
            if self._loop:
                return await asyncio.wait_for(self._there.get(), patience)
            return self._waiting.get(timeout=patience)
        except (TimeoutError, queue.Empty):
            return None

    async def pause(self, seconds: float) -> None:
        """Stand still, or let others work."""
        if self._loop:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - to stand still is what was asked for

    def __enter__(self) -> "Mailbox":
        if threading.current_thread() is threading.main_thread():  # nobody else hears signals
            self._before = signal.signal(signal.SIGINT, lambda *_: self.put(Stop()))
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and the stop button raise KeyboardInterrupt at once, in a cell that stands still.

    A kernel that runs a cell as a coroutine would wait for its next `await`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
