"""One job in its sandbox: from received files to collected ones, as a sequence of events."""

import asyncio
import functools
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from homie_core.daemon.pool import Pool, Ready, Workshop
from homie_core.daemon.session import Session
from homie_core.engine.lifecycle import judge
from homie_core.model.errors import BadMessage, SandboxError
from homie_core.model.event import Busy, Event, Exited, Messages, Output, Queued, Started
from homie_core.model.job import How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import PeerId
from homie_core.sandbox.base import Box, End, Sandbox
from homie_core.sandbox.link import Link, ProgramEnd, ProgramStarted
from homie_core.sandbox.program import program
from homie_core.store import workspace

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds between asking a program to end and ending it; also how late the outer deadline is."""


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
        session: Session | None = None,
        cards: tuple[str, ...] = (),
    ) -> None:
        """`cards`: what its graphics cards are called."""
        self._session, self._cards = session, cards
        self._workshop, self._spec, self._limits, self._folder = workshop, spec, limits, folder
        self._node, self._pool = node, pool
        self._ready: Ready | None = None
        self._why: How | None = None
        self._stopping = asyncio.Event()
        self.outcome = Outcome(how=How.FAILED, status=1)

    def stop(self, how: How) -> None:
        """End it before its time: it hears SIGINT, then has `GRACE` seconds."""
        self._why = self._why or how
        self._stopping.set()

    async def events(self) -> AsyncIterator[Event]:
        """Run the job; yield what happens. When this ends, none of its processes is left."""
        backend = self._workshop.backend
        workshop = self._workshop
        try:
            if self._session and not await workshop.environments.has(workshop.requirements, workshop.interpreter):
                yield Queued(position=1, reason="its host gets the packages of sessions ready, once")
            environments = await self._environments()
            ready = self._ready = await self._get_ready(environments)
            stamps = await asyncio.to_thread(
                workspace.lay_out,
                ready.box.folder,
                self._spec.files,
                self._folder / "received",
                backend.uid,
                backend.gid,
            )
            async for event in self._run(ready, len(environments)):
                yield event
            yield Exited(outcome=self.outcome)
            results = self._folder / "results"
            collected = await asyncio.to_thread(
                workspace.collect, ready.box.folder, self._spec.files, stamps, results, self._limits.disk
            )
            yield self._session.without_inputs(collected) if self._session else collected
        except (SandboxError, BadMessage, OSError) as error:
            how = self._why or How.FAILED
            self.outcome = Outcome(how=how, status=1, detail=str(error)[:2000])
            if self._ready:
                await self._ready.sandbox.kill()

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

    async def _run(self, ready: Ready, environments: int) -> AsyncIterator[Event]:
        sandbox, link, written = ready.sandbox, ready.link, 0
        await link.start(program(self._spec, self._limits, environments))
        guards = [
            asyncio.create_task(self._guard(link, sandbox), name=f"guard {self._spec.id}"),
            asyncio.create_task(self._guard_disk(ready), name=f"disk of {self._spec.id}"),
        ]
        session, end = self._session, functools.partial(self._kill, sandbox=sandbox)
        if session:
            guards.append(asyncio.create_task(session.serve(link, end), name=f"session {self._spec.id}"))
        last: ProgramEnd | None = None
        try:
            async for numbered in link:
                match numbered.fact:
                    case ProgramStarted():
                        yield Started(sandbox=self._workshop.backend.name, gpus=self._cards)
                    case ProgramEnd() as fact:
                        last = fact
                    case fact:
                        written = self._count(fact, written)
                        if written > self._limits.output:
                            # Docker cannot end a container whose output waits for a reader.
                            link.close()
                            await self._kill(How.OUTPUT, sandbox)
                            break
                        if session:
                            session.heard(fact, link, end)
                        yield fact
                # The consumer has written it to the spool by now.
                await link.ack(numbered.seq)
            self.outcome = self._judge(last, await self._end_of(sandbox))
        finally:
            for guard in guards:
                guard.cancel()
            if session:
                session.close()

    def _count(self, fact: Event, written: int) -> int:
        """Return how many bytes have been written with this; in a session, since its present cell began."""
        match fact:
            case Output(data=data) | Messages(data=data):
                return written + len(data)
            case Busy(cell=cell) if cell:
                return 0
            case _:
                return written

    async def _guard(self, link: Link, sandbox: Sandbox) -> None:
        """Hold the deadline from outside too (a session holds that of each cell), and stop it when told."""
        try:
            async with asyncio.timeout(None if self._session else self._limits.timeout + GRACE):
                await self._stopping.wait()
        except TimeoutError:
            await self._kill(How.DEADLINE, sandbox)
        else:
            if self._session:
                await link.interrupt()
                await link.finish()
            else:
                await link.signal(signal.SIGINT)
            await asyncio.sleep(GRACE)
            await sandbox.kill()

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
            return await asyncio.wait_for(sandbox.end(), GRACE)
        except TimeoutError:
            await sandbox.kill()
            return await sandbox.end()

    def _judge(self, last: ProgramEnd | None, end: End) -> Outcome:
        return judge(
            status=last.exit_status if last else None,
            deadline=last is not None and last.deadline,
            out_of_memory=end.out_of_memory,
            ended_by=self._why,
            limits=self._limits,
            exit_code=end.exit_code,
            last_words=end.detail,
        )
