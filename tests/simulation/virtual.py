"""An asyncio event loop whose time is a number, and whose handles belong to lives that can end at any effect.

What runs in a `Life` (one run of one node's daemon) carries it in its context, and so does all that it starts.
When the life ends, nothing of it runs any more, as after `kill -9`: its handles are dropped, and an effect that is
under way raises `PowerCut` through whatever `finally` lies above, where every further effect raises it as well.
"""

import asyncio
import collections
import contextlib
import contextvars
import heapq
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

from clocks import CLOCK, Clock

LIFE: contextvars.ContextVar["Life | None"] = contextvars.ContextVar("LIFE", default=None)
"""Whose code runs; None: the world's, which is never cut off."""


class PowerCut(BaseException):
    """The daemon that runs this is no more."""


class Life:
    """One life of one node's daemon. `at_end` is what others notice of its death."""

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name = name
        self.alive = True
        self.effects = 0
        """How many it has had on the world."""
        self.dies_at = 0
        """With this effect it ends; 0: with none."""
        self.at_end: list[Callable[[], None]] = []
        self.context = contextvars.Context()
        self.context.run(LIFE.set, self)
        self.context.run(CLOCK.set, clock)

    def end(self) -> None:
        """From now on nothing of it happens."""
        self.alive = False
        ends, self.at_end = self.at_end, []
        for tell in ends:
            tell()


class _Task(asyncio.Task[Any]):
    """A task with a place in sets that does not depend on its address."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self._number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.AbstractEventLoop):
    """Runs what is due, in order; where nothing is, time leaps to the next thing that will be."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.steps = 0
        self.random = random.Random(f"loop {seed}")
        self.troubles: list[str] = []
        """What went wrong in callbacks, where nobody could catch it."""
        self.after_step: Callable[[Life], None] = lambda life: None
        self._numbers = itertools.count(1)
        self._ready: collections.deque[asyncio.Handle] = collections.deque()
        self._agenda: list[tuple[float, int, asyncio.Handle]] = []
        self._tasks: list[_Task] = []
        self._homes: dict[int, contextvars.Context] = {}
        """In which context an asynchronous generator began, by its id."""
        self._graveyard: list[Any] = []
        self._over = False
        self._dead = Life("buried")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop; on leaving, nothing that hangs in it is left to run at some other time."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._generator_begins, self._generator_is_dropped)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            self._bury()
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Run up to this time, or until `done`."""
        while True:
            while self._ready:
                self._run(self._ready.popleft())
            if done() or not self._agenda or self._agenda[0][0] > until:
                break
            self.now, _, handle = heapq.heappop(self._agenda)
            self._run(handle)
        if not done():
            self.now = max(self.now, until)

    def suspend(self, clock: Clock, seconds: float) -> None:
        """Let a machine sleep: what was to happen on it happens that much later, or when it wakes."""
        clock.wakes, clock.slept = self.now + seconds, clock.slept + seconds
        self._agenda = [
            (at + seconds if handle._context.get(CLOCK) is clock else at, number, handle)
            for at, number, handle in self._agenda
        ]
        heapq.heapify(self._agenda)

    def _run(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        clock = handle._context.get(CLOCK)
        if clock and clock.wakes > self.now:
            heapq.heappush(self._agenda, (clock.wakes, next(self._numbers), handle))
            return
        life = handle._context.get(LIFE)
        if life and not life.alive:
            self._graveyard.append(handle)
            return
        self.steps += 1
        try:
            handle._context.run(handle._callback, *handle._args)
        except PowerCut:
            pass
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.troubles.append(f"{error!r} in {handle}")
        if life and life.alive:
            self.after_step(life)

    # What asyncio asks of a loop.

    def time(self) -> float:
        clock = CLOCK.get()
        return self.now - clock.slept if clock else self.now

    def boottime(self) -> float:
        """Return what a clock of this machine shows that goes on while it sleeps; it has whole microseconds."""
        clock = CLOCK.get()
        return round(self.now * clock.rate, 6) if clock else self.now

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        # A wait that is too short to be added to the time would come again and again, at the same moment.
        return self.call_at(self.time() + max(delay, 1e-6), callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        clock = CLOCK.get()
        at = when + clock.slept if clock else when
        handle = asyncio.TimerHandle(at, callback, args, self, context)
        heapq.heappush(self._agenda, (max(at, self.now), next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle):
        pass

    def create_future(self):
        return _Future(next(self._numbers), loop=self)

    def create_task(self, coro, *, name=None, context=None, **_):
        task = _Task(next(self._numbers), coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 5000:
            self._tasks = [task for task in self._tasks if not task.done()]
        return task

    def run_in_executor(self, executor, func, *args):
        """A thread that takes its time, and that nobody can cancel; what it does is done in one step."""
        future = self.create_future()

        def work() -> None:
            try:
                result, error = func(*args), None
            except Exception as caught:
                result, error = None, caught
            if future.cancelled():
                return
            if error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self.random.expovariate(1000), work)
        return future

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return False

    def call_exception_handler(self, context):
        error = context.get("exception")
        if not isinstance(error, PowerCut):
            self.troubles.append(f"{context['message']}: {error!r}")

    # Generators that nobody reads to their end are closed in the life that began them.

    def _generator_begins(self, generator):
        self._homes[id(generator)] = contextvars.copy_context()

    def _generator_is_dropped(self, generator):
        home = self._homes.pop(id(generator), contextvars.Context())
        life = home.get(LIFE)
        if self._over:
            self._close(generator.athrow(PowerCut))
        elif life and not life.alive:
            self._graveyard.append(generator)
        else:
            home.run(self.call_soon, self.create_task, generator.aclose())

    def _bury(self) -> None:
        """Close every coroutine that still waits; whatever it wants to do on its way out has no effect."""
        self._over = True
        self._dead.end()
        self._ready.clear()
        self._agenda.clear()
        self.call_exception_handler = lambda context: None  # type: ignore[method-assign]
        while self._tasks:
            task = self._tasks.pop()
            task._log_destroy_pending = False
            self._close(task.get_coro())
        self._graveyard.clear()

    def _close(self, coroutine: Any) -> None:
        """Cut it off where it is, and wherever it then waits again."""
        with contextlib.suppress(BaseException):
            while True:
                self._dead.context.copy().run(coroutine.throw, PowerCut())
