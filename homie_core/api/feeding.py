"""What keeps the workers of a map busy."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Protocol

from homie_core.api.call import Call
from homie_core.api.console import printer
from homie_core.api.workers import Pool, Worker
from homie_core.client.values import Given
from homie_core.model.errors import HomieError

CHUNK = 0.1
"""Seconds that the items that go together should take: long against the way there, short against the whole."""
MAX_CHUNK = 250
"""Items that go together at most."""
AHEAD = 2
"""Chunks that a worker has if they are quick, so that the next one is there when one ends."""
DEATHS = 3
"""Workers that may end one after another before the rest is given up."""


class Items(Protocol):
    """The items of a map, by their numbers; any thread."""

    @property
    def is_all_sent(self) -> bool:
        """Whether there is nothing left for anybody."""

    def next_chunk(self, count: int) -> list[int]:
        """Return the next items to be sent, at most so many; none: there are none left."""

    def job_for(self, chunk: list[int], loads: bool, prints: Callable[[str, str], None]) -> Call[Given]:
        """Return what runs these items; `loads`: the function goes with them. Raises CannotSend."""

    def came(self, chunk: list[int], came: Given | BaseException, peer: str) -> None:
        """These items have been run, or could not be."""

    def again(self, chunk: list[int]) -> None:
        """These items were sent, but not begun: they are the next for somebody else."""

    def ended(self, feeder: "Feeder", error: HomieError | None) -> None:
        """It feeds nobody any more; `error` is why, if items are left, and the last one fails them with it."""


class Feeder:
    """Keeps one worker busy with chunks that grow until they take about `CHUNK`."""

    def __init__(self, items: Items, worker: Worker, pool: Pool) -> None:
        self._items, self._worker, self._pool = items, worker, pool
        self._prints = printer(f"{worker.session.peer}: ")
        self._lock = threading.RLock()
        self._running: dict[Call[Given], list[int]] = {}
        self._size, self._ahead = 1, 1
        self._deaths, self._why = 0, HomieError("the workers ended one after another")
        self._last = 0.0
        """When the chunk before the next one ended."""
        self._over = False

    def feed(self) -> None:
        """Send as much as the worker should have; when there is no more, or it has ended, give it back."""
        with self._lock:
            while not self._over:
                while len(self._running) < self._ahead and self._worker.session.alive and self._send_next():
                    pass
                if self._running:
                    return
                self._give_back()

    def cancel(self) -> None:
        """Ask for the end of what runs."""
        for job in list(self._running):
            job.cancel()

    def _give_back(self) -> None:
        self._worker.loaded = None
        self._pool.give_back(self._worker)
        if self._items.is_all_sent:
            self._end(None)
        elif self._deaths == DEATHS:
            self._end(self._why)
        else:  # the worker has ended before the work has
            self._deaths += 1
            try:
                self._worker = self._pool.take()
            except HomieError as error:
                self._end(error)
            else:
                self._send_next()  # even if it ended meanwhile: items pay for a worker

    def _end(self, why: HomieError | None) -> None:
        self._over = True
        self._items.ended(self, why)

    def _send_next(self) -> bool:
        """Send the next items; False if there are none."""
        chunk = self._items.next_chunk(self._size)
        if not chunk:
            return False
        loads = self._worker.loaded is not self._items
        try:
            job = self._items.job_for(chunk, loads, self._prints)
        except HomieError as error:
            self._items.came(chunk, error, "")
            return True
        is_large = job.is_large
        self._running[job] = chunk
        job.future.add_done_callback(partial(self._ended, job, is_large, time.monotonic()))
        self._worker.runs(job)
        return True

    def _ended(self, job: Call[Given], is_large: bool, began: float, future: "Future[Given]") -> None:
        now = time.monotonic()
        with self._lock:
            chunk = self._running.pop(job)
            took = now - max(began, self._last)
            self._last = now
            grown = int(len(chunk) * CHUNK / max(took, 1e-4))
            self._size = max(1, min(grown, 4 * self._size, MAX_CHUNK))
            # behind a slow one the next would wait while others rest, and two large ones are twice the memory
            self._ahead = 1 if is_large or took > 2 * CHUNK else AHEAD
        error = CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._deaths, self._worker.loaded = 0, self._items
            self._items.came(chunk, future.result(), job.peer)
        elif job.unbegun:
            self._items.again(chunk)
        else:
            self._why = error if isinstance(error, HomieError) else self._why
            self._items.came(chunk, error, job.peer)
        self.feed()
