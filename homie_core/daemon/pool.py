"""Sandboxes whose runner waits for a program: made for one job, or in advance. Each serves one job only."""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from homie_core.daemon.tasks import Tasks
from homie_core.model.errors import BadMessage, EngineAway, SandboxError
from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId
from homie_core.sandbox.base import Backend, Box, End, Interpreter, Sandbox
from homie_core.sandbox.disk import Disk, sweep
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.link import Link
from homie_core.sandbox.program import session_program
from homie_core.store import workspace

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds after a sandbox was taken until the next is made: its job comes first."""
AGAIN = 30.0
"""Seconds between two tries to make one, when that fails."""
PATIENCE = 300.0
"""Seconds in which an engine that does not answer may come back, with the jobs in it."""
RETRY = 0.2
"""Seconds between two looks for it."""
LEAST_MEMORY = 192 << 20
"""Bytes below which a job gets a sandbox of its own: what waits uses 43 MB of its job's memory."""

T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """What this node runs jobs with."""

    backend: Backend
    interpreter: Interpreter
    environments: Environments
    requirements: tuple[str, ...]
    """Packages that every session finds."""


@dataclass
class Ready:
    """A sandbox whose runner waits, with an empty `work/` to put the job's files in; or one that runs already."""

    box: Box
    disk: Disk
    sandbox: Sandbox
    link: Link | None
    """None once it has ended."""
    engine_left: bool = False
    """Whether its engine has been away."""

    @classmethod
    async def make(cls, backend: Backend, box: Box) -> "Ready":
        """Make and start it. Leaves nothing behind if that fails; raises SandboxError, BadMessage, OSError."""
        making = asyncio.ensure_future(cls._make(backend, box))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:  # what an engine and threads were asked to make comes anyway
            with contextlib.suppress(SandboxError, BadMessage, OSError):
                await (await making).discard(PATIENCE)
            raise

    @classmethod
    async def _make(cls, backend: Backend, box: Box) -> "Ready":
        sandbox: Sandbox | None = None
        disk = await Disk.make(box.folder, box.limits, backend.uid, backend.gid)
        try:
            await asyncio.to_thread(workspace.lay_out, box.folder, (), box.folder, backend.uid, backend.gid)
            sandbox = await backend.create(box)
            link = Link(*await sandbox.start())
            await link.connect()
        except BaseException:
            ready = cls(box, disk, sandbox or Vanished(), None)
            await asyncio.shield(ready.discard(PATIENCE))
            raise
        return cls(box, disk, sandbox, link)

    @classmethod
    async def find(cls, backend: Backend, kind: str, box: Box, after: int) -> "Ready":
        """Find one of this kind that an earlier life of the daemon made, and hear its runner after record `after`.

        Raises SandboxError if its engine stays away.
        """
        ready = cls(box, Disk.find(box.folder, box.limits), Vanished(), None)
        if kind == backend.kind:
            found = await ready._answer(lambda: backend.find(box))
            ready.sandbox = found or Vanished()
        await ready.reconnect(after)
        return ready

    async def reconnect(self, after: int) -> None:
        """Make another link to the runner, which was heard up to record `after`, unless its sandbox has ended.

        An engine that does not answer may be on its way back. Raises SandboxError if it stays away.
        """
        self.hang_up()
        self.link = await self._answer(lambda: self._connect(after))

    async def _connect(self, after: int) -> Link | None:
        if not await self.sandbox.runs():
            return None
        link = Link(*await self.sandbox.attach())
        await link.connect(after)
        return link

    async def _answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask an engine that may be on its way back; raise what it says in the end."""
        until, said = time.monotonic() + PATIENCE, ""
        while True:
            try:
                return await ask()
            except (SandboxError, BadMessage) as error:
                self.engine_left = self.engine_left or isinstance(error, EngineAway)
                if time.monotonic() > until:
                    raise
                if said != str(error):
                    log.info("the runner of %s is not reached: %s", self.box.job, error)
                said = str(error)
            await asyncio.sleep(RETRY)

    def hang_up(self) -> None:
        """Hear no more of it."""
        if self.link:
            self.link.close()
            self.link = None

    async def remove(self) -> None:
        """Leave nothing of it behind."""
        self.hang_up()
        await self.sandbox.remove()
        await _remove_folder(self.disk)

    async def discard(self, patience: float = math.inf) -> None:
        """Leave nothing of it behind, also if its engine does not answer for so many seconds."""
        until = time.monotonic() + patience
        while True:
            try:
                return await self.remove()
            except SandboxError as error:
                log.warning("the sandbox %s is not removed yet: %s", self.box.job, error)
                if time.monotonic() > until:
                    return None
            await asyncio.sleep(AGAIN)


class Vanished:
    """A sandbox that is no more, and that nobody can tell about."""

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise SandboxError("the sandbox is gone")

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise SandboxError("the sandbox is gone")

    async def runs(self) -> bool:
        return False

    async def limit(self, limits: Limits) -> None:
        pass

    async def freeze(self, frozen: bool) -> None:
        pass

    async def kill(self) -> None:
        pass

    async def end(self) -> End:
        return End(exit_code=None)

    async def remove(self) -> None:
        pass


class Pool:
    """So many sandboxes wait, with the limits of an ordinary job; 0 switches it off."""

    def __init__(
        self,
        workshop: Workshop,
        node: PeerId,
        folder: Path,
        limits: Limits,
        size: int,
        taken: frozenset[Path] = frozenset(),
    ) -> None:
        """`taken` are boxes in `folder` in which jobs of an earlier life run."""
        self._workshop, self._node, self._folder, self._taken = workshop, node, folder, taken
        self._limits, self._size = limits, size
        self._ready: dict[JobId, tuple[Ready, asyncio.Task[None]]] = {}
        self._lack = asyncio.Event()
        self._tasks = Tasks()
        self._keeping = asyncio.create_task(self._keep(), name="pool")

    async def take(self, limits: Limits, environments: tuple[Path, ...]) -> Ready | None:
        """Return one that is now the caller's and has these limits; None if none that fits is there."""
        for id, (ready, watch) in list(self._ready.items()):
            if not fits(ready.box, limits, environments):
                continue
            del self._ready[id]
            watch.cancel()
            self._lack.set()
            try:
                if (limits.cpus, limits.memory) != (ready.box.limits.cpus, ready.box.limits.memory):
                    await ready.sandbox.limit(limits)
            except SandboxError as error:
                log.info("a waiting sandbox is not used: %s", error)
                self._tasks.start(ready.discard(), f"discard {id}")
            except BaseException:
                self._tasks.start(ready.discard(), f"discard {id}")
                raise
            else:
                return replace(ready, box=replace(ready.box, limits=limits))
        return None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._ready)

    async def close(self) -> None:
        """Remove all that wait; none is made any more."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        for ready, watch in self._ready.values():
            watch.cancel()
            await ready.discard(0.0)
        self._ready.clear()
        await self._tasks.settle(PAUSE)

    async def _keep(self) -> None:
        """Keep the pool full."""
        await sweep_boxes(set(self._folder.glob("*")) - self._taken)
        if self._size == 0:
            return
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        while True:
            self._lack.clear()
            if len(self._ready) >= self._size:
                await self._lack.wait()
                await asyncio.sleep(PAUSE)
                continue
            try:
                await self._add()
            except (SandboxError, BadMessage, OSError) as error:
                log.warning("no sandbox waits in advance: %s", error)
                await asyncio.sleep(AGAIN)

    async def _add(self) -> None:
        workshop, id = self._workshop, JobId(secrets.token_hex(6))
        environments: tuple[Path, ...] = ()
        with contextlib.suppress(SandboxError):  # said elsewhere; scripts need none
            environments = (await workshop.environments.ensure(workshop.requirements, workshop.interpreter),)
        box = Box(self._node, id, self._limits, self._folder / id, environments)
        ready = await Ready.make(workshop.backend, box)
        if environments:
            assert ready.link
            await ready.link.prepare(session_program(self._limits, len(environments)))
        self._ready[id] = ready, asyncio.create_task(self._watch(ready), name=f"waiting sandbox {id}")

    async def _watch(self, ready: Ready) -> None:
        """Put another in its place if it ends while it waits."""
        await ready.sandbox.end()
        self._ready.pop(ready.box.job, None)
        log.info("the waiting sandbox %s ended; another takes its place", ready.box.job)
        self._lack.set()
        self._tasks.start(ready.discard(), f"discard {ready.box.job}")


async def sweep_boxes(boxes: Iterable[Path]) -> None:
    """Take these folders away, with the disks in them, that an earlier life of the daemon left."""
    for box in boxes:
        await sweep(box)
        await asyncio.to_thread(workspace.remove, box)


async def _remove_folder(disk: Disk) -> None:
    await disk.remove()
    await asyncio.to_thread(workspace.remove, disk.folder)


def fits(box: Box, limits: Limits, environments: tuple[Path, ...]) -> bool:
    """Return whether a waiting box can take a job: only cores, memory and time can still be changed."""
    same = structs.replace(limits, cpus=box.limits.cpus, memory=box.limits.memory, timeout=box.limits.timeout)
    return same == box.limits and limits.memory >= LEAST_MEMORY and environments in ((), box.environments)
