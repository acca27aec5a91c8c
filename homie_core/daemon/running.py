"""One job in its sandbox: from received files to collected ones, as a sequence of events.

What is needed to take the job up again is written down before its program is started (`begin`), so that a daemon
that is killed at any moment can be followed by one that goes on where it was.
"""

import asyncio
import functools
import logging
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec import structs

from homie_core.daemon.pool import Pool, Ready, Workshop
from homie_core.daemon.progress import Progress
from homie_core.daemon.session import Session
from homie_core.engine.lease import Lease
from homie_core.engine.lifecycle import judge
from homie_core.model.errors import BadMessage, CannotWrite, EngineAway, SandboxError
from homie_core.model.event import Busy, Collected, Event, Exited, Messages, Output, Queued, Started
from homie_core.model.job import How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import PeerId
from homie_core.runner.clock import boottime
from homie_core.sandbox.base import Box, End, Sandbox
from homie_core.sandbox.link import Fact, Heard, Link, ProgramEnd, ProgramStarted
from homie_core.sandbox.program import Program, program
from homie_core.store import workspace
from homie_core.store.journal import Begun
from homie_core.store.room import room

log = logging.getLogger(__name__)

GRACE = 1.5
"""Seconds between asking a program to end and ending it."""
LATE = 5.0
"""Seconds by which the outer deadline is later than the runner's own, and in which a sandbox ends by itself."""
AGAIN = 5.0
"""Seconds between two looks whether a full disk has room again."""

T = TypeVar("T")


class Told(NamedTuple):
    """What has happened, and the number of the runner's record that it was; 0: it is the host's own."""

    event: Event
    fact: int = 0


