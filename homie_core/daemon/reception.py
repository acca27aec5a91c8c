"""What other nodes ask of the jobs here: see net.server.Host. A caller has to do with its own jobs only."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from homie_core.daemon.hosted import Hosted
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.keeping import KEEP
from homie_core.daemon.running import Running
from homie_core.engine.admission import Refusal
from homie_core.model.errors import CannotWrite, PeerRefused
from homie_core.model.event import Accepted, Queued
from homie_core.model.job import How, JobSpec, State, Ticket
from homie_core.model.names import Digest, JobId, PeerId
from homie_core.model.quantity import show_size
from homie_core.model.report import Gone, Report, ReportRequest, Reports
from homie_core.model.session import Input, Missing, ParcelName, Place, Taken
from homie_core.net.server import Sink
from homie_core.runner.clock import boottime
from homie_core.store import parcels
from homie_core.store.incoming import Inbox, Incoming
from homie_core.store.room import room
from homie_core.store.spool import Spool

LESS = "; send less, or ask its owner to lend more (container_disk_limit)"


class Reception:
    """Where other nodes ask."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    def offer(self, caller: PeerId, spec: JobSpec, most: int | None = None) -> Accepted | Queued:
        """Take a job, or say why not. The same job again gets the same answer, and starts nothing.

        One that would wait at a place beyond `most` is not taken, and hears where it would.
        """
        hosting = self._hosting
        hosted = hosting.known(spec.id)
        if hosted is not None:
            if hosted.job.submitter != caller or hosted.job.spec != spec:
                raise PeerRefused(f"job {spec.id} exists already; submit with a new id")
            missing = hosted.inbox.missing if hosted.inbox else ()
            return Accepted(limits=hosted.accepted.limits, missing=missing)
        if why := hosting.journal.dropped(spec.id, caller):
            raise PeerRefused(why)
        if hosting.was_here(spec.id):
            raise PeerRefused(f"job {spec.id} was here, has ended, and was fetched; submit with a new id")
        admission = hosting.admission
        limits = admission.offer(spec.id, caller, spec.ask, time.monotonic(), most)
        if isinstance(limits, Queued):
            return limits
        if isinstance(limits, Refusal):
            raise PeerRefused(limits.reason)
        size = sum(file.size for file in spec.files)
        if size > limits.disk:
            admission.release(spec.id)
            lent = show_size(limits.disk)
            raise PeerRefused(
                f"{admission.name} lends a job at most {lent} of disk; its files are {show_size(size)}"
            )
        try:
            return hosting.take(caller, spec, limits).accepted
        except CannotWrite as error:
            advice = "try another peer, or ask its owner for room"
            raise PeerRefused(f"{admission.name} takes no jobs now: its disk is full; {advice}") from error

    @contextmanager
    def receive(self, caller: PeerId, job: JobId, digest: Digest) -> Iterator[Sink]:
        """Take one input; the last one makes the job ready."""
        hosted = self._find(caller, job)
        if hosted.inbox is None:
            raise PeerRefused(f"job {job} expects no files now; it is {hosted.job.state.value}")
        with self._room(hosted), hosted.inbox.receive(digest) as incoming:
            yield _Metered(incoming, lambda: self._hosting.admission.progress(job, time.monotonic()))
        self._hosting.look_at_files(hosted)

    def expect(self, caller: PeerId, job: JobId, place: Place) -> Missing:
        """Say which of these files have to come before a session can be told to place them."""
        hosted = self._find(caller, job)
        if hosted.session is None or hosted.job.state is not State.RUNNING:
            raise PeerRefused(f"job {job} takes no files now; it is {hosted.job.state.value}")
        size, most = sum(file.size for file in place.files), hosted.accepted.limits.disk
        if size > most:
            name = self._hosting.admission.name
            raise PeerRefused(
                f"{name} lends a job {show_size(most)} of disk; these files are {show_size(size)}{LESS}"
            )
        with self._room(hosted):
            hosted.inbox = Inbox(hosted.folder / "received", place.files)
        return Missing(digests=hosted.inbox.missing)

    async def place(self, caller: PeerId, job: JobId, place: Place) -> None:
        """Let a session have these files, which have been received."""
        if (missing := self.expect(caller, job, place)).digests:
            raise PeerRefused(f"{len(missing.digests)} files are to be placed that have not come")
        hosted = self._find(caller, job)
        assert hosted.session is not None
        with self._room(hosted):
            await hosted.session.place(place)

    @contextmanager
    def take_parcel(self, caller: PeerId, job: JobId, name: ParcelName, size: int) -> Iterator[Sink]:
        """Take a parcel of so many bytes into a session that runs."""
        running, work, most = self._at_work(caller, job)
        if size > most:
            host = self._hosting.admission.name
            raise PeerRefused(
                f"{host} lends a job {show_size(most)} of disk; these values are {show_size(size)}{LESS}"
            )
        with parcels.incoming(work, name, size, *running.owner) as incoming:
            yield incoming

    @contextmanager
    def give_parcel(self, caller: PeerId, job: JobId, name: ParcelName) -> Iterator[tuple[int, int]]:
        """Open a parcel that a session that runs has made: its descriptor and size."""
        _, work, most = self._at_work(caller, job)
        with parcels.outgoing(work, name, most) as opened:
            yield opened

    def _at_work(self, caller: PeerId, job: JobId) -> tuple[Running, Path, int]:
        """Return what runs a session, its folder, and the bytes of disk that it is lent."""
        hosted = self._find(caller, job)
        running = hosted.running
        if hosted.session is None or hosted.job.state is not State.RUNNING or not running or not running.work:
            raise PeerRefused(f"job {job} is no session that runs; it is {hosted.job.state.value}")
        return running, running.work, hosted.accepted.limits.disk

    async def tell(self, caller: PeerId, job: JobId, said: Input) -> Taken:
        """Take what the submitter says to a session."""
        hosted = self._find(caller, job)
        if hosted.session is None:
            raise PeerRefused(f"job {job} is no session")
        await hosted.session.tell(said)
        return Taken(origin=said.origin, number=said.number)

    async def renew(self, caller: PeerId, job: JobId, ticket: Ticket) -> Ticket:
        """Renew a job's lease by a ticket that was handed out; hand out the next one."""
        hosted = self._find(caller, job)
        if hosted.lease is None:
            raise PeerRefused(f"job {job} has no lease")
        fresh = Ticket(ticket=secrets.token_hex(8))
        hosted.lease.renew(ticket.ticket)
        hosted.lease.hand_out(fresh.ticket, boottime())
        if hosted.running:
            await hosted.running.renew()
        return fresh

    def events(self, caller: PeerId, job: JobId, after: int) -> AsyncIterator[bytes]:
        """Return the job's records after number `after`, as frames that come until it has ended.

        A negative number means those of a session's newest cell.
        """
        hosted = self._find(caller, job)
        if after < 0:
            after = hosted.progress.newest_cell
        return _read(hosted, (hosted.spool or Spool(hosted.folder / "events")).follow(after))

    def report(self, caller: PeerId, request: ReportRequest) -> Reports:
        """Say how these jobs of the caller's stand."""
        return Reports(jobs=tuple(self._report(caller, job) for job in request.jobs))

    def _report(self, caller: PeerId, job: JobId) -> Report | Gone:
        try:
            return self._find(caller, job).report()
        except PeerRefused as error:
            return Gone(job=job, why=str(error)[:1000])

    @contextmanager
    def result(self, caller: PeerId, job: JobId, digest: Digest) -> Iterator[Path]:
        """Say where a file is that the job made, and stays as long as it is read."""
        hosted = self._find(caller, job)
        collected = hosted.progress.collected
        files = collected.files if collected else ()
        if not any(file.digest == digest for file in files):
            raise PeerRefused(f"job {job} made no file with the digest {digest[:12]}")
        with hosted.reading():
            yield hosted.folder / "results" / digest

    def stop(self, caller: PeerId, job: JobId) -> None:
        """End a job before its time."""
        hosted = self._find(caller, job)
        with self._room(hosted):
            self._hosting.stop(hosted, How.STOPPED)

    def forget(self, caller: PeerId, job: JobId) -> None:
        """Drop an ended job whose submitter has everything."""
        hosted = self._find(caller, job)
        if hosted.job.state is not State.ENDED:
            raise PeerRefused(f"job {job} is {hosted.job.state.value}; stop it first")
        with self._room(hosted):
            self._hosting.drop(hosted)

    @contextmanager
    def _room(self, hosted: Hosted) -> Iterator[None]:
        """Tell its submitter when there is no room to write something down."""
        try:
            with room(hosted.folder):
                yield
        except CannotWrite as error:
            name = self._hosting.admission.name
            raise PeerRefused(f"{name}'s disk is full; try again when its owner has made room") from error

    def _find(self, caller: PeerId, job: JobId) -> Hosted:
        """Return the caller's job; another's looks like none."""
        hosted = self._hosting.known(job)
        if hosted is None or hosted.job.submitter != caller:
            why = self._hosting.journal.dropped(job, caller)
            gone = f"what was fetched, or is older than {KEEP / 86400:.0f} days, is gone"
            raise PeerRefused(why or f"there is no job {job} here; {gone}")
        return hosted


async def _read(hosted: Hosted, records: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """Yield its records; meanwhile it is being fetched."""
    with hosted.reading():
        async with aclosing(records):
            async for data in records:
                yield data


class _Metered:
    """An upload's sink that notes that bytes are still coming."""

    def __init__(self, incoming: Incoming, moved: Callable[[], None]) -> None:
        self._incoming, self._moved = incoming, moved

    def write(self, data: bytes) -> None:
        self._incoming.write(data)
        self._moved()
