"""What a simulated machine has whether a daemon runs or not, and how a daemon gets at it: its container engine."""

import contextvars
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cells import Cell
from clocks import Clock
from power import effect
from programs import Ledger
from virtual import LIFE, Loop

from homie_core.model.errors import EngineAway, SandboxError
from homie_core.sandbox.base import Box, End, Interpreter


class Machine:
    """What is there whether a daemon runs or not: a folder, sandboxes, clocks."""

    def __init__(self, name: str, folder: Path, loop: Loop, ledger: Ledger, clock: Clock) -> None:
        self.name, self.folder, self.loop, self.ledger, self.clock = name, folder, loop, ledger, clock
        self.cells: dict[str, Cell] = {}
        self.engine_away = False
        self.shaken = False
        """Whether something was done to it that may end a job before its time."""
        self.wall_offset = 0.0
        self.disk_full = False
        self.troubles: list[str] = []

    @property
    def context(self) -> contextvars.Context:
        """In it runs what is on this machine and belongs to no daemon."""
        return self.clock.context.copy()

    @property
    def asleep(self) -> bool:
        return self.clock.wakes > self.loop.now

    def lose_power(self) -> None:
        """End all that runs on it."""
        self.shaken = True
        for cell in self.cells.values():
            cell.end(137)

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
        loop.call_later(loop.random.expovariate(200), do, context=machine.context)

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
