"""A function of many items, on all peers that have room."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from typing import Any, Generic, TypeVar, Unpack

from homie_core.api.asking import Options, Where, where
from homie_core.api.call import Call
from homie_core.api.console import announce, progress_for
from homie_core.api.errors import RemoteError, error_from
from homie_core.api.feeding import Feeder
from homie_core.api.workers import Pool, Worker, pool_for
from homie_core.client.values import Given, Packed
from homie_core.model.errors import BadMessage, CannotSend, HomieError

T = TypeVar("T")
U = TypeVar("U")

_CODE = """\
_homie_values = []
for _homie_item in _homie_items:
    try:
        _homie_values.append((None, _homie_function(_homie_item)))
    except (Exception, SystemExit) as _homie_error:
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

    No item is run twice: what a worker had begun when it ended, or could not be reached any more, is an error.
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
        self._feeders: list[Feeder] = []
        self._lock = threading.RLock()
        self._done, self._cancelled = 0, False
        self._progress = progress_for(progress)
        if items:
            Packed({getattr(function, "__name__", "the function"): function})  # says why it cannot be sent
            self._begin(pool_for(there))

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
            self._cancelled = True
            feeders, left = list(self._feeders), list(self._left)
            self._left.clear()
        for index in left:
            self._futures[index].cancel()
        for feeder in feeders:
            feeder.cancel()

    def _value(self, future: "Future[U]") -> U:
        try:
            return future.result()
        except Exception as error:
            if not self._return_exceptions:
                raise
            return error  # type: ignore[return-value]

    def _begin(self, pool: Pool) -> None:
        self._add(pool.take(), pool)
        threading.Thread(target=self._widen, args=(pool,), name="homie map", daemon=True).start()

    def _widen(self, pool: Pool) -> None:
        """Have as many workers as there is room for, while the first ones work."""
        while self._left and (worker := pool.more()):
            if worker.session.started.is_set():
                self._add(worker, pool)
            else:
                threading.Thread(target=self._await, args=(worker, pool), name="homie map", daemon=True).start()

    def _await(self, worker: Worker, pool: Pool) -> None:
        """Let a worker take part once it runs: until then the others are quicker."""
        while self._left and not worker.session.started.wait(0.1):
            pass
        if self._left:
            self._add(worker, pool)
        else:
            pool.give_back(worker)

    def _add(self, worker: Worker, pool: Pool) -> None:
        feeder = Feeder(self, worker, pool)
        with self._lock:
            self._feeders.append(feeder)
        feeder.feed()

    # What feeders need.

    def next_chunk(self, count: int) -> list[int]:
        """Return the next items to be sent, at most so many, and fewer near the end: nobody works alone then."""
        with self._lock:
            fair = -(-len(self._left) // (2 * max(1, len(self._feeders))))
            least = count // 10  # fewer would only be on their way
            return [self._left.popleft() for _ in range(min(count, max(fair, least), len(self._left)))]

    def job_for(self, chunk: list[int], loads: bool, prints: Callable[[str, str], None]) -> Call[Given]:
        """Return what runs these items; `loads`: the function goes with them. Raises CannotSend."""
        values: dict[str, Any] = {"_homie_items": [self._items[index] for index in chunk]}
        if loads:
            values["_homie_function"] = self._function
        try:
            packed = Packed(values)
        except CannotSend:
            for index in chunk:
                Packed({self._label(index): self._items[index]})
            raise
        return Call(
            _CODE,
            packed,
            [f"_homie_values[{place}]" for place in range(len(chunk))],
            lambda came: came,
            labels=[_name(index) for index in chunk],
            timeout=self._timeout,
            prints=prints,
        )

    def came(self, chunk: list[int], came: Given | BaseException, peer: str) -> None:
        """These items have been run, or could not be."""
        for index in chunk:
            future = self._futures[index]
            if not future.set_running_or_notify_cancel():
                continue
            value, error = self._read(index, came, peer)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        with self._lock:
            self._done += len(chunk)
            try:
                self._progress(self._done, len(self._items))
            except Exception as error:  # of the user's own function; the values go on
                announce(f"progress is not shown any more: {type(error).__name__}: {error}")
                self._progress = lambda done, total: None

    def again(self, chunk: list[int]) -> None:
        """These items were sent, but not begun: they are the next for somebody else."""
        with self._lock:
            if not self._cancelled:
                self._left.extendleft(reversed(chunk))
                return
        for index in chunk:
            self._futures[index].cancel()

    @property
    def is_all_sent(self) -> bool:
        """Whether there is nothing left for anybody."""
        return not self._left

    def ended(self, feeder: "Feeder", error: HomieError | None) -> None:
        """It feeds nobody any more; `error` is why, if items are left, and the last one fails them with it."""
        with self._lock:
            self._feeders.remove(feeder)
            left = list(self._left) if error and not self._feeders else []
            if left:
                self._left.clear()
        if left and error:
            self.came(left, error, "")

    def _read(self, index: int, came: Given | BaseException, peer: str) -> tuple[Any, BaseException | None]:
        """Return what became of an item: its value, or its error."""
        if isinstance(came, BaseException):
            return None, _naming(came, self._label(index), peer)
        name = _name(index)
        if name in came.errors:
            return None, came.errors[name]
        match came.values[name]:
            case (None, value):
                return value, None
            case ((str() as kind, str() as text, str() as traceback), _):
                content = {"ename": kind, "evalue": text, "traceback": [traceback]}
                return None, error_from(content, peer, self._label(index))
            case _:
                return None, BadMessage(f"{peer} sent something else than a value for {name}")

    def _label(self, index: int) -> str:
        """What errors call an item."""
        try:
            text = repr(self._items[index])
        except Exception:  # of the item's own class
            return _name(index)
        return f"{_name(index)} ({text if len(text) <= 80 else f'{text[:77]}...'})"


def _name(index: int) -> str:
    return f"item {index}"


def _naming(error: BaseException, label: str, peer: str) -> BaseException:
    if isinstance(error, RemoteError):
        return RemoteError(error.ename, error.evalue, error.traceback, error.peer, label)
    if not isinstance(error, HomieError):
        return error
    return type(error)(f"{label}{f' on {peer}' if peer else ''}: {error}")
