"""From a request to a job that its host has accepted and has all files of: hash, choose, offer, upload."""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from homie_core.daemon.links import Links
from homie_core.daemon.meter import Meter
from homie_core.daemon.renewing import Hold
from homie_core.daemon.tasks import Tasks
from homie_core.engine.asking import Asking
from homie_core.engine.placement import choose, refused
from homie_core.model.control import Candidate, Placed, Plan, PutRequest, RunRequest, Source
from homie_core.model.errors import BadMessage, LinkBroke, NoPeer, PeerRefused, PeerUnreachable, TransferError
from homie_core.model.event import Accepted, Queued
from homie_core.model.job import FileRef, JobSpec
from homie_core.model.names import Digest, FileName, JobId, PeerId
from homie_core.model.peer import Peer
from homie_core.model.session import Place
from homie_core.model.wire import encode
from homie_core.net.http import CHUNK
from homie_core.net.link import Link, read_chunks
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

TRIES = 5
"""How often an upload is begun before it is given up."""
PATIENCE = 60.0
"""Seconds in which a host that was asked something and fell silent may come back."""
PAUSE = 0.2
"""Seconds between two tries to reach it."""
WITHDRAWALS, PAUSE_BETWEEN = 60, 10.0
"""How often it is tried to end a job where it should not be, and seconds between two tries."""

T = TypeVar("T")