class Running:
    """The run of one job; `outcome` is true once `events` has been read to its end. Close it afterwards."""

    def __init__(
        self,
        workshop: Workshop,
        pool: Pool | None,
        node: PeerId,
        spec: JobSpec,
        limits: Limits,
        folder: Path,
        begin: Callable[[Begun], None],
        *,
        lease: Lease | None = None,
        begun: Begun | None = None,
        progress: Progress | None = None,
        session: Session | None = None,
        cards: tuple[str, ...] = (),
    ) -> None:
        """`begin` writes down what it runs in; `begun` is what an earlier life of the daemon wrote down, and
        `progress` how far the job had come. `cards`: what its graphics cards are called."""
        self._session, self._cards = session, cards
        self._workshop, self._spec, self._limits, self._folder = workshop, spec, limits, folder
        self._node, self._pool = node, pool
        self._begin, self._begun, self._lease = begin, begun, lease
        self._fresh = begun is None
        self._past = progress or Progress()
        self._ready: Ready | None = None
        self._why: How | None = None
        self._stopping = asyncio.Event()
        self.outcome = Outcome(how=How.FAILED, status=1)

    def stop(self, how: How) -> None:
        """End it before its time: it hears SIGINT, then has `GRACE` seconds."""
        self._why = self._why or how
        self._stopping.set()

    async def events(self) -> AsyncIterator[Told]:
        """Run the job, or take it up again; yield what happens. When this ends, none of its processes is left."""
        workshop = self._workshop
        try:
            if self._begun:
                ready = self._ready = await self._find(self._begun)
            else:
                requirements, interpreter = workshop.requirements, workshop.interpreter
                if self._session and not await workshop.environments.has(requirements, interpreter):
                    yield Told(Queued(position=1, reason="its host gets the packages of sessions ready, once"))
                with room(self._folder):
                    ready = self._ready = await self._get_ready(await self._environments())
                    await self._lay_out(ready)
            files, kept = self._spec.files, self._folder / "stamps"
            stamp = functools.partial(asyncio.to_thread, workspace.stamped, ready.box.folder, files, kept)
            stamps = await self._when_room(stamp, unless_stopped=True)
            async for told in self._run(ready):
                yield told
            if not self._past.collected:
                collected = await self._collect(ready, stamps)
                yield Told(self._session.without_inputs(collected) if self._session else collected)
        except (SandboxError, BadMessage, CannotWrite, OSError) as error:
            how = self._why or (How.LOST if isinstance(error, EngineAway) and self._begun else How.FAILED)
            self.outcome = Outcome(how=how, status=1, detail=_in_words(error)[:2000])
            if self._ready:
                await self._ready.sandbox.kill()

    async def renew(self) -> None:
        """Its lease has been renewed: tell its runner."""
        if self._lease and self._ready and self._ready.link:
            await self._ready.link.renew(self._lease.until)

    @property
    def work(self) -> Path | None:
        """The folder of what runs, if it is there."""
        return self._ready.box.folder / "work" if self._ready else None

    @property
    def owner(self) -> tuple[int, int]:
        """Whose its files are: uid and gid."""
        return self._workshop.backend.uid, self._workshop.backend.gid

    async def close(self) -> None:
        """Leave nothing of it behind but events and results."""
        if self._ready:
            await self._ready.remove()

    async def _find(self, begun: Begun) -> Ready:
        """Return the sandbox that an earlier life of the daemon wrote down."""
        environments = tuple(map(Path, begun.environments))
        box = Box(self._node, begun.box, begun.limits, Path(begun.folder), environments)
        return await Ready.find(self._workshop.backend, begun.kind, box, self._past.fact)

    async def _get_ready(self, environments: tuple[Path, ...]) -> Ready:
        """Return a sandbox that waits for this job: from the pool if one fits, else made now."""
        if self._pool and (ready := await self._pool.take(self._limits, environments)):
            return ready
        box = Box(self._node, self._spec.id, self._limits, self._folder / "box", environments)
        return await Ready.make(self._workshop.backend, box)

    async def _environments(self) -> tuple[Path, ...]:
        if self._spec.kind is Kind.SCRIPT:
            return ()
        workshop = self._workshop
        return (await workshop.environments.ensure(workshop.requirements, workshop.interpreter),)

    async def _lay_out(self, ready: Ready) -> None:
        """Put the job's files into its sandbox; from then on the sandbox is the one place where the job is."""
        backend, box, received = self._workshop.backend, ready.box, self._folder / "received"
        await asyncio.to_thread(
            workspace.lay_out, box.folder, self._spec.files, received, backend.uid, backend.gid
        )
        await self._when_room(functools.partial(self._write_down, box), unless_stopped=True)
        await asyncio.to_thread(workspace.remove, received)

    async def _write_down(self, box: Box) -> None:
        begun = Begun(
            kind=self._workshop.backend.kind,
            box=box.job,
            folder=str(box.folder),
            limits=self._limits,
            environments=tuple(map(str, box.environments)),
            at=time.monotonic(),
        )
        self._begin(begun)
        self._begun = begun

    async def _collect(self, ready: Ready, stamps: workspace.Stamps) -> Collected:
        """Take in what the job made."""
        files, results = self._spec.files, self._folder / "results"

        async def collect() -> Collected:
            await ready.disk.settle()
            return await asyncio.to_thread(
                workspace.collect, ready.box.folder, files, stamps, results, self._limits.disk
            )

        return await self._when_room(collect)

    async def _when_room(self, write: Callable[[], Awaitable[T]], *, unless_stopped: bool = False) -> T:
        """Write, as soon as the disk has room; with `unless_stopped`, raise CannotWrite if it is to end before."""
        while True:
            try:
                with room(self._folder):
                    return await write()
            except CannotWrite as error:
                if unless_stopped and self._stopping.is_set():
                    raise
                log.warning("job %s waits for room: %s", self._spec.id, error)
            await asyncio.sleep(AGAIN)

    async def _run(self, ready: Ready) -> AsyncIterator[Told]:
        guards = [
            asyncio.create_task(self._guard(ready), name=f"guard {self._spec.id}"),
            asyncio.create_task(self._guard_disk(ready), name=f"disk of {self._spec.id}"),
            asyncio.create_task(self._guard_lease(ready), name=f"lease of {self._spec.id}"),
        ]
        session, written, known = self._session, self._past.written, self._past.exited
        last = _program_end(known)
        try:
            async with aclosing(self._facts(ready)) as facts:
                async for number, fact in facts:
                    match fact:
                        case ProgramStarted():
                            started = Started(sandbox=self._workshop.backend.name, gpus=self._cards)
                            yield Told(started, number)
                        case ProgramEnd():
                            last, known = fact, self._judge(fact, End(exit_code=0))
                            yield Told(Exited(outcome=known), number)
                        case _:
                            written = _count(fact, written)
                            if written > self._limits.output:
                                # Docker cannot end a container whose output waits for a reader.
                                ready.hang_up()
                                await self._kill(How.OUTPUT, ready.sandbox)
                                break
                            if session:
                                session.heard(fact)
                            if not isinstance(fact, Heard):
                                yield Told(fact, number)
            end = await self._end_of(ready.sandbox)
            self.outcome = known if known and not last else self._judge(last, end, ready.engine_left)
            if not known:
                yield Told(Exited(outcome=self.outcome))
        finally:
            for guard in guards:
                guard.cancel()
            if session:
                session.close()

    async def _facts(self, ready: Ready) -> AsyncGenerator[tuple[int, Fact]]:
        """Yield what the runner says, over as many streams as it takes, until its sandbox has ended."""
        number, fresh = self._past.fact, self._fresh
        while link := ready.link:
            await link.ack(number)  # what an earlier life wrote down, and did not live to say so
            lapsed = self._lease and not (fresh and boottime() < self._lease.until)
            if lapsed and not link.recorded:  # of another daemon's lease nobody knows how much is left
                await self._kill(How.LAPSED, ready.sandbox)
                return
            await link.start(self._program(ready))
            serving = self._serve(link, ready.sandbox)
            try:
                async for number, fact in link:
                    yield number, fact
                    await link.ack(number)  # whoever reads this has written it down by now
                    if isinstance(fact, ProgramEnd):
                        return
            finally:
                serving.cancel()
            if self._why:
                return
            await ready.reconnect(number)

    def _program(self, ready: Ready) -> Program:
        wish = program(self._spec, self._limits, len(ready.box.environments))
        return structs.replace(wish, lease=self._lease.until if self._lease else None)

    def _serve(self, link: Link, sandbox: Sandbox) -> "asyncio.Task[None]":
        """Let a session pass on what it is told, from where its runner is."""
        end = functools.partial(self._kill, sandbox=sandbox)
        serving = self._session.serve(link, end) if self._session else asyncio.sleep(0)
        return asyncio.create_task(serving, name=f"session {self._spec.id}")

    async def _guard(self, ready: Ready) -> None:
        """Hold the deadline from outside too (a session holds that of each cell), and stop it when told."""
        assert self._begun
        left = self._begun.at + self._limits.timeout + LATE - time.monotonic()
        try:
            async with asyncio.timeout(None if self._session else left):
                await self._stopping.wait()
        except TimeoutError:
            await self._kill(How.DEADLINE, ready.sandbox)
        else:
            if link := ready.link:
                if self._session:
                    await link.interrupt()
                    await link.finish()
                else:
                    await link.signal(signal.SIGINT)
            await asyncio.sleep(LATE if self._session else GRACE)  # a kernel shows what was interrupted, and ends
            await ready.sandbox.kill()

    async def _guard_lease(self, ready: Ready) -> None:
        """Hold the lease from outside too."""
        if self._lease is None:
            return
        while (left := self._lease.until - boottime()) > 0:  # noqa: ASYNC110 - it may be renewed meanwhile
            await asyncio.sleep(min(1.0, left))
        await self._kill(How.LAPSED, ready.sandbox)

    async def _guard_disk(self, ready: Ready) -> None:
        """End the program when it takes more disk than it was lent, where the kernel does not hold it."""
        why = await ready.disk.watch()
        log.info("job %s is ended: %s", self._spec.id, why)
        await self._kill(How.DISK, ready.sandbox)

    async def _kill(self, how: How, sandbox: Sandbox) -> None:
        self._why = self._why or how
        await sandbox.kill()

    async def _end_of(self, sandbox: Sandbox) -> End:
        try:
            return await asyncio.wait_for(sandbox.end(), LATE)
        except TimeoutError:
            await sandbox.kill()
            return await sandbox.end()

    def _judge(self, last: ProgramEnd | None, end: End, engine_left: bool = False) -> Outcome:
        return judge(
            status=last.exit_status if last else None,
            deadline=last is not None and last.deadline,
            lapsed=last is not None and last.lapsed,
            out_of_memory=end.out_of_memory,
            ended_by=self._why,
            limits=self._limits,
            exit_code=end.exit_code,
            last_words=end.detail,
            engine_left=engine_left,
        )


def _in_words(error: Exception) -> str:
    """Return what a job's submitter has to know of what ended it."""
    if isinstance(error, CannotWrite):
        return "its host's disk is full; run it again on another peer, or when the owner has made room"
    return str(error)


def _program_end(known: Outcome | None) -> ProgramEnd | None:
    """Return what the runner told an earlier life of the daemon, if it was the runner who told it."""
    if known is None or known.how not in (How.EXITED, How.DEADLINE, How.LAPSED):
        return None
    deadline, lapsed = known.how is How.DEADLINE, known.how is How.LAPSED
    return ProgramEnd(status=known.status, signal=None, deadline=deadline, lapsed=lapsed)


def _count(fact: Fact, written: int) -> int:
    """Return how many bytes have been written with this; in a session, since its present cell began."""
    match fact:
        case Output(data=data) | Messages(data=data):
            return written + len(data)
        case Busy(cell=cell) if cell:
            return 0
        case _:
            return written
