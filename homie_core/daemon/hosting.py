"""Jobs that others run here: taken by `Admission`, written into the journal, run in a sandbox, kept until fetched.

Every fact about a job is an event in its spool; this module is the only writer. Who reads it, and when, changes
nothing here: a lost connection never ends a job.
"""

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.daemon.hosted import Hosted, remembered
from homie_core.daemon.pool import Pool, Workshop, sweep_boxes
from homie_core.daemon.running import Running
from homie_core.daemon.session import Session
from homie_core.daemon.tasks import Tasks
from homie_core.engine.admission import Admission, Refusal
from homie_core.engine.lease import Lease
from homie_core.engine.lifecycle import accept
from homie_core.engine.room import Claim
from homie_core.model.errors import CannotWrite, PeerRefused, PeerUnreachable, SandboxError
from homie_core.model.event import Accepted, Busy, Ended, Event, Queued, Record, Restarted, Started
from homie_core.model.job import Ask, How, JobSpec, Kind, Limits, Outcome, State, Ticket
from homie_core.model.names import Digest, JobId, PeerId
from homie_core.model.quantity import show_size
from homie_core.model.session import Input, Missing, ParcelName, Place, Taken
from homie_core.net.server import Sink
from homie_core.runner.clock import boottime
from homie_core.store import parcels, workspace
from homie_core.store.incoming import Inbox, Incoming
from homie_core.store.inputs import Inputs
from homie_core.store.journal import Begun, Journal
from homie_core.store.room import room
from homie_core.store.spool import Spool

log = logging.getLogger(__name__)

KEEP = 7 * 86400.0
"""Seconds for which the events and files of an ended job are kept, unless its submitter has fetched them."""
LATE = 3600.0
"""Seconds for which an offer may be on its way, held up: after them a job that was dropped could be taken anew."""
AGAIN = 10.0
"""Seconds until an engine that does not remove a sandbox is asked again."""
FULL = 5.0
"""Seconds between two looks whether a full disk has room again."""
LESS = "; send less, or ask its owner to lend more (container_disk_limit)"