@dataclass
class Submitter:
    """Brings jobs to their hosts."""

    journal: Journal
    links: Links
    wall: Callable[[], float]
    tasks: Tasks

    async def submit(self, request: RunRequest, placing: "asyncio.Future[Placed]", meter: Meter) -> Sent:
        """Hash, choose, offer, upload. What the host lacks is sent to the one host that accepted only.

        So an offer whose answer was lost cannot start the job a second time elsewhere: without its files the
        first host gives it up. A session may have none: it is stopped there once that host is reached again, and
        until then nobody tells it anything.
        """
        if self.journal.sent(request.id):
            raise PeerRefused(f"job {request.id} was submitted before; see it with `homie attach {request.id}`")
        return await self.bring(request, placing, meter)

    async def bring(
        self,
        request: RunRequest,
        placing: "asyncio.Future[Placed]",
        meter: Meter,
        but: frozenset[PeerId] = frozenset(),
    ) -> Sent:
        """Bring a job to a host, though it may have been elsewhere before; not to one of these."""
        spec = await _spec(request)
        sent, placed, accepted = await self._find_host(request, spec, but)
        placing.set_result(placed)

        async def missing(link: Link) -> frozenset[Digest]:
            return frozenset((await link.offer(spec)).missing)

        files = list(zip(spec.files, request.files, strict=True))
        async with self._holding(sent, spec):
            await self._upload(sent, files, frozenset(accepted.missing), missing, meter)
        return sent

    @asynccontextmanager
    async def _holding(self, sent: Sent, spec: JobSpec) -> AsyncIterator[None]:
        """Meanwhile renew its lease, if it has one: an upload may take longer than that."""
        if spec.lease is None:
            yield
            return
        hold = Hold(self.links, sent.peer, sent.job, spec.lease)
        keeping = asyncio.create_task(hold.keep(), name=f"lease of {sent.job}")
        try:
            yield
        finally:
            keeping.cancel()

    async def _find_host(
        self, request: RunRequest, spec: JobSpec, but: frozenset[PeerId]
    ) -> tuple[Sent, Placed, Accepted]:
        """Offer the job until somebody takes it; raise PeerRefused if nobody does."""
        peers = [peer for peer in self.links.peers() if peer.id not in but]
        asking = Asking(choose(peers, request.ask, request.node, request.kind))
        reasons, unsure = [], False
        while ask := asking.next():
            peer = ask.peer
            title = request.title or spec.title
            sent = Sent(request.id, peer.id, peer.name, title, self.wall(), request.kind)
            self.journal.send(sent)
            try:
                answer = await self._offer(peer.id, spec, ask.most)
            except (PeerRefused, PeerUnreachable, NoPeer, BadMessage) as error:
                reasons.append(str(error))
                asking.drop(peer)
                if isinstance(error, LinkBroke):
                    unsure = True
                    self.tasks.start(self.withdraw(peer.id, spec.id), f"withdraw {spec.id}")
                continue
            if isinstance(answer, Queued):
                asking.waits(peer, answer)
                continue
            return sent, Placed(peer=peer.name, id=peer.id, why=ask.why, trusted=peer.trusted), answer
        if not unsure:
            self.journal.unsend(request.id)
        raise PeerRefused("; ".join(reasons) or "no peer took the job")

    async def _offer(self, peer: PeerId, spec: JobSpec, most: int | None) -> Accepted | Queued:
        return await self._ask(peer, lambda link: link.offer_for(spec, most))

    async def withdraw(self, peer: PeerId, job: JobId) -> None:
        """End a job at a host that may have taken it, but whose answer was lost."""
        for _ in range(WITHDRAWALS):
            with suppress(PeerUnreachable, NoPeer):
                try:
                    await self.links.to(peer).stop(job)
                except PeerRefused as error:
                    log.debug("job %s was not taken there: %s", job, error)
                return
            await asyncio.sleep(PAUSE_BETWEEN)

    async def plan(self, request: RunRequest) -> Plan:
        """Return what `submit` would do with this request."""
        peers, ask, node = self.links.peers(), request.ask, request.node
        takes = choose(peers, ask, node, request.kind)
        spec = await _spec(request)
        return Plan(
            takes=_candidates(takes),
            cannot=_candidates(refused(peers, ask, node)),
            offer=len(encode(spec)),
            files=spec.files,
        )

    async def put(self, sent: Sent, request: PutRequest, meter: Meter) -> None:
        """Bring files to a session."""
        refs = await asyncio.to_thread(_hash_all, request.files)
        place = Place(files=refs)

        async def missing(link: Link) -> frozenset[Digest]:
            return frozenset((await link.expect(sent.job, place)).digests)

        lacking = await self._ask(sent.peer, missing, known=True)
        await self._upload(sent, list(zip(refs, request.files, strict=True)), lacking, missing, meter)
        await self.links.to(sent.peer).place(sent.job, place)

    async def _upload(
        self,
        sent: Sent,
        files: list[tuple[FileRef, Source]],
        lacking: frozenset[Digest],
        ask: Callable[[Link], Awaitable[frozenset[Digest]]],
        meter: Meter,
    ) -> None:
        """Send what the host lacks; when the link breaks, ask again what that is."""
        by_digest = {ref.digest: (ref, source) for ref, source in files}
        meter.total = sum(by_digest[digest][0].size for digest in lacking)
        for left in reversed(range(TRIES)):
            meter.done = meter.total - sum(by_digest[digest][0].size for digest in lacking)
            try:
                for ref, source in (both for digest, both in by_digest.items() if digest in lacking):
                    content = _content(source, ref.size, meter.add)
                    await self.links.to(sent.peer).upload(sent.job, ref, content)
                return
            except PeerUnreachable as error:
                if not left:
                    raise
                log.info("an upload for job %s broke, trying again: %s", sent.job, error)
                lacking = await self._ask(sent.peer, ask, known=True)

    async def _ask(self, peer: PeerId, ask: Callable[[Link], Awaitable[T]], known: bool = False) -> T:
        """Ask a host. If it falls silent, ask again: whatever is asked here counts once, however often it comes.

        `known`: the host has the job, so there is nobody else to ask.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return await ask(self.links.to(peer))
            except (PeerUnreachable, NoPeer) as error:
                known = known or isinstance(error, LinkBroke)
                if not known:
                    raise
                if time.monotonic() > until:
                    raise LinkBroke(str(error)) from error
            await asyncio.sleep(PAUSE)


async def _spec(request: RunRequest) -> JobSpec:
    return JobSpec(
        id=request.id,
        kind=request.kind,
        entry=request.entry,
        files=await asyncio.to_thread(_hash_all, request.files),
        args=request.args,
        ask=request.ask,
        lease=request.lease if request.retry else None,
    )


def _candidates(peers: list[tuple[Peer, str]]) -> tuple[Candidate, ...]:
    return tuple(Candidate(peer=peer.name, id=peer.id, why=why, trusted=peer.trusted) for peer, why in peers)


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


async def _content(source: Source, size: int, progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    if source.content is None:
        async for chunk in read_chunks(Path(source.path or ""), size, progress):
            yield chunk
        return
    for at in range(0, len(source.content), CHUNK):
        progress(min(CHUNK, len(source.content) - at))
        yield source.content[at : at + CHUNK]
