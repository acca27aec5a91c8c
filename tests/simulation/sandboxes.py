"""Sandboxes of a simulated machine: they, and the real runner in them, outlive the daemon that made them."""

import asyncio
import collections
import contextlib
import contextvars
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from power import effect
from programs import Ledger, Program
from virtual import LIFE, Loop

from homie_core.model.errors import EngineAway, SandboxError
from homie_core.runner import __main__ as runner_main
from homie_core.runner import spool as runner_spool
from homie_core.sandbox.base import Box, End, Interpreter

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
        self.loop.call_later(self.loop.random.expovariate(2000), act, context=contextvars.Context())

    def hear(self) -> None:
        """The next of what was said arrives."""
        self.inbox += self.told.popleft()
        self.turn()

    def turn(self) -> None:
        """One round of `Runner.run`: everything that is ready, then what time demands."""
        contextvars.Context().run(self._turn)

    def _turn(self) -> None:
        runner = self.runner
        if not self.runs:
            return
        _turn.set(self)
        now = self.loop.now
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


class Machine:
    """What is there whether a daemon runs or not: a folder, sandboxes, clocks."""

    def __init__(self, name: str, folder: Path, loop: Loop, ledger: Ledger) -> None:
        self.name, self.folder, self.loop, self.ledger = name, folder, loop, ledger
        self.cells: dict[str, Cell] = {}
        self.engine_away = False
        self.shaken = False
        """Whether something was done to it that may end a job before its time."""
        self.wall_offset = 0.0
        self.disk_full = False
        self.troubles: list[str] = []

    def lose_engine(self, restores: bool) -> None:
        """Stop the engine; without live-restore, what runs in it ends."""
        self.engine_away = self.shaken = True
        for cell in self.cells.values():
            if not restores:
                cell.end(137)
            if cell.stream:
                cell.stream.end()

    def wall(self) -> float:
        return 1.7e9 + self.loop.now + self.wall_offset


class Backend:
    """One daemon's way to its machine's sandboxes, which takes its time and may be cut off in between."""

    kind, name, cards = "simulated", "simulated", False

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.uid, self.gid = os.getuid(), os.getgid()

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        return Interpreter("3.12", "x86_64", "2.36")

    async def create(self, box: Box) -> "Sandbox":
        def make() -> Cell:
            if box.job in self.machine.cells:
                raise SandboxError(f"there is a sandbox {box.job} already")
            cell = self.machine.cells[box.job] = Cell(self.machine, box)
            return cell

        return Sandbox(await self.ask("create", make))

    async def find(self, box: Box) -> "Sandbox | None":
        cell = await self.ask("find", lambda: self.machine.cells.get(box.job))
        return Sandbox(cell) if cell else None

    async def compile(self, folder: Path) -> None:
        pass

    async def sweep(self, node: str, keep: frozenset[str]) -> int:
        cells = await ask(self.machine, "list", lambda: dict(self.machine.cells))
        left = [cell for job, cell in cells.items() if job not in keep]
        for cell in left:
            await Sandbox(cell).remove()
        return len(left)

    async def close(self) -> None:
        pass

    async def ask(self, what: str, act: Callable[[], Any]) -> Any:
        return await ask(self.machine, what, act)


async def ask(machine: Machine, what: str, act: Callable[[], Any]) -> Any:
    """Let the engine do something: once it has been asked, it is done, whoever waits for the answer."""
    loop, answer = machine.loop, machine.loop.create_future()

    def do() -> None:
        try:
            if machine.engine_away:
                raise EngineAway("the engine does not answer")
            result, error = act(), None
        except SandboxError as caught:
            result, error = None, caught
        loop.call_later(loop.random.expovariate(200), tell, result, error)

    def tell(result: Any, error: SandboxError | None) -> None:
        if not answer.done():
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(result)

    def send() -> None:
        loop.call_later(loop.random.expovariate(200), do, context=contextvars.Context())

    effect(f"sandbox {what}", send)
    return await answer


class Sandbox:
    """One daemon's handle on a sandbox."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.machine = cell, cell.machine

    async def start(self) -> tuple[Any, Any]:
        await ask(self.machine, "start", self.cell.boot)
        return self._connected()

    async def attach(self) -> tuple[Any, Any]:
        await ask(self.machine, "attach", lambda: None)
        return self._connected()

    def _connected(self) -> tuple[Any, Any]:
        stream = self.cell.attach()
        if life := LIFE.get():
            life.at_end.append(stream.close)
        return stream.reader, stream

    async def runs(self) -> bool:
        return bool(await ask(self.machine, "inspect", lambda: self.cell.runs))

    async def limit(self, limits: Any) -> None:
        await ask(self.machine, "limit", lambda: None)

    async def freeze(self, frozen: bool) -> None:
        pass

    async def kill(self) -> None:
        await ask(self.machine, "kill", lambda: self.cell.end(137))

    async def end(self) -> End:
        await self.cell.ended.wait()
        return End(self.cell.exit_code)

    async def remove(self) -> None:
        def gone() -> None:
            self.cell.end(137)
            self.machine.cells.pop(self.cell.box.job, None)

        await ask(self.machine, "remove", gone)


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
    return Program(argv, work, machine.loop, machine.ledger, machine.name, wake)


def _reap() -> list[tuple[int, int]]:
    child = _turn.get().runner.child
    if child is None or child.ended is None or not child.running:
        return []
    return [(child.pid, child.ended)]


@contextlib.contextmanager
def simulated_runners() -> Iterator[None]:
    """Let runners be in memory: the real code, with other pipes and programs."""
    changes = {
        (runner_main, "os"): _Os(),
        (runner_main, "HOST_IN"): HOST_IN,
        (runner_main, "HOST_OUT"): HOST_OUT,
        (runner_main, "Child"): _start,
        (runner_main, "reap"): _reap,
        (runner_main, "kill_everything"): lambda child: child.send_signal(9),
        (runner_spool, "SEGMENT"): 300,
    }
    before = {(owner, name): getattr(owner, name) for owner, name in changes}
    for (owner, name), value in changes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
