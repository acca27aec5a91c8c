"""Jobs of mine that may be started again on another peer: their leases are renewed, and who is lost is replaced.

A job is started again only when its host has said that it runs no more, or when, by its lease, it can run no more
(`engine.lease`). Whoever follows the job meanwhile asks `settled` when it seems to have ended.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from homie_core.daemon.links import Links
from homie_core.daemon.meter import Meter
from homie_core.daemon.submitting import Submitter
from homie_core.daemon.tasks import Tasks
from homie_core.engine.lease import Tenure
from homie_core.model.control import Placed, RunRequest
from homie_core.model.errors import HomieError, NoPeer, PeerRefused, PeerUnreachable
from homie_core.model.event import Ended
from homie_core.model.job import How, Outcome, Ticket
from homie_core.model.names import JobId, PeerId
from homie_core.runner.clock import boottime
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

LOST = frozenset({How.LOST, How.EVICTED, How.KILLED, How.FAILED, How.LAPSED})
"""Ends that are none of the job's own doing."""
RENEWALS = 6
"""Renewals in the time of one lease."""
SILENCE = 0.5
"""Part of a lease without an answer, after which none is renewed any more until the host is heard again."""


@dataclass
class Care:
    """All jobs of mine that may be started again."""

    journal: Journal
    links: Links
    submitter: Submitter
    clock: Callable[[], float] = boottime
    _tasks: Tasks = field(default_factory=Tasks)
    _placed: dict[JobId, Placed] = field(default_factory=dict)
    """Where jobs were started again."""
    _forgone: set[JobId] = field(default_factory=set)
    _moves: dict[JobId, "asyncio.Future[Placed | None]"] = field(default_factory=dict)
    """What comes of each job when its present host is done with it: where it is now, or None: that was the end."""

    def recover(self) -> None:
        """Go on with those that an earlier life of the daemon cared for."""
        for request, again in self.journal.cared():
            self.take(request, again)

    def take(self, request: RunRequest, again: int) -> None:
        """Care for a job that has just been brought to its host."""
        self.journal.care(request, again)
        self._moves[request.id] = asyncio.get_running_loop().create_future()
        self._tasks.start(self._care(request, again), f"care for {request.id}")

    def forgo(self, job: JobId) -> None:
        """Start this job nowhere any more."""
        if job in self._moves:
            self._forgone.add(job)

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
        been: set[PeerId] = set()
        while sent := self.journal.sent(request.id):
            outcome = await self._until_over(sent, request.lease)
            if again == 0 or sent.job in self._forgone or (outcome and outcome.how not in LOST):
                break
            been.add(sent.peer)
            again -= 1
            why = outcome.how.value if outcome else "silent"
            log.info("job %s is lost on %s: %s", sent.job, sent.peer_name, why)
            placed = await self._bring(request, frozenset(been))
            if placed is None:
                break
            why = f"{sent.peer_name} is lost; it starts again, from its beginning"
            move, self._moves[sent.job] = self._moves[sent.job], asyncio.get_running_loop().create_future()
            self.journal.care(request, again)
            self._placed[sent.job] = Placed(peer=placed.peer, id=placed.id, why=why, trusted=placed.trusted)
            move.set_result(self._placed[sent.job])
        self.journal.care_no_more(request.id)
        self._forgone.discard(request.id)
        self._moves.pop(request.id).set_result(None)

    async def _bring(self, request: RunRequest, but: frozenset[PeerId]) -> Placed | None:
        placing: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        before = self.journal.sent(request.id)
        try:
            await self.submitter.bring(request, placing, Meter(up=True), but)
            return placing.result()
        except HomieError as error:
            log.info("job %s finds no other host: %s", request.id, error)
            if before:
                self.journal.send(before)
            return None

    async def _until_over(self, sent: Sent, lease: float) -> Outcome | None:
        """Return how a job ended on its host; None if that is silent, and the job can run there no more."""
        tenure, heard = Tenure(lease, 0.0), [self.clock()]
        tenure.sent(self.clock())  # perhaps an earlier life of this daemon has just renewed it
        following = asyncio.create_task(self._follow(sent, heard), name=f"end of {sent.job}")
        renewing = asyncio.create_task(self._renew(sent, tenure, heard), name=f"lease of {sent.job}")
        try:
            while not following.done() and self.clock() < tenure.until:
                await asyncio.wait({following}, timeout=lease / RENEWALS)
            return following.result() if following.done() else None
        finally:
            for task in (following, renewing):
                task.cancel()
            await asyncio.gather(following, renewing, return_exceptions=True)

    async def _follow(self, sent: Sent, heard: list[float]) -> Outcome:
        """Wait for the end; note when the host was heard."""
        after = 0
        while True:
            try:
                async for record in self.links.to(sent.peer).events(sent.job, after):
                    after, heard[0] = record.seq, self.clock()
                    if isinstance(record.event, Ended):
                        return record.event.outcome
            except (PeerUnreachable, NoPeer) as error:
                log.debug("job %s at %s: %s", sent.job, sent.peer_name, error)
            except PeerRefused as error:  # it does not know the job any more
                return Outcome(how=How.LOST, status=1, detail=str(error)[:2000])
            await asyncio.sleep(1.0)

    async def _renew(self, sent: Sent, tenure: Tenure, heard: list[float]) -> None:
        ticket = Ticket()
        while True:
            if self.clock() - heard[0] < SILENCE * tenure.length:
                tenure.sent(self.clock())
                with contextlib.suppress(HomieError):
                    ticket = await self.links.to(sent.peer).renew(sent.job, ticket)
                    heard[0] = self.clock()
            await asyncio.sleep(tenure.length / RENEWALS)
