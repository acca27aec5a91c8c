"""Jobs of mine that may be started again on another peer: their leases are renewed, and who is lost is replaced.

A job is started again only when its host has said that it runs no more, or when, by its lease, it can run no more
(`engine.lease`). Whoever follows the job meanwhile asks `settled` when it seems to have ended.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import structs

from homie_core.daemon import full_disk
from homie_core.daemon.links import Links
from homie_core.daemon.meter import Meter
from homie_core.daemon.renewing import RENEWALS, Hold
from homie_core.daemon.submitting import Submitter
from homie_core.daemon.tasks import Tasks
from homie_core.model.control import Placed, RunRequest
from homie_core.model.errors import CannotWrite, HomieError, NoPeer, PeerRefused
from homie_core.model.event import Ended
from homie_core.model.job import How, Outcome
from homie_core.model.names import JobId, PeerId
from homie_core.runner.clock import boottime
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

LOST = frozenset({How.LOST, How.EVICTED, How.KILLED, How.FAILED, How.LAPSED})
"""Ends that are none of the job's own doing."""
PATIENCE, AGAIN = 20.0, 1.0
"""Seconds in which another host may turn up that can take a job, and between two looks for one."""


@dataclass
class Care:
    """All jobs of mine that may be started again."""

    journal: Journal
    links: Links
    submitter: Submitter
    clock: Callable[[], float] = boottime
    _tasks: Tasks = field(default_factory=Tasks)
    _at: dict[JobId, Sent] = field(default_factory=dict)
    """Where each is, or was last; the journal also knows who is just being asked to take it."""
    _placed: dict[JobId, Placed] = field(default_factory=dict)
    """Where jobs were started again."""
    _forgone: set[JobId] = field(default_factory=set)
    _moves: dict[JobId, "asyncio.Future[Placed | None]"] = field(default_factory=dict)
    """What comes of each job when its present host is done with it: where it is now, or None: that was the end."""

    def recover(self) -> None:
        """Go on with those that an earlier life of the daemon cared for."""
        for request, again in self.journal.cared():
            self._take(request, again)

    async def submit(self, request: RunRequest, placing: "asyncio.Future[Placed]", meter: Meter) -> Sent:
        """Bring a job to its host, and care for it from then on if it may be started again."""
        sent = await self.submitter.submit(request, placing, meter)
        if request.retry:
            self._take(request, request.retry)
        return sent

    def _take(self, request: RunRequest, again: int) -> None:
        """Care for a job that is with its host."""
        try:
            self.journal.care(request, again)
        except CannotWrite as error:
            log.warning("job %s is not started again if this daemon ends now: %s", request.id, error)
        self._moves[request.id] = asyncio.get_running_loop().create_future()
        self._tasks.start(self._care(request, again), f"care for {request.id}")

    def forgo(self, job: JobId) -> None:
        """Start this job nowhere any more, also after a restart: it is stopped, or its end has been told."""
        if job in self._moves:
            self._forgone.add(job)
            with contextlib.suppress(CannotWrite):
                self.journal.care_no_more(job)

    def at(self, job: JobId) -> Sent | None:
        """Return where a job is that is cared for."""
        return self._at.get(job)

    def minds(self, job: JobId) -> bool:
        """Return whether a job may yet be started again."""
        return job in self._moves

    def moved(self, sent: Sent) -> Placed | None:
        """Return where a job is by now that was sent to this peer; None if it still is there."""
        placed = self._placed.get(sent.job)
        return placed if placed and placed.id != sent.peer else None

    async def settled(self, job: JobId) -> Placed | None:
        """Return where a job is started again, once that is known; None if its end is its end."""
        move = self._moves.get(job)
        return await asyncio.shield(move) if move else None

    async def close(self) -> None:
        await self._tasks.cancel()

    async def _care(self, request: RunRequest, again: int) -> None:
        job, been, sent = request.id, frozenset[PeerId](), self.journal.sent(request.id)
        while sent:
            self._at[job] = sent
            outcome = await self._until_over(sent, request.lease)
            if again == 0 or job in self._forgone or (outcome and outcome.how not in LOST):
                break
            log.info("job %s is lost on %s: %s", job, sent.peer_name, outcome.how.value if outcome else "silent")
            been, again = been | {sent.peer}, again - 1
            await full_disk.when_room(job, functools.partial(self.journal.care, request, again))
            brought = await self._bring(request, sent, been)
            if brought is None:
                break
            why = f"{sent.peer_name} is lost; it starts again, from its beginning"
            sent, placed = brought
            self._at[job], self._placed[job] = sent, structs.replace(placed, why=why)
            move, self._moves[job] = self._moves[job], asyncio.get_running_loop().create_future()
            move.set_result(self._placed[job])
            if job in self._forgone:  # meanwhile
                self._tasks.start(self.submitter.withdraw(sent.peer, job), f"withdraw {job}")
        self._moves.pop(job).set_result(None)
        self._at.pop(job, None)
        self._forgone.discard(job)
        await full_disk.when_room(job, functools.partial(self.journal.care_no_more, job))

    async def _bring(
        self, request: RunRequest, before: Sent, but: frozenset[PeerId]
    ) -> tuple[Sent, Placed] | None:
        """Bring a job that runs nowhere to another host; return None if nobody takes it."""
        until = self.clock() + PATIENCE
        while True:
            placing: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
            try:
                return await self.submitter.bring(request, placing, Meter(up=True), but), placing.result()
            except CannotWrite as error:
                log.warning("job %s waits to be started again: %s", request.id, error)
                await asyncio.sleep(full_disk.LOOK)
            except HomieError as error:
                if isinstance(error, NoPeer) and not placing.done() and self.clock() < until:
                    await asyncio.sleep(AGAIN)
                    continue
                log.info("job %s finds no other host: %s", request.id, error)
                await full_disk.when_room(before.job, functools.partial(self.journal.send, before))
                return None

    async def _until_over(self, sent: Sent, lease: float) -> Outcome | None:
        """Return how a job ended on its host; None if that is silent, and the job can run there no more."""
        hold = Hold(self.links, sent.peer, sent.job, lease, self.clock)
        following = asyncio.create_task(self._follow(sent, hold), name=f"end of {sent.job}")
        keeping = asyncio.create_task(hold.keep(), name=f"lease of {sent.job}")
        try:
            while not following.done() and not hold.over:
                await asyncio.wait({following}, timeout=lease / RENEWALS)
            return following.result() if following.done() else None
        finally:
            for task in (following, keeping):
                task.cancel()
            await asyncio.gather(following, keeping, return_exceptions=True)

    async def _follow(self, sent: Sent, hold: Hold) -> Outcome:
        """Wait for the end; note when the host was heard."""
        after = 0
        while True:
            try:
                async for record in self.links.to(sent.peer).events(sent.job, after):
                    after = record.seq
                    hold.heard()
                    if isinstance(record.event, Ended):
                        return record.event.outcome
            except PeerRefused as error:  # it does not know the job any more
                return Outcome(how=How.LOST, status=1, detail=str(error)[:2000])
            except HomieError as error:
                log.debug("job %s at %s: %s", sent.job, sent.peer_name, error)
            await asyncio.sleep(1.0)
