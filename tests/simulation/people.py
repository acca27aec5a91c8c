"""Who sends jobs and reads what comes of them: front ends that come back when their daemon, or they, were gone."""

import asyncio
import functools
from contextlib import aclosing
from pathlib import Path
from typing import Any

from nodes import Node
from power import effect
from virtual import LIFE

from homie_core.model.control import Delivered, JobEvent, Placed, RunRequest, Source
from homie_core.model.errors import CannotWrite, HomieError, PeerUnreachable
from homie_core.model.event import Ended, Output
from homie_core.model.job import Ask, Kind, Outcome
from homie_core.model.names import FileName, JobId

SCRIPT = b"a script of the simulation, which nobody reads"


class Front:
    """One job as its submitter sees it."""

    def __init__(
        self,
        world: Any,
        node: Node,
        plan: tuple[str, ...],
        timeout: float,
        target: str | None,
        retry: int,
        lease: float,
    ) -> None:
        self.world, self.node = world, node
        self.job = JobId(plan[0])
        self.folder = node.machine.folder / "out" / self.job
        self.sent = False
        self.sent_at = 0.0
        self.placed: str | None = None
        """The name of the host that has it, once this has been heard."""
        self.host: str | None = None
        """The name of the host that is asked now."""
        self.hosts: set[str] = set()
        """All that were."""
        self.uploaded = False
        """Whether its host has all its files, as far as this one has heard."""
        self.heard = 0
        """Number of the last event."""
        self.read = {1: b"", 2: b""}
        """Output by stream."""
        self.outcome: Outcome | None = None
        self.delivered: tuple[Path, tuple[str, ...]] | None = None
        self.gone = ""
        """Why nothing more can be heard of it, if that was said."""
        self.concluded_at: float | None = None
        self.to_be_stopped = False
        """Whether its submitter wants it to end."""
        self.stopped_at: float | None = None
        """When its host said that it is being stopped."""
        self._task: asyncio.Task[Any] | None = None
        self._times = 0
        self._slow = world.random.choice((0.0, 0.01, 2.0))
        """Seconds that it may take to read something."""
        data = Source(name=FileName("data"), content=self.job.encode() * 40)
        self.request = RunRequest(
            id=self.job,
            kind=Kind.SCRIPT,
            results=str(self.folder / "0"),
            entry=FileName("main.py"),
            files=(Source(name=FileName("main.py"), content=SCRIPT), data)[: world.random.choice((1, 2))],
            args=plan,
            ask=Ask(cpus=float(plan[1]), timeout=timeout),
            node=target,
            retry=retry,
            lease=lease,
        )
        node.fronts.append(self)

    @property
    def concluded(self) -> bool:
        return self.concluded_at is not None

    def begin(self) -> None:
        """Ask for it now, or when there is a daemon."""
        if self.node.up and not self.sent:
            self.sent, self.sent_at = True, self.world.loop.now
            self._talk(self.node.runs.run(self.request))

    def daemon_began(self) -> None:
        """Come back to it."""
        if self.sent and not self.concluded:
            self.attach()

    def attach(self) -> None:
        """See it again, from where it was left."""
        self._times += 1
        if self.request.retry:  # it may be elsewhere by now, with another story
            self._begin_anew()
        if self.node.up:
            self._talk(self.node.runs.follow(self.job, self.heard, str(self.folder / str(self._times))))

    def detach(self) -> None:
        """Look away for some time."""
        if self._task and not self.concluded:
            self._task.cancel()
            self.world.later(self.world.random.uniform(0, 20), self.daemon_began)

    def stop(self) -> None:
        """End the job before its time."""
        if self.placed and self.node.up and not self.concluded:
            self.to_be_stopped = True
            self.node.start(self._stop(), f"stop {self.job}")

    async def _stop(self) -> None:
        try:
            await self.node.runs.stop(self.job)
            self.stopped_at = self.world.loop.now
        except HomieError as error:
            self.world.trace(f"stop {self.job}: {error}")

    def _talk(self, news: Any) -> None:
        if self._task and LIFE.get() is None:
            self._task.cancel()
        self._task = self.node.start(self._listen(news), f"front end of {self.job}")

    async def _listen(self, news: Any) -> None:
        first = True
        try:
            async with aclosing(news):
                async for each in news:
                    await asyncio.sleep(self._slow * self.world.random.random())
                    effect("front end told", functools.partial(self._hear, each, first))
                    first = False
        except HomieError as error:
            effect("front end refused", functools.partial(self._refused, error))

    def _hear(self, news: Any, first: bool) -> None:
        match news:
            case Placed(peer=peer):
                if not first:
                    self.world.trace(f"{self.job} starts again on {peer}")
                    self._begin_anew()
                if not first or not self._times:
                    self.placed = peer
                self.host = peer
                self.hosts.add(peer)
            case Delivered(folder=folder, files=files):
                self.delivered = Path(folder), files
            case JobEvent(record=record):
                if record.seq != self.heard + 1:
                    self.world.blame([f"{self.job}: event {record.seq} was heard after {self.heard}"])
                if self.outcome:
                    self.world.blame([f"{self.job}: event {record.seq} came after its end"])
                self.heard = record.seq
                self.uploaded = self.uploaded or not self._times
                self.world.trace(f"{self.job} {record.seq} {type(record.event).__name__}")
                if isinstance(record.event, Output):
                    self.read[record.event.stream] += record.event.data
                if isinstance(record.event, Ended):
                    self.outcome = record.event.outcome
                    self._conclude()

    def _refused(self, error: HomieError) -> None:
        self.world.trace(f"{self.job} refused: {type(error).__name__} {error}")
        if not self._times or isinstance(error, PeerUnreachable | CannotWrite):
            self.world.later(self.world.random.uniform(1, 30), self.daemon_began)
        else:
            self.gone = str(error)
            self._conclude()

    def _begin_anew(self) -> None:
        self.heard, self.read, self.delivered = 0, {1: b"", 2: b""}, None

    def results(self) -> dict[str, bytes]:
        """Return the files that came back, by name."""
        if self.delivered is None:
            return {}
        folder, names = self.delivered
        return {name: (folder / name).read_bytes() for name in names}

    def _conclude(self) -> None:
        self.concluded_at = self.world.loop.now
