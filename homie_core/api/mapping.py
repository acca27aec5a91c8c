"""A function of many items, on all peers that have room."""

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, as_completed
from functools import partial
from typing import Any, Generic, TypeVar, Unpack

from homie_core.api.asking import Options, Where, client, where
from homie_core.api.console import printer
from homie_core.api.errors import error_from
from homie_core.api.job import Job
from homie_core.api.workers import Pool, Worker, places, pool_for
from homie_core.client.values import Given, Packed
from homie_core.model.errors import CannotSend, HomieError, NoPeer

T = TypeVar("T")
U = TypeVar("U")

CHUNK = 0.1
"""Seconds that the items that go together should take: long against the way there, short against the whole."""
MAX_CHUNK = 250
"""Items that go together at most."""
AHEAD = 2
"""Chunks that a worker has, so that the next one is there when one ends."""

_CODE = """\
_homie_values = []
for _homie_item in _homie_items:
    try:
        _homie_values.append((None, _homie_function(_homie_item)))
    except Exception as _homie_error:
        import traceback
        _homie_values.append(((type(_homie_error).__name__, str(_homie_error), traceback.format_exc()), None))
"""


def map(
    function: Callable[[T], U],
    items: Iterable[T],
    *,
    ordered: bool = True,
    return_exceptions: bool = False,
    progress: bool | Callable[[int, int], None] | None = None,
    **options: Unpack[Options],
) -> "Map[U]":
    """Run `function` of each item on all peers that have room; return what to iterate over (`for`, `async for`).

    Values come in the order of the items, or with `ordered=False` as they are ready. The first error is raised
    and ends the rest; with `return_exceptions=True` it comes in the place of its value. `progress`: True, False,
    a function of (done, total), or left out: shown on a terminal. Options as for `run`; each worker asks for one
    core and 1 GB if `cpus` and `ram` are left out. Raises HomieError if no peer can be had.
    """
    asked: Options = {"cpus": 1, "ram": "1g", **options}
    return Map(function, list(items), where(**asked), ordered, return_exceptions, progress)


