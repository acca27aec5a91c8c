"""One job in its sandbox: from received files to collected ones, as a sequence of events."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from homie_core.engine.lifecycle import judge
from homie_core.model.errors import BadMessage, SandboxError
from homie_core.model.event import Event, Exited, Started
from homie_core.model.job import How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import PeerId
from homie_core.sandbox.base import Backend, Box, End, Interpreter, Sandbox
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.link import Link, ProgramEnd, ProgramStarted
from homie_core.sandbox.program import RUNNER_REQUIREMENTS, program
from homie_core.store import workspace

GRACE = 5.0
"""Seconds between asking a program to end and ending it; also how late the outer deadline is."""


@dataclass(frozen=True)
class Workshop:
    """What this node runs jobs with."""

    backend: Backend
    interpreter: Interpreter
    environments: Environments


class Running:
    """The run of one job; `outcome` is true once `events` has been read to its end. Close it afterwards."""

    def __init__(self, workshop: Workshop, node: PeerId, spec: JobSpec, limits: Limits, folder: Path) -> None:
        self._workshop, self._spec, self._limits, self._folder = workshop, spec, limits, folder
        self._node = node
        self._box = folder / "box"
        self._sandbox: Sandbox | None = None
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
        try:
            environments = await self._environments()
            stamps = await asyncio.to_thread(
                workspace.lay_out,
                self._box,
                self._spec.files,
                self._folder / "received",
                backend.uid,
                backend.gid,
            )
            box = Box(
                node=self._node,
                job=self._spec.id,
                limits=self._limits,
                folder=self._box,
                environments=environments,
            )
            self._sandbox = await backend.create(box)
            async for event in self._run(self._sandbox, len(environments)):
                yield event
            yield Exited(outcome=self.outcome)
            results = self._folder / "results"
            yield await asyncio.to_thread(workspace.collect, self._box, self._spec.files, stamps, results)
        except (SandboxError, BadMessage, OSError) as error:
            how = self._why or How.FAILED
            self.outcome = Outcome(how=how, status=1, detail=str(error)[:2000])
            if self._sandbox:
                await self._sandbox.kill()

    async def close(self) -> None:
        """Leave nothing of it behind but events and results."""
        if self._sandbox:
            await self._sandbox.remove()
        await asyncio.to_thread(workspace.remove, self._box)

    async def _environments(self) -> tuple[Path, ...]:
        if self._spec.kind is Kind.SCRIPT:
            return ()
        workshop = self._workshop
        return (await workshop.environments.ensure(RUNNER_REQUIREMENTS, workshop.interpreter),)

    async def _run(self, sandbox: Sandbox, environments: int) -> AsyncIterator[Event]:
        link = Link(*await sandbox.start())
        await link.connect()
        await link.start(program(self._spec, self._limits, environments))
        guard = asyncio.create_task(self._guard(link, sandbox), name=f"guard {self._spec.id}")
        last: ProgramEnd | None = None
        try:
            async for numbered in link:
                match numbered.fact:
                    case ProgramStarted():
                        yield Started(sandbox=self._workshop.backend.name)
                    case ProgramEnd() as end:
                        last = end
                    case output_or_error:
                        yield output_or_error
                # The consumer has written it to the spool by now.
                await link.ack(numbered.seq)
            self.outcome = self._judge(last, await self._end_of(sandbox))
        finally:
            guard.cancel()

    async def _guard(self, link: Link, sandbox: Sandbox) -> None:
        """Hold the deadline from outside too, and stop the program when told."""
        try:
            async with asyncio.timeout(self._limits.timeout + GRACE):
                await self._stopping.wait()
        except TimeoutError:
            self._why = self._why or How.DEADLINE
        else:
            await link.signal(signal.SIGINT)
            await asyncio.sleep(GRACE)
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
        )
