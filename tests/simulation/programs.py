"""What simulated jobs do: programs that are decided by their arguments, and a ledger of all that they did."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from homie_core.runner.__main__ import LEASE_LOOK
from homie_core.runner.frames import STDERR, STDOUT

if TYPE_CHECKING:
    from sandboxes import Machine


AWAKE = LEASE_LOOK + 0.5
"""Seconds after waking in which a machine may not have noticed yet that it has slept past a lease."""


@dataclass
class Run:
    """One run of a job's program, and what it did."""

    machine: "Machine"
    at: float
    written: dict[int, bytes] = field(default_factory=lambda: {STDOUT: b"", STDERR: b""})
    status: int | None = None
    """With which it ended by itself."""
    killed: bool = False
    results: dict[str, bytes] = field(default_factory=dict)
    over: bool = False

    def may_act(self, now: float) -> bool:
        """Whether it can have an effect now that it should not, if there is another run."""
        return not self.over and self.machine.clock.wakes + AWAKE < now


@dataclass
class Deed:
    """What one job's program has done, wherever: the truth that everybody's stories are compared with."""

    runs: list[Run] = field(default_factory=list)
    twice: str = ""
    """When two runs of it could act at once, if ever."""

    def on(self, machine: str | None) -> Run | None:
        """Return the last run on this machine."""
        return next((run for run in reversed(self.runs) if run.machine.name == machine), None)

    def acts(self, run: Run, now: float) -> None:
        """Note that a run does something."""
        others = [other.machine.name for other in self.runs if other is not run and other.may_act(now)]
        if others and run.may_act(now):
            self.twice = self.twice or f"at {now:.2f} on {run.machine.name} and {others}"


Ledger = dict[str, Deed]


class Pipe:
    """What a program writes and its runner has not read yet."""

    def __init__(self, kind: int) -> None:
        self.kind, self.fd, self.due = kind, -1, 0.0
        self.data, self.closed = b"", False

    def read(self, now: float) -> bytes | None:
        data, self.data = self.data, b""
        return data or (None if self.closed else b"")


class Program:
    """A running program, in the place of `homie_core.runner.child.Child`.

    Its arguments are its plan: job, cores, lines, seconds between them, status, whether it ignores SIGINT.
    """

    pids = 0

    def __init__(self, argv: list[str], folder: Path, machine: "Machine", wake: Callable[[], None]) -> None:
        self.argv, self.env, self.cwd, self.session = argv, {}, "/work", False
        job, cpus, lines, gap, status, stubborn = argv[2:8]
        self._random = random.Random(f"program {job}")
        self._lines, self._gap, self._status, self._stubborn = (
            int(lines),
            float(gap),
            int(status),
            stubborn == "True",
        )
        self.cpus = float(cpus)
        self._folder, self._loop, self._wake = folder, machine.loop, wake
        self._said = 0
        Program.pids += 1
        self.pid = Program.pids
        self.running, self.inbox = True, None
        self.pipes = [Pipe(STDOUT), Pipe(STDERR)]
        self.ended: int | None = None
        """Its exit status or minus the signal, until the runner has asked for it."""
        self.deed, self.run = machine.ledger.setdefault(job, Deed()), Run(machine, machine.loop.now)
        self.deed.runs.append(self.run)
        self.deed.acts(self.run, machine.loop.now)
        self._later()

    def close(self, pipe: Pipe) -> None:
        self.pipes.remove(pipe)

    def send_signal(self, number: int) -> None:
        if self.ended is None and (number == signal.SIGKILL or not self._stubborn):
            self.run.killed = True
            self.end(-number)

    def end(self, status: int) -> None:
        """It is over, in whatever way."""
        if not self.running or self.ended is not None:
            return
        self.ended, self.run.over = status, True
        for pipe in self.pipes:
            pipe.closed = True
        self._wake()

    def _later(self) -> None:
        self._loop.call_later(self._random.expovariate(1) * self._gap, self._go_on)

    def _go_on(self) -> None:
        if not self.running or self.ended is not None:
            return
        self.deed.acts(self.run, self._loop.now)
        if self._said == self._lines:
            self.run.results = {"result": f"{self._lines} lines\n".encode(), "sub/done": b"yes"}
            for name, content in self.run.results.items():
                (self._folder / name).parent.mkdir(exist_ok=True)
                (self._folder / name).write_bytes(content)
            self.run.status = self._status
            self.end(self._status)
            return
        kind = self._random.choice((STDOUT, STDOUT, STDERR))
        line = f"{self._said} ".encode() + b"." * self._random.choice((0, 10, 200)) + b"\n"
        self._said += 1
        self.run.written[kind] += line
        next(pipe for pipe in self.pipes if pipe.kind == kind).data += line
        self._wake()
        self._later()
