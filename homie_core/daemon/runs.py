"""Jobs that I send: hashed, placed, offered, uploaded; then their events are relayed and their files fetched.

The host owns the job; here is only the road to it. When the road breaks, the relay says so, keeps trying, and
goes on after the last event it passed on: nothing is missed and nothing comes twice.
"""

import asyncio
import hashlib
import logging
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from homie_core.daemon.tasks import Tasks
from homie_core.engine.lifecycle import state_after
from homie_core.engine.placement import choose, find
from homie_core.model.control import (
    Delivered,
    JobEvent,
    JobView,
    News,
    Placed,
    RunRequest,
    Source,
    Transfer,
    Unreachable,
)
from homie_core.model.errors import HomieError, NoPeer, PeerRefused, PeerUnreachable, TransferError
from homie_core.model.event import Collected, Ended
from homie_core.model.job import FileRef, JobSpec, State
from homie_core.model.names import Digest, FileName, JobId, PeerId
from homie_core.model.peer import Peer
from homie_core.net.http import CHUNK
from homie_core.net.link import Link, read_chunks
from homie_core.store.incoming import Delivery
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

PROGRESS = 0.1
"""Seconds between two reports of a transfer."""
MAX_PAUSE = 10.0
"""Seconds between two attempts to reach a host again, at most."""
UPLOAD_TRIES = 3

T = TypeVar("T")


@dataclass
class _Meter:
    """Bytes of a transfer; shown when it takes long enough to be worth it."""

    up: bool
    done: int = 0
    total: int = 0

    def add(self, size: int) -> None:
        self.done += size

    def show(self) -> Transfer:
        return Transfer(up=self.up, done=min(self.done, self.total), total=self.total)