class Map(Generic[U]):
    """Values that come from peers. Its work begins at once, whether or not anybody iterates."""

    def __init__(
        self,
        function: Callable[[Any], U],
        items: list[Any],
        there: Where,
        ordered: bool,
        return_exceptions: bool,
        progress: bool | Callable[[int, int], None] | None,
    ) -> None:
        self._function, self._items, self._timeout = function, items, there.timeout
        self._ordered, self._return_exceptions = ordered, return_exceptions
        self._futures: list[Future[U]] = [Future() for _ in items]
        self._left = deque(range(len(items)))
        self._feeders: list[_Feeder] = []
        self._lock = threading.RLock()
        self._done = 0
        self._progress = _progress_for(progress)
        if items:
            Packed({getattr(function, "__name__", "the function"): function})  # says why it cannot be sent
            self._begin(pool_for(there), there)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[U]:
        futures = self._futures if self._ordered else as_completed(self._futures)
        try:
            for future in futures:
                yield self._value(future)
        finally:
            self.cancel()

    async def __aiter__(self) -> AsyncIterator[U]:
        waiting = [asyncio.wrap_future(future) for future in self._futures]
        try:
            for each in waiting if self._ordered else asyncio.as_completed(waiting):
                try:
                    yield await each
                except Exception as error:
                    if not self._return_exceptions:
                        raise
                    yield error  # type: ignore[misc]
        finally:
            self.cancel()
            for each in waiting:
                each.cancel()

    def cancel(self) -> None:
        """Ask for the end of what has not come yet."""
        with self._lock:
            left = list(self._left)
            self._left.clear()
        for index in left:
            self._futures[index].cancel()
        for feeder in self._feeders:
            feeder.cancel()

    def _value(self, future: "Future[U]") -> U:
        try:
            return future.result()
        except Exception as error:
            if not self._return_exceptions:
                raise
            return error  # type: ignore[return-value]

    def _begin(self, pool: Pool, there: Where) -> None:
        for worker in _workers(pool, there, len(self._items)):
            self._feeders.append(_Feeder(self, worker, pool))
        for feeder in list(self._feeders):
            feeder.feed()

    # What feeders need.

    def next_chunk(self, count: int) -> list[int]:
        """Return the next items to be sent, at most so many, and fewer near the end: nobody works alone then."""
        with self._lock:
            fair = -(-len(self._left) // (2 * len(self._feeders)))
            return [self._left.popleft() for _ in range(min(count, fair, len(self._left)))]

    def job_for(self, chunk: list[int], loads: bool, prints: Callable[[str, str], None]) -> Job[Given]:
        """Return what runs these items; `loads`: the function goes with them. Raises CannotSend."""
        values: dict[str, Any] = {"_homie_items": [self._items[index] for index in chunk]}
        if loads:
            values["_homie_function"] = self._function
        try:
            packed = Packed(values)
        except CannotSend:
            for index in chunk:
                Packed({self.label(index): self._items[index]})
            raise
        return Job(
            _CODE,
            packed,
            [f"_homie_values[{place}]" for place in range(len(chunk))],
            lambda came: came,
            labels=[self.label(index) for index in chunk],
            timeout=self._timeout,
            prints=prints,
        )

    def label(self, index: int) -> str:
        """What errors call an item."""
        text = repr(self._items[index])
        return f"item {index} ({text if len(text) <= 80 else f'{text[:77]}...'})"

    def came(self, chunk: list[int], came: Given | BaseException, peer: str) -> None:
        """These items have been run, or could not be."""
        for index in chunk:
            future, label = self._futures[index], self.label(index)
            if not future.set_running_or_notify_cancel():
                continue
            if isinstance(came, BaseException):
                future.set_exception(came if isinstance(came, CancelledError) else _naming(came, label, peer))
            elif label in came.errors:
                future.set_exception(came.errors[label])
            else:
                error, value = came.values[label]
                if error is None:
                    future.set_result(value)
                else:
                    name, text, traceback = error
                    content = {"ename": name, "evalue": text, "traceback": [traceback]}
                    future.set_exception(error_from(content, peer, label))
        with self._lock:
            self._done += len(chunk)
            self._progress(self._done, len(self._items))


class _Feeder:
    """Keeps one worker busy with chunks that grow until they take about `CHUNK`."""

    def __init__(self, map: Map[Any], worker: Worker, pool: Pool) -> None:
        self._map, self._worker, self._pool = map, worker, pool
        self._prints = printer(f"{worker.session.peer}: ")
        self._lock = threading.RLock()
        self._running: dict[Job[Given], list[int]] = {}
        self._size, self._ahead = 1, AHEAD
        self._last = 0.0
        """When the chunk before the next one ended."""
        self._over = False

    def feed(self) -> None:
        """Send as much as the worker should have; give it back when there is no more."""
        with self._lock:
            while not self._over and len(self._running) < self._ahead and self._worker.session.alive:
                chunk = self._map.next_chunk(self._size)
                if not chunk:
                    break
                self._send(chunk)
            if self._running or self._over:
                return
            self._over = True
        self._worker.loaded = None
        self._pool.give_back(self._worker)

    def cancel(self) -> None:
        """Ask for the end of what runs."""
        for job in list(self._running):
            job.cancel()

    def _send(self, chunk: list[int]) -> None:
        loads = self._worker.loaded is not self._map
        try:
            job = self._map.job_for(chunk, loads, self._prints)
        except HomieError as error:
            self._map.came(chunk, error, self._worker.session.peer)
            return
        if job.is_large:
            self._ahead = 1  # two of these at once would be in the worker's memory
        self._worker.loaded = self._map
        self._running[job] = chunk
        began = time.monotonic()
        job.future.add_done_callback(partial(self._ended, job, began))
        self._worker.runs(job)

    def _ended(self, job: Job[Given], began: float, future: "Future[Given]") -> None:
        now = time.monotonic()
        with self._lock:
            chunk = self._running.pop(job)
            took = now - max(began, self._last)
            self._last = now
            grown = int(len(chunk) * CHUNK / max(took, 1e-4))
            self._size = max(1, min(grown, 4 * self._size, MAX_CHUNK))
        error = CancelledError() if future.cancelled() else future.exception()
        self._map.came(chunk, error or future.result(), job.peer)
        self.feed()


def _workers(pool: Pool, there: Where, most: int) -> list[Worker]:
    if there.node is None and not places(client().peers(), there):
        return pool.take(1)  # my daemon knows who could run it later, or why nobody can
    return pool.take(most)


def _naming(error: BaseException, label: str, peer: str) -> BaseException:
    if isinstance(error, NoPeer) or not isinstance(error, HomieError):
        return error
    return type(error)(f"{label}{f' on {peer}' if peer else ''}: {error}")


def _progress_for(wish: bool | Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    if callable(wish):
        return wish
    if wish or (wish is None and sys.stderr is not None and sys.stderr.isatty()):
        return _Line().show
    return lambda done, total: None


class _Line:
    """One line on the terminal that counts."""

    def __init__(self) -> None:
        self._began, self._shown = time.monotonic(), 0.0

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < 0.1 and done < total:
            return
        self._shown = now
        rate = done / max(now - self._began, 1e-6)
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        sys.stderr.write(f"\r\x1b[2Khomie: {done} of {total}{left}{'' if done < total else chr(10)}")
        sys.stderr.flush()
