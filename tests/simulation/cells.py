"""The inside of simulated sandboxes: the real runner, with other pipes, programs and clocks."""

import asyncio
import collections
import contextvars
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from power import effect
from programs import Program
from swaps import swapped

from homie_core.runner import __main__ as runner_main
from homie_core.runner import spool as runner_spool
from homie_core.runner.clock import boottime
from homie_core.sandbox.base import Box

if TYPE_CHECKING:
    from sandboxes import Machine

HOST_IN, HOST_OUT = -100, -101
"""In the place of a runner's standard input and output."""
ROOM = 4096
"""Bytes that are on the way from a runner before it must wait."""
_turn: contextvars.ContextVar["Cell"] = contextvars.ContextVar("turn")
"""Whose runner runs now."""


class Stream:
    """One connection to a runner: what a daemon says and hears. It may break at any byte."""

    def __init__(self, cell: "Cell") -> None:
        self.cell = cell
        self.reader = asyncio.StreamReader()
        self.open = True
        self.on_the_way = b""

    def write(self, data: bytes) -> None:
        effect("runner told", lambda: self._send(data), lambda share: self._send(data[: int(share * len(data))]))

    def _send(self, data: bytes) -> None:
        if self.open:
            self.cell.told.append(data)
            self.cell.later(self.cell.hear)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        """The daemon hangs up, or is no more."""
        self.open = False

    def say(self, data: bytes) -> int:
        """The runner writes; return how much was taken."""
        data = data[: ROOM - len(self.on_the_way)]
        if not data:
            raise BlockingIOError
        if not self.on_the_way:
            self.cell.later(self._arrive)
        self.on_the_way += data
        return len(data)

    def _arrive(self) -> None:
        data, self.on_the_way = self.on_the_way, b""
        if self.open:
            self.reader.feed_data(data)
            self.cell.turn()

    def end(self) -> None:
        """There is no runner any more: what is on the way still arrives."""
        if self.open:
            self.open = False
            self.reader.feed_data(self.on_the_way)
            self.reader.feed_eof()


class Cell:
    """One sandbox as its machine sees it: the real runner, its program, and no daemon's business."""

    def __init__(self, machine: "Machine", box: Box) -> None:
        self.machine, self.box = machine, box
        self.loop = machine.loop
        self.runner: Any = None
        self.stream: Stream | None = None
        self.told: collections.deque[bytes] = collections.deque()
        """What is on its way to the runner."""
        self.inbox = b""
        self.swallows = self.loop.random.random() < 0.5
        """Whether an engine reads what the runner says while no daemon does, and forgets it."""
        self.exit_code: int | None = None
        self.ended = asyncio.Event()
        self._due: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        return self.runner is not None and self.exit_code is None

    @property
    def program_runs(self) -> bool:
        """Whether it has a program that has not ended."""
        return self.runs and self.runner.child is not None and self.runner.child.ended is None

    def boot(self) -> None:
        """Start the runner."""
        self.runner = runner_main.Runner(str(self.box.spool))

    def attach(self) -> Stream:
        """Connect to the runner: what it was about to say to whom was there before comes first."""
        stream = Stream(self)
        old, self.stream = self.stream, stream
        if old:
            old.open = False
            stream.reader.feed_data(old.on_the_way[len(old.on_the_way) // 2 :])
        if not self.runs:
            stream.end()
        return stream

    def later(self, act: Callable[[], None]) -> None:
        self.loop.call_later(self.loop.random.expovariate(2000), act, context=self.machine.context)

    def hear(self) -> None:
        """The next of what was said arrives."""
        self.inbox += self.told.popleft()
        self.turn()

    def turn(self) -> None:
        """One round of `Runner.run`: everything that is ready, then what time demands."""
        self.machine.context.run(self._turn)

    def _turn(self) -> None:
        runner = self.runner
        if not self.runs:
            return
        _turn.set(self)
        now = self.loop.time()
        try:
            if self.inbox:
                runner.hear(now)
            for pipe in list(runner.child.pipes) if runner.child else ():
                runner.take(pipe, now)
            if runner.child:
                runner.watch(runner.child, now)
            if runner.listening:
                runner.send()
        except (OSError, ValueError, LookupError, TypeError) as error:
            self.machine.troubles.append(f"the runner of {self.box.job} failed: {error!r}")
            self.end(70)
            return
        if runner.finished(now):
            self.end(0)
            return
        times = [at for at in (runner.deadline, runner.drain_until) if at is not None]
        if runner.lease is not None:
            times.append(now + min(runner_main.LEASE_LOOK, runner.lease - boottime()))
        if self._due:
            self._due.cancel()
            self._due = None
        if times:
            self._due = self.loop.call_at(max(min(times), now + 0.001), self.turn)

    def end(self, code: int) -> None:
        """All its processes are gone."""
        if self.exit_code is not None or self.runner is None:
            return
        self.exit_code = code
        if child := self.runner.child:
            child.send_signal(signal.SIGKILL)
            child.running = False
        if self.stream:
            self.stream.end()
        self.ended.set()


class _Os:
    """`os` as a simulated runner sees it: its host's pipes are streams, the rest is real."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def read(self, fd: int, size: int) -> bytes:
        assert fd == HOST_IN
        cell = _turn.get()
        data, cell.inbox = cell.inbox, b""
        return data

    def write(self, fd: int, data: bytes) -> int:
        assert fd == HOST_OUT
        cell = _turn.get()
        if cell.stream is None or not cell.stream.open:
            if cell.swallows:
                return len(data)
            raise BlockingIOError
        return cell.stream.say(data)


def _start(argv: list[str], env: dict[str, str], cwd: str, session: bool) -> Program:
    cell = _turn.get()
    machine = cell.machine
    work, wake = cell.box.work, lambda: cell.later(cell.turn)
    return Program(argv, work, machine, wake)


def _reap() -> list[tuple[int, int]]:
    child = _turn.get().runner.child
    if child is None or child.ended is None or not child.running:
        return []
    return [(child.pid, child.ended)]


def simulated_runners() -> AbstractContextManager[None]:
    """Let runners be in memory: the real code, with other pipes and programs."""
    return swapped(
        {
            (runner_main, "os"): _Os(),
            (runner_main, "HOST_IN"): HOST_IN,
            (runner_main, "HOST_OUT"): HOST_OUT,
            (runner_main, "Child"): _start,
            (runner_main, "reap"): _reap,
            (runner_main, "kill_everything"): lambda child: child.send_signal(9),
            (runner_spool, "SEGMENT"): 300,
        }
    )