@dataclass
class Runs:
    """The jobs that this node's user sends. `peers` tells who is there now."""

    journal: Journal
    peers: Callable[[], list[Peer]]
    context: ssl.SSLContext
    wall: Callable[[], float] = time.time
    _links: dict[PeerId, Link] = field(default_factory=dict)
    _states: dict[JobId, State] = field(default_factory=dict)
    """Of the jobs whose end has not been heard."""
    _tasks: Tasks = field(default_factory=Tasks)

    async def run(self, request: RunRequest) -> AsyncGenerator[News]:
        """Submit a job and yield its news to the end. Whoever stops reading only detaches."""
        meter = _Meter(up=True)
        placing: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        submitting = self._tasks.start(self._submit(request, placing, meter), f"submit {request.id}")
        await asyncio.wait({submitting, placing}, return_when=asyncio.FIRST_COMPLETED)
        if placing.done():
            yield placing.result()
        async for progress in _watch(submitting, meter):
            yield progress
        sent = submitting.result()
        async for news in self._relay(sent, 0, request.results):
            yield news

    async def follow(self, job: JobId, after: int, results: str | None) -> AsyncGenerator[News]:
        """Yield the news of a job sent earlier, from event `after` + 1 on."""
        sent = self._sent(job)
        yield Placed(peer=sent.peer_name, id=sent.peer, why="it runs there already")
        async for news in self._relay(sent, after, results):
            yield news

    async def stop(self, job: JobId) -> None:
        """Ask the job's host to stop it."""
        sent = self._sent(job)
        await self._link(sent).stop(job)

    def views(self) -> list[JobView]:
        """Return the jobs that were sent in this life of the daemon and whose end has not been heard."""
        now = self.wall()
        found = [(sent, state) for job, state in self._states.items() if (sent := self.journal.sent(job))]
        return [
            JobView(
                id=sent.job,
                mine=True,
                peer=sent.peer_name,
                title=sent.title,
                state=state,
                age=max(0.0, now - sent.at),
            )
            for sent, state in found
        ]

    async def close(self) -> None:
        await self._tasks.cancel()
        for link in self._links.values():
            await link.close()

    async def _submit(self, request: RunRequest, placing: "asyncio.Future[Placed]", meter: _Meter) -> Sent:
        """Hash, choose, offer, upload. What the host lacks is sent to the one host that accepted only.

        So an offer whose answer was lost cannot start the job a second time elsewhere: without its files the
        first host gives it up.
        """
        refs = await asyncio.to_thread(_hash_all, request.files)
        spec = JobSpec(
            id=request.id,
            kind=request.kind,
            entry=request.entry,
            files=refs,
            args=request.args,
            ask=request.ask,
        )
        reasons = []
        for peer, why in choose(self.peers(), request.ask, request.node):
            sent = Sent(request.id, peer.id, peer.name, request.entry, self.wall())
            self.journal.send(sent)
            try:
                link = self._link(sent)
                accepted = await link.offer(spec)
            except (PeerRefused, PeerUnreachable) as error:
                reasons.append(str(error))
                continue
            cards = tuple(gpu.name for gpu in peer.capacity.gpus) if request.ask.gpus else ()
            placing.set_result(Placed(peer=peer.name, id=peer.id, why=why, gpus=cards))
            self._states[request.id] = State.RECEIVING
            await self._upload(link, spec, request.files, frozenset(accepted.missing), meter)
            return sent
        raise PeerRefused("; ".join(reasons) or "no peer took the job")

    async def _upload(
        self,
        link: Link,
        spec: JobSpec,
        sources: tuple[Source, ...],
        missing: frozenset[Digest],
        meter: _Meter,
    ) -> None:
        lacking = {ref.digest: (ref, source) for ref, source in zip(spec.files, sources, strict=True)}
        lacking = {digest: both for digest, both in lacking.items() if digest in missing}
        meter.total = sum(ref.size for ref, _ in lacking.values())
        for ref, source in lacking.values():
            for attempt in range(1, UPLOAD_TRIES + 1):
                before = meter.done
                try:
                    await link.upload(spec.id, ref, _content(source, meter.add))
                    break
                except PeerUnreachable as error:
                    meter.done = before
                    if attempt == UPLOAD_TRIES:
                        raise
                    log.info("upload of %s broke, trying again: %s", ref.name, error)

    async def _relay(self, sent: Sent, after: int, results: str | None) -> AsyncIterator[News]:
        """Pass on the events after number `after` until the job ends, over as many connections as it takes."""
        heard = 0 if results else after  # what is to be fetched is said in an event that may lie before
        pause = 0.5
        collected = Collected(files=())
        delivery = Delivery(Path(results), sent.job) if results else None
        try:
            while True:
                try:
                    link = self._link(sent)
                    async for record in link.events(sent.job, heard):
                        pause = 0.5
                        self._states[sent.job] = state_after(record.event)
                        if isinstance(record.event, Collected):
                            collected = record.event
                        if isinstance(record.event, Ended):
                            if delivery:
                                async for news in self._deliver(link, sent.job, collected, delivery):
                                    yield news
                            self._states.pop(sent.job, None)
                            yield JobEvent(record=record)
                            return
                        heard = record.seq
                        if heard > after:
                            yield JobEvent(record=record)
                    why = f"{sent.peer_name} ended the connection"
                except (PeerUnreachable, NoPeer) as error:
                    why = str(error)
                yield Unreachable(peer=sent.peer_name, why=why)
                await asyncio.sleep(pause)
                pause = min(MAX_PAUSE, 2 * pause)
        except (asyncio.CancelledError, GeneratorExit):
            self._tasks.start(self._see_it_end(sent, heard), f"see {sent.job} end")
            raise

    async def _see_it_end(self, sent: Sent, heard: int) -> None:
        """Keep the state of a job true that no front end follows any more."""
        while sent.job in self._states:
            try:
                async for record in self._link(sent).events(sent.job, heard):
                    heard = record.seq
                    self._states[sent.job] = state_after(record.event)
                    if isinstance(record.event, Ended):
                        self._states.pop(sent.job, None)
            except (PeerUnreachable, NoPeer) as error:
                log.debug("job %s at %s: %s", sent.job, sent.peer_name, error)
                await asyncio.sleep(MAX_PAUSE)
            except HomieError:
                self._states.pop(sent.job, None)

    async def _deliver(
        self, link: Link, job: JobId, collected: Collected, delivery: Delivery
    ) -> AsyncIterator[News]:
        """Bring the job's files here, then let its host forget it. What had come already is not fetched again."""
        files = [file for file in collected.files if file.name not in delivery.taken]
        meter = _Meter(up=False, total=sum(file.size for file in files))

        async def download() -> None:
            for file in files:
                with delivery.receive(file) as incoming:
                    await link.download(job, file, incoming, meter.add)

        task = asyncio.create_task(download(), name=f"fetch {job}")
        try:
            async for progress in _watch(task, meter):
                yield progress
            task.result()
        finally:
            task.cancel()
        if delivery.files or collected.skipped:
            notes = (*delivery.notes, *collected.skipped)
            yield Delivered(folder=str(delivery.folder), files=tuple(delivery.files), notes=notes)
        self._tasks.start(_forget(link, job), f"forget {job}")

    def _sent(self, job: JobId) -> Sent:
        sent = self.journal.sent(job)
        if sent is None:
            raise HomieError(f"job {job} was not sent from here")
        return sent

    def _link(self, sent: Sent) -> Link:
        """Return the standing link to the job's host, where it is now."""
        peer = find(self.peers(), sent.peer)
        link = self._links.get(sent.peer)
        if link is None or link.place != (peer.address, peer.port):
            if link is not None:
                self._tasks.start(link.close(), f"close link to {sent.peer_name}")
            link = self._links[sent.peer] = Link(peer.address, peer.port, sent.peer, self.context)
        return link


async def _watch(task: "asyncio.Task[T]", meter: _Meter) -> AsyncIterator[News]:
    """Yield the progress of a transfer while it goes on; short ones pass in silence."""
    shown = -1
    while not task.done():
        await asyncio.wait({task}, timeout=PROGRESS)
        if meter.done != shown and meter.total and (shown >= 0 or not task.done()):
            shown = meter.done
            yield meter.show()


async def _forget(link: Link, job: JobId) -> None:
    try:
        await link.forget(job)
    except HomieError as error:  # the host drops it by itself after a week
        log.info("job %s stays at its host for now: %s", job, error)


def _hash_all(sources: tuple[Source, ...]) -> tuple[FileRef, ...]:
    return tuple(_hash(source) for source in sources)


def _hash(source: Source) -> FileRef:
    name = FileName(source.name)
    if source.content is not None:
        digest = hashlib.sha256(source.content).hexdigest()
        return FileRef(name=name, digest=Digest(digest), size=len(source.content))
    path = Path(source.path or "")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError as error:
        raise TransferError(f"{path} cannot be read ({error.strerror})") from error
    executable = bool(status.st_mode & 0o100)
    return FileRef(name=name, digest=Digest(digest), size=status.st_size, executable=executable)


async def _content(source: Source, progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    if source.content is None:
        async for chunk in read_chunks(Path(source.path or ""), progress):
            yield chunk
        return
    for at in range(0, len(source.content), CHUNK):
        progress(min(CHUNK, len(source.content) - at))
        yield source.content[at : at + CHUNK]