@dataclass
class Hosting:
    """The jobs of one host. `workshop` is None until a sandbox is ready."""

    me: PeerId
    folder: Path
    admission: Admission
    journal: Journal
    wall: Callable[[], float] = time.time
    workshop: Workshop | None = None
    pool_size: int = 1
    """So many sandboxes wait for jobs."""
    _pool: Pool | None = None
    _jobs: dict[JobId, Hosted] = field(default_factory=dict)
    _dropped: dict[JobId, float] = field(default_factory=dict)
    """Jobs that are not known any more, and since when, in seconds of the monotonic clock."""
    _sweeping: "asyncio.Task[None] | None" = None
    _tasks: Tasks = field(default_factory=Tasks)

    # What peers ask: see net.server.Host.

    def offer(self, caller: PeerId, spec: JobSpec, most: int | None = None) -> Accepted | Queued:
        """Take a job, or say why not. The same job again gets the same answer, and starts nothing.

        One that would wait at a place beyond `most` is not taken, and hears where it would.
        """
        self._check_journal()
        hosted = self._jobs.get(spec.id)
        if hosted is not None:
            if hosted.job.submitter != caller or hosted.job.spec != spec:
                raise PeerRefused(f"job {spec.id} exists already; submit with a new id")
            missing = hosted.inbox.missing if hosted.inbox else ()
            return Accepted(limits=hosted.accepted.limits, missing=missing)
        if spec.id in self._dropped:
            raise PeerRefused(f"job {spec.id} was here, has ended, and was fetched; submit with a new id")
        limits = self.admission.offer(spec.id, caller, spec.ask, time.monotonic(), most)
        if isinstance(limits, Queued):
            return limits
        if isinstance(limits, Refusal):
            raise PeerRefused(limits.reason)
        size = sum(file.size for file in spec.files)
        if size > limits.disk:
            self.admission.release(spec.id)
            name, lent = self.admission.name, show_size(limits.disk)
            raise PeerRefused(f"{name} lends a job at most {lent} of disk; its files are {show_size(size)}")
        try:
            hosted = self._accept(caller, spec, limits)
        except BaseException as error:
            self.admission.release(spec.id)
            if isinstance(error, CannotWrite):
                raise PeerRefused(f"{self.admission.name} takes no jobs now: its disk is full") from error
            raise
        accepted = hosted.accepted
        self._jobs[spec.id] = hosted
        log.info("job %s of %s accepted: %s, %d files", spec.id, caller[:12], spec.title, len(spec.files))
        self._open_session(hosted)
        if not accepted.missing:
            self._ready(hosted)
        return accepted

    def _accept(self, caller: PeerId, spec: JobSpec, limits: Limits) -> Hosted:
        """Make a job's folder, and write it down. If that fails, nothing of it is left."""
        folder = self.folder / spec.id
        with room(self.folder):
            folder.mkdir(mode=0o700, parents=True)
        try:
            with room(self.folder):
                inbox = Inbox(folder / "received", spec.files)
                accepted = Accepted(limits=limits, missing=inbox.missing)
                job, spool = accept(spec, caller, accepted), Spool(folder / "events")
            hosted = Hosted(job, accepted, folder, self.wall(), inbox=inbox, spool=spool)
            hosted.lease = _lease(spec)
            self.journal.accept(caller, spec, accepted, hosted.at)
            self._record(hosted, accepted)
        except BaseException:
            workspace.remove(folder)
            with suppress(CannotWrite):  # without a folder it is none, at the next start too
                self.journal.forget(spec.id)
            raise
        return hosted

    @contextmanager
    def receive(self, caller: PeerId, job: JobId, digest: Digest) -> Iterator[Sink]:
        """Take one input; the last one makes the job ready."""
        hosted = self._of(caller, job)
        if hosted.inbox is None:
            raise PeerRefused(f"job {job} expects no files now; it is {hosted.job.state.value}")
        with room(hosted.folder), hosted.inbox.receive(digest) as incoming:
            yield _Metered(incoming, lambda: self.admission.progress(job, time.monotonic()))
        if hosted.inbox and not hosted.inbox.missing:
            self._ready(hosted)

    def expect(self, caller: PeerId, job: JobId, place: Place) -> Missing:
        """Say which of these files have to come before a session can be told to place them."""
        hosted = self._of(caller, job)
        if hosted.session is None or hosted.job.state is not State.RUNNING:
            raise PeerRefused(f"job {job} takes no files now; it is {hosted.job.state.value}")
        size, most = sum(file.size for file in place.files), hosted.accepted.limits.disk
        if size > most:
            name = self.admission.name
            raise PeerRefused(
                f"{name} lends a job {show_size(most)} of disk; these files are {show_size(size)}{LESS}"
            )
        hosted.inbox = Inbox(hosted.folder / "received", place.files)
        return Missing(digests=hosted.inbox.missing)

    async def place(self, caller: PeerId, job: JobId, place: Place) -> None:
        """Let a session have these files, which have been received."""
        if (missing := self.expect(caller, job, place)).digests:
            raise PeerRefused(f"{len(missing.digests)} files are to be placed that have not come")
        session = self._of(caller, job).session
        assert session is not None
        await session.place(place)

    @contextmanager
    def take_parcel(self, caller: PeerId, job: JobId, name: ParcelName, size: int) -> Iterator[Sink]:
        """Take a parcel of so many bytes into a session that runs."""
        running, work, most = self._at_work(caller, job)
        if size > most:
            host = self.admission.name
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
        hosted = self._of(caller, job)
        running = hosted.running
        if hosted.session is None or hosted.job.state is not State.RUNNING or not running or not running.work:
            raise PeerRefused(f"job {job} is no session that runs; it is {hosted.job.state.value}")
        return running, running.work, hosted.accepted.limits.disk

    async def tell(self, caller: PeerId, job: JobId, said: Input) -> Taken:
        """Take what the submitter says to a session."""
        hosted = self._of(caller, job)
        if hosted.session is None:
            raise PeerRefused(f"job {job} is no session")
        await hosted.session.tell(said)
        return Taken(origin=said.origin, number=said.number)

    async def renew(self, caller: PeerId, job: JobId, ticket: Ticket) -> Ticket:
        """Renew a job's lease by a ticket that was handed out; hand out the next one."""
        hosted = self._of(caller, job)
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
        hosted = self._of(caller, job)
        if after < 0:
            after = hosted.progress.newest_cell
        return (hosted.spool or Spool(hosted.folder / "events")).follow(after)

    def result(self, caller: PeerId, job: JobId, digest: Digest) -> Path:
        """Return where a file is that the job made."""
        hosted = self._of(caller, job)
        collected = hosted.progress.collected
        files = collected.files if collected else ()
        if not any(file.digest == digest for file in files):
            raise PeerRefused(f"job {job} made no file with the digest {digest[:12]}")
        return hosted.folder / "results" / digest

    def stop(self, caller: PeerId, job: JobId) -> None:
        """End a job before its time."""
        self._stop(self._of(caller, job), How.STOPPED)

    def forget(self, caller: PeerId, job: JobId) -> None:
        """Drop an ended job whose submitter has everything."""
        hosted = self._of(caller, job)
        if hosted.job.state is not State.ENDED:
            raise PeerRefused(f"job {job} is {hosted.job.state.value}; stop it first")
        self._drop(hosted)

    # What this node does.

    def recover(self) -> None:
        """Remember what an earlier life of this daemon left: what waited waits on, what ran goes on in `open`."""
        for entry in self.journal.hosted():
            job, folder = entry.spec.id, self.folder / entry.spec.id
            if not folder.is_dir():
                self.journal.forget(job)
                continue
            hosted = self._jobs[job] = remembered(entry, folder)
            if hosted.spool and not hosted.spool.last:
                self._record(hosted, entry.accepted)
            if hosted.job.state is State.ENDED:
                hosted.spool = None
            elif entry.outcome:
                self._end(hosted, entry.outcome)
            else:
                self._expect(hosted)
        left = set(self.folder.glob("*")) - {hosted.folder for hosted in self._jobs.values()}
        boxes = {hosted.folder / "box" for hosted in self._jobs.values()}
        begun = {Path(hosted.begun.folder) for hosted in self.jobs() if hosted.begun}
        self._sweeping = self._tasks.start(sweep_boxes((left | boxes) - begun), "sweep")

    async def open(self, workshop: Workshop) -> None:
        """Start what may start in this workshop, and go on with what an earlier life of this daemon began."""
        if self._sweeping:
            await self._sweeping
        self.workshop = workshop
        for hosted in self.jobs():
            if hosted.begun and not hosted.running:
                log.info("job %s goes on, which an earlier daemon began", hosted.job.spec.id)
                self._tasks.start(self._host(hosted, hosted.begun.limits), f"job {hosted.job.spec.id}")
        self.schedule()

    def begun(self) -> list[Begun]:
        """Return in what the jobs run that have begun and not ended."""
        return [hosted.begun for hosted in self.jobs() if hosted.begun]

    def schedule(self) -> None:
        """Start what may start; tell those who wait where they stand."""
        if self.workshop is None:
            return
        for id, limits in self.admission.start().items():
            self._tasks.start(self._host(self._jobs[id], limits), f"job {id}")
        for id, queued in self.admission.announce().items():
            with suppress(CannotWrite):  # it is but news
                self._record(self._jobs[id], queued)

    def tick(self) -> None:
        """Give up jobs whose files stopped arriving; drop what was kept long enough.

        The first one after a sandbox is ready opens the pool, so that start-up does not pay for it.
        """
        if self.workshop and self._pool is None and not self.admission.closed:
            limits = self.admission.lent.limits(Ask())
            taken = frozenset(Path(begun.folder) for begun in self.begun())
            folder = self.folder.with_name("pool")
            self._pool = Pool(self.workshop, self.me, folder, limits, self.pool_size, taken)
        for id in self.admission.expired(time.monotonic()):
            why = "its files stopped arriving"
            with suppress(CannotWrite):  # later, then
                self._end(self._jobs[id], Outcome(how=How.EXPIRED, status=1, detail=why))
        for hosted in self.jobs():
            if hosted.lease and not hosted.begun and boottime() > hosted.lease.until:
                with suppress(CannotWrite):
                    self._stop(hosted, How.LAPSED)
        self._dropped = {id: at for id, at in self._dropped.items() if time.monotonic() - at < LATE}
        for hosted in list(self._jobs.values()):
            if hosted.ended is not None and self.wall() - hosted.ended > KEEP:
                with suppress(CannotWrite):
                    self._drop(hosted)
            elif hosted.session and hosted.session.quiet(time.monotonic()) > hosted.accepted.limits.idle:
                log.info("session %s ends: nobody has used it", hosted.job.spec.id)
                self._stop(hosted, How.IDLE)

    async def close(self, patience: float) -> None:
        """End all jobs because this node goes; their submitters are told."""
        self.admission.closed = "it is shutting down"
        for hosted in self._jobs.values():
            with suppress(CannotWrite):  # what waited here waits on after the next start
                self._stop(hosted, How.EVICTED)
        await self._tasks.settle(patience)
        await self.clear_pool()

    async def clear_pool(self) -> None:
        """Remove the sandboxes that wait for jobs; while no jobs are taken, none are made."""
        pool, self._pool = self._pool, None
        if pool:
            await pool.close()

    @property
    def warm(self) -> int:
        """How many sandboxes wait for jobs."""
        return self._pool.waiting if self._pool else 0

    def jobs(self) -> list[Hosted]:
        """Return the jobs that have not ended, oldest first."""
        return [hosted for hosted in self._jobs.values() if hosted.job.state is not State.ENDED]

    def _expect(self, hosted: Hosted) -> None:
        """Give a job of an earlier life its place again: in its sandbox, or among those that wait."""
        spec, limits = hosted.job.spec, hosted.accepted.limits
        self._open_session(hosted)
        hosted.lease = _lease(spec)
        if hosted.lease and not hosted.begun:  # nobody knows for how long it could still wait
            self._end(hosted, Outcome(how=How.LAPSED, status=1, detail="its host was started again"))
            return
        if hosted.begun:
            self.admission.resume(spec.id, Claim(hosted.job.submitter, hosted.begun.limits, spec.ask.gpu))
            return
        hosted.inbox = Inbox(hosted.folder / "received", spec.files)
        self.admission.expect(spec.id, Claim(hosted.job.submitter, limits, spec.ask.gpu), time.monotonic())
        if not hosted.inbox.missing:
            hosted.inbox = None
            self.admission.complete(spec.id)

    def _open_session(self, hosted: Hosted) -> None:
        spec, received = hosted.job.spec, hosted.folder / "received"
        if spec.kind is Kind.SESSION:
            hosted.session = Session(
                spec,
                hosted.accepted.limits,
                received,
                Inputs(hosted.folder / "inputs"),
                lambda event: self._record(hosted, event),
                hosted.progress,
            )

    def _ready(self, hosted: Hosted) -> None:
        """All files that were expected are here; a job that has not begun may."""
        if hosted.job.state is State.RECEIVING:
            hosted.inbox = None
            self.admission.complete(hosted.job.spec.id)
            self.schedule()

    async def _host(self, hosted: Hosted, limits: Limits) -> None:
        """Carry a job from its start to its end, whatever happens in between."""
        assert self.workshop is not None
        if hosted.session:
            hosted.session.limits = limits
        spec, cards = hosted.job.spec, self.admission.names(limits)
        running = hosted.running = Running(
            self.workshop,
            self._pool,
            self.me,
            spec,
            limits,
            hosted.folder,
            lambda begun: self._begin(hosted, begun),
            lease=hosted.lease,
            begun=hosted.begun,
            progress=hosted.progress,
            session=hosted.session,
            cards=cards,
        )
        if hosted.stop:
            running.stop(hosted.stop)
        outcome = Outcome(how=How.EVICTED, status=1, detail="its host went away")
        try:
            async for event, fact in running.events():
                await self._when_room(functools.partial(self._record, hosted, event, fact))
            outcome = running.outcome
        except Exception as error:
            log.exception("job %s could not be run", hosted.job.spec.id)
            outcome = Outcome(how=How.FAILED, status=1, detail=f"an error on its host: {error}"[:2000])
        finally:
            await asyncio.shield(self._finish(hosted, running, outcome))

    async def _finish(self, hosted: Hosted, running: Running, outcome: Outcome) -> None:
        """End a job that has run, and leave nothing of its sandbox; that first, where it makes room."""
        end = functools.partial(self._end, hosted, outcome)
        with suppress(CannotWrite):
            end()
        await self._clean_up(hosted, running)
        if hosted.job.state is not State.ENDED:
            await self._when_room(end)

    async def _when_room(self, write: Callable[[], None]) -> None:
        """Write, as soon as there is room: what runs goes on meanwhile, and its sandbox keeps what it says."""
        while True:
            try:
                return write()
            except CannotWrite as error:
                log.warning("what runs goes on, and waits to be heard: %s", error)
            await asyncio.sleep(FULL)

    def _begin(self, hosted: Hosted, begun: Begun) -> None:
        self.journal.begin(hosted.job.spec.id, begun)
        hosted.begun = begun

    async def _clean_up(self, hosted: Hosted, running: Running) -> None:
        """Leave nothing of its sandbox, however long its engine takes to answer."""
        while True:
            try:
                await running.close()
                break
            except SandboxError as error:
                log.warning("what job %s ran in is not removed yet: %s", hosted.job.spec.id, error)
                await asyncio.sleep(AGAIN)
        hosted.running = None
        if hosted.job.spec.id not in self._jobs:  # its submitter was quicker
            await self._remove(hosted.folder)

    def _stop(self, hosted: Hosted, how: How) -> None:
        if hosted.job.state is State.ENDED or hosted.stop is not None:
            return
        hosted.stop = how
        if hosted.running is not None:
            hosted.running.stop(how)
        elif hosted.job.spec.id not in self.admission.running:
            try:
                self._end(hosted, Outcome(how=how, status=130, detail=""))
            except CannotWrite:
                hosted.stop = None
                raise

    def _record(self, hosted: Hosted, event: Event, fact: int = 0) -> None:
        assert hosted.spool is not None
        record = Record(seq=hosted.spool.last + 1, at=self.wall(), event=event, fact=fact)
        hosted.check(event)
        hosted.spool.append(record)
        hosted.learn(record)
        if isinstance(event, Busy) and event.cell:
            with suppress(OSError):  # it may be dropped with the next one
                hosted.spool.drop(hosted.progress.newest_cell)
        if hosted.session and isinstance(event, Started | Busy | Restarted):
            self.admission.rest(hosted.job.spec.id, resting=not (isinstance(event, Busy) and event.cell))
            self.schedule()

    def _end(self, hosted: Hosted, outcome: Outcome) -> None:
        """The one way in which jobs end: journal, last event, room for the next."""
        job = hosted.job.spec.id
        self.journal.end(job, outcome)
        self._record(hosted, Ended(outcome=outcome))
        hosted.spool = hosted.inbox = hosted.session = None
        workspace.remove(hosted.folder / "received")
        (hosted.folder / "inputs").unlink(missing_ok=True)
        log.info("job %s ended: %s (status %d) %s", job, outcome.how.value, outcome.status, outcome.detail)
        self.admission.release(job)
        self.schedule()

    def _drop(self, hosted: Hosted) -> None:
        job = hosted.job.spec.id
        self.journal.forget(job)
        self._dropped[job] = time.monotonic()
        del self._jobs[job]
        if hosted.running is None:
            self._tasks.start(self._remove(hosted.folder), f"remove {job}")

    async def _remove(self, folder: Path) -> None:
        """Take a job's folder away, once what an earlier life left in it is: two at a time would trip."""
        if self._sweeping:
            await asyncio.wait({self._sweeping})
        await asyncio.to_thread(workspace.remove, folder)

    def _of(self, caller: PeerId, job: JobId) -> Hosted:
        """Return the caller's job; another's looks like none."""
        self._check_journal()
        hosted = self._jobs.get(job)
        if hosted is None or hosted.job.submitter != caller:
            raise PeerRefused(
                f"there is no job {job} here; what was fetched, or is older than {KEEP / 86400:.0f} days, is gone"
            )
        return hosted

    def _check_journal(self) -> None:
        """Without a journal it is not known what runs here: callers ask again later, as if nobody answered."""
        if self.journal.damage:
            raise PeerUnreachable(f"{self.admission.name} cannot use its journal; its owner has to help")


def _lease(spec: JobSpec) -> Lease | None:
    return Lease(spec.lease, boottime() + spec.lease) if spec.lease else None


class _Metered:
    """An upload's sink that notes that bytes are still coming."""

    def __init__(self, incoming: Incoming, moved: Callable[[], None]) -> None:
        self._incoming, self._moved = incoming, moved

    def write(self, data: bytes) -> None:
        self._incoming.write(data)
        self._moved()
