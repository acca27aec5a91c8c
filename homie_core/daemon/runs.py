"""Jobs that I send: submitted, then their events are relayed and their files fetched.

The host owns the job; here is only the road to it. When the road breaks, the relay says so, keeps trying, and
goes on after the last event it passed on: nothing is missed and nothing comes twice.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.daemon.caring import LOST, Care
from homie_core.daemon.delivering import deliver, watched
from homie_core.daemon.links import Links
from homie_core.daemon.meter import Meter, watch
from homie_core.daemon.outbox import Outbox
from homie_core.daemon.submitting import Submitter
from homie_core.daemon.tasks import Tasks
from homie_core.model.control import (
    Delivered,
    FetchRequest,
    Follow,
    JobEvent,
    News,
    Placed,
    Plan,
    PutRequest,
    Reachable,
    RunRequest,
    Unreachable,
    Uploaded,
)
from homie_core.model.errors import (
    CannotWrite,
    HomieError,
    NoPeer,
    NoRoom,
    PeerRefused,
    PeerUnreachable,
    TransferError,
    UnsafeName,
)
from homie_core.model.event import Collected, Ended
from homie_core.model.names import JobId
from homie_core.model.session import ParcelName
from homie_core.net.control import Tell
from homie_core.net.link import Link
from homie_core.store.incoming import Delivery, check_room
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

MAX_PAUSE = 2.0
"""Seconds between two attempts to reach a host again, at most."""


@dataclass
class Runs:
    """The jobs that this node's user sends."""

    journal: Journal
    links: Links
    wall: Callable[[], float] = time.time
    care: Care = field(init=False)
    _followed: int = 0
    """How many of them somebody follows."""
    _submitting: dict[JobId, "asyncio.Task[Sent]"] = field(default_factory=dict)
    _tasks: Tasks = field(default_factory=Tasks)

    @property
    def _submitter(self) -> Submitter:
        return Submitter(self.journal, self.links, self.wall, self._tasks)

    def __post_init__(self) -> None:
        self.care = Care(self.journal, self.links, self._submitter)

    async def run(self, request: RunRequest, outbox: Outbox | None = None) -> AsyncGenerator[News]:
        """Submit a job and yield its news to the end. Whoever stops reading only detaches.

        A session hears what comes into the outbox.
        """
        meter = Meter(up=True)
        placing: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        submitting = self._tasks.start(self.care.submit(request, placing, meter), f"submit {request.id}")
        self._submitting[request.id] = submitting
        submitting.add_done_callback(lambda _: self._submitting.pop(request.id))
        await asyncio.wait({submitting, placing}, return_when=asyncio.FIRST_COMPLETED)
        if placing.done():
            yield placing.result()
        async for progress in watch(submitting, meter):
            yield progress
        sent = submitting.result()
        async for news in self._relay(sent, 0, request.results, outbox):
            yield news

    @property
    def busy(self) -> bool:
        """Whether a job is being sent, or followed by somebody."""
        return bool(self._submitting or self._followed)

    def submits(self, job: JobId) -> bool:
        """Return whether a job is on its way to a host."""
        return job in self._submitting

    async def plan(self, request: RunRequest) -> Plan:
        """Return what would become of a job; nothing leaves this machine."""
        return await self._submitter.plan(request)

    async def follow(
        self, job: JobId, after: int, results: str | None, outbox: Outbox | None = None
    ) -> AsyncGenerator[News]:
        """Yield the news of a job sent earlier, from event `after` + 1 on."""
        submitting = self._submitting.get(job)  # whoever submitted it may have left before a host took it
        sent = await asyncio.shield(submitting) if submitting else self.sent(job)
        trusted = any(peer.id == sent.peer and peer.trusted for peer in self.links.peers())
        yield Placed(peer=sent.peer_name, id=sent.peer, why="it runs there already", trusted=trusted)
        async for news in self._relay(sent, after, results, outbox):
            yield news

    def channel(self, opening: RunRequest | Follow) -> tuple[AsyncGenerator[News], Tell]:
        """Return the news of a session, new or not, and how it is told things."""
        outbox = Outbox()
        if isinstance(opening, RunRequest):
            return self.run(opening, outbox), outbox.say
        return self.follow(opening.job, opening.after, opening.results, outbox), outbox.say

    async def put(self, job: JobId, request: PutRequest) -> AsyncGenerator[News]:
        """Send files to a session of mine; yield the progress."""
        sent = self.sent(job)
        meter = Meter(up=True)
        putting = self._tasks.start(self._submitter.put(sent, request, meter), "put")
        async for progress in watch(putting, meter):
            yield progress
        putting.result()
        yield Uploaded(files=len(request.files))

    async def send_parcel(self, job: JobId, name: ParcelName, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Send values to a session of mine that runs."""
        await self.links.to(self.sent(job).peer).send_parcel(job, name, size, chunks)

    def parcel(
        self, job: JobId, name: ParcelName
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """Fetch values from a session of mine that runs: how many bytes, and these."""
        return self.links.to(self.sent(job).peer).parcel(job, name)

    async def fetch(self, job: JobId, request: FetchRequest) -> AsyncGenerator[News]:
        """Bring files of a session of mine here; yield the progress. What cannot come is said in the notes."""
        link, delivery = self.links.to(self.sent(job).peer), Delivery(Path(request.folder), job)
        meter = Meter(up=False, total=sum(file.size for file in request.files))
        check_room(delivery.folder, meter.total)

        async def fetch() -> None:
            for file in request.files:
                try:
                    with delivery.receive(file) as incoming:
                        async with link.parcel(job, file.parcel) as (_, chunks):
                            async for chunk in chunks:
                                incoming.write(chunk)
                                meter.add(len(chunk))
                except (TransferError, UnsafeName) as error:
                    delivery.notes.append(f"{file.name}: {error}")

        async for progress in watched(fetch(), meter, f"fetch from {job}"):
            yield progress
        yield Delivered(folder=str(delivery.folder), files=tuple(delivery.files), notes=tuple(delivery.notes))

    async def stop(self, job: JobId) -> None:
        """Ask the job's host to stop it; it is not started again elsewhere, whatever comes of that."""
        sent = self.sent(job)
        self.care.forgo(job)
        await self.links.to(sent.peer).stop(job)
        with suppress(CannotWrite):  # it is listed once more
            self.journal.see(job, sent.folder or "")  # whoever ends it knows its end

    async def close(self) -> None:
        await self.care.close()
        await self._tasks.cancel()
        await self.links.close()

    async def _relay(
        self, sent: Sent, after: int, results: str | None, outbox: Outbox | None
    ) -> AsyncIterator[News]:
        """Pass on the events after number `after` until the job ends, over as many connections as it takes."""
        # what is to be fetched is said in an event that may lie before
        heard = 0 if results and after >= 0 else after
        pause = 0.5
        away = full = False
        collected = Collected(files=())
        delivery = Delivery(Path(results), sent.job) if results else None
        self._followed += 1
        try:
            while True:
                if placed := self.care.moved(sent):
                    sent, heard, after = self.sent(sent.job), 0, 0
                    yield placed
                try:
                    link = self.links.to(sent.peer)
                    if away and not full:
                        await link.report([sent.job])
                        away = False
                        yield Reachable(peer=sent.peer_name)
                    async for record in link.events(sent.job, heard, outbox):
                        pause = 0.5
                        if away:
                            away = full = False
                            yield Reachable(peer=sent.peer_name)
                        if isinstance(record.event, Collected):
                            collected = record.event
                        if isinstance(record.event, Ended):
                            if record.event.outcome.how in LOST and await self.care.settled(sent.job):
                                break
                            self.care.forgo(sent.job)
                            if delivery:
                                async for news in deliver(link, sent.job, collected, delivery):
                                    if not isinstance(news, Delivered) or news.files or news.notes:
                                        yield news
                            with suppress(CannotWrite):  # its host can be asked
                                self.journal.settle(sent.job, record.event.outcome)
                            yield JobEvent(record=record)
                            if delivery:  # whoever goes on reading here has heard it all
                                self._fetched(sent.job, link, delivery)
                            return
                        heard = record.seq
                        if heard > after:
                            yield JobEvent(record=record)
                    if self.care.moved(sent):
                        continue
                    why = f"{sent.peer_name} ended the connection"
                except PeerRefused:  # it does not know the job any more
                    if await self.care.settled(sent.job):
                        continue
                    raise
                except (PeerUnreachable, NoPeer) as error:
                    why, full = str(error), isinstance(error, NoRoom)
                if not away:
                    yield Unreachable(peer=sent.peer_name, why=why)
                away = True
                await asyncio.sleep(pause)
                pause = min(MAX_PAUSE, 2 * pause)
        finally:
            self._followed -= 1

    def _fetched(self, job: JobId, link: Link, delivery: Delivery) -> None:
        """Note that somebody has seen its end, and has its files; its host need not keep them."""
        with suppress(CannotWrite):  # it is listed once more
            self.journal.see(job, str(delivery.folder) if delivery.files else "")
        self._tasks.start(_forget(link, job), f"forget {job}")

    def sent(self, job: JobId) -> Sent:
        """Return where a job of mine went; raise HomieError if it was not sent from here."""
        sent = self.care.at(job) or self.journal.sent(job)
        if sent is None:
            if self.journal.damage:
                raise HomieError(f"where job {job} went is not known here: {self.journal.damage}")
            raise HomieError(f"job {job} was not sent from here")
        return sent


async def _forget(link: Link, job: JobId) -> None:
    try:
        await link.forget(job)
    except HomieError as error:  # the host drops it by itself after a week
        log.info("job %s stays at its host for now: %s", job, error)
