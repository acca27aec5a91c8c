"""One job's processes in namespaces of their own, held by a control group, or watched where there is none."""

import asyncio
import contextlib
import os
from pathlib import Path

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.sandbox import process_tree
from homie_core.sandbox.base import Box, End
from homie_core.sandbox.bubblewrap.arguments import etc
from homie_core.sandbox.bubblewrap.cgroups import Group
from homie_core.sandbox.bubblewrap.launcher import Found, Launcher, Spawned
from homie_core.sandbox.bubblewrap.records import Record
from homie_core.sandbox.pipes import Pipes
from homie_core.sandbox.profile import User

LOOK_EVERY = 0.25
"""Seconds between two looks at what a job uses, where the kernel does not hold it."""


class BubblewrapSandbox:
    """One sandbox; `group` is None where the machine lets us make none."""

    def __init__(
        self, launcher: Launcher, arguments: list[str], box: Box, record: Path, group: Group | None
    ) -> None:
        self._launcher, self._arguments, self._box = launcher, arguments, box
        self._record, self._group, self._limits = record, group, box.limits
        self._spawned: Spawned | Found | None = None
        self._pipes = Pipes(box.folder)
        self._watching: asyncio.Task[None] | None = None
        self._too_much = False
        self._removed = False

    def lay_out(self, user: User) -> None:
        """Make what it needs on disk; blocking. Raises OSError."""
        folder = self._box.folder
        self._write_record()
        (folder / "etc").mkdir(exist_ok=True)
        for name, content in etc(user).items():
            (folder / "etc" / name).write_text(content)
            (folder / "etc" / name).chmod(0o644)
        self._pipes.make(os.geteuid(), os.getegid())
        if self._group:
            self._group.make(self._limits)

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start it. Its limits hold before the runner is told what to start."""
        fds = self._pipes.inner_ends()
        try:
            self._pipes.listen()
            streams = await self.attach()
            self._spawned = spawned = await self._launcher.spawn(self._arguments, fds)
        except OSError as error:
            raise SandboxError(f"the sandbox of job {self._box.job} cannot be started: {error}") from error
        finally:
            for fd in fds:
                os.close(fd)
        if spawned.started:
            self._write_record(spawned.pid, spawned.started)
            try:
                self._hold(spawned.pid)
            except ProcessLookupError:
                pass  # it has ended; its last words say why
            except OSError as error:
                await self.kill()
                raise SandboxError(f"the limits of job {self._box.job} cannot be set: {error}") from error
        return streams

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to its runner, which may have been running for long."""
        try:
            return await self._pipes.connect()
        except OSError as error:
            raise SandboxError(f"the sandbox of job {self._box.job} has ended") from error

    async def find(self, record: Record) -> None:
        """Take up one that an earlier life of the daemon started; it may have ended since."""
        self._spawned = Found(record.pid, record.started)
        self._pipes.listen()
        if not self._group and await self.runs():
            self._hold(record.pid)

    async def runs(self) -> bool:
        """Whether its process 1 is there."""
        return self._spawned is not None and self._spawned.runs()

    async def limit(self, limits: Limits) -> None:
        """Apply other limits for cores, memory and processes; without a control group, only memory changes."""
        self._limits = limits
        if self._group:
            try:
                self._group.limit(limits)
            except OSError as error:
                raise SandboxError(f"the limits of job {self._box.job} cannot be changed: {error}") from error

    async def freeze(self, frozen: bool) -> None:
        """Stop it where it is, or let it go on."""
        if self._spawned and not (self._group and self._group.freeze(frozen)):
            await asyncio.to_thread(process_tree.freeze, self._spawned.pid, frozen)

    async def kill(self) -> None:
        """End all its processes now."""
        if self._spawned:
            self._spawned.kill()
            if self._group:  # what is frozen by version 1 dies only when it is let go
                with contextlib.suppress(OSError):
                    self._group.freeze(False)

    async def end(self) -> End:
        """Wait until it has ended; what was never started, or is removed, has no exit code."""
        if self._spawned is None or self._removed:
            return End(exit_code=None)
        code = await self._spawned.wait()
        memory = self._too_much or (self._group is not None and self._group.out_of_memory())
        return End(exit_code=code, out_of_memory=memory, detail=self._pipes.last_words())

    async def remove(self) -> None:
        """End it and leave nothing of it behind."""
        if self._watching:
            self._watching.cancel()
        await self.kill()
        if self._spawned:
            await self._spawned.wait()
        if self._group:
            await asyncio.to_thread(self._group.remove)
        self._pipes.remove()
        self._record.unlink(missing_ok=True)
        self._removed = True

    def _write_record(self, pid: int = 0, started: str = "") -> None:
        Record(self._box.node, self._box.job, str(self._box.folder), pid, started).write(self._record)

    def _hold(self, pid: int) -> None:
        """Apply the limits to process 1, before it can start another."""
        if self._group:
            self._group.add(pid)
            return
        self._watching = asyncio.create_task(self._watch(pid), name=f"watch {self._box.job}")

    async def _watch(self, pid: int) -> None:
        """Kill the job once it uses more than it may; for a moment, it may."""
        used = 0
        while used <= self._limits.memory:
            await asyncio.sleep(LOOK_EVERY)
            used = await asyncio.to_thread(process_tree.memory, pid, self._limits.memory)
        self._too_much = True
        await self.kill()
