"""Jobs that others run here: taken by `Admission`, written into the journal, run in a sandbox, kept until fetched.

Every fact about a job is an event in its spool; this module is the only writer. Who reads it, and when, changes
nothing here: a lost connection never ends a job.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.daemon import full_disk
from homie_core.daemon.hosted import Hosted, remembered
from homie_core.daemon.keeping import Keeping
from homie_core.daemon.pool import Pool, Workshop, sweep_boxes
from homie_core.daemon.running import Running
from homie_core.daemon.session import Session
from homie_core.daemon.tasks import Tasks
from homie_core.engine.admission import Admission
from homie_core.engine.lease import Lease
from homie_core.engine.lifecycle import accept
from homie_core.engine.room import Claim
from homie_core.model.errors import CannotWrite, PeerUnreachable, SandboxError
from homie_core.model.event import Accepted, Busy, Ended, Event, Record, Restarted, Started
from homie_core.model.job import Ask, How, JobSpec, Kind, Limits, Outcome, State
from homie_core.model.names import JobId, PeerId
from homie_core.runner.clock import boottime
from homie_core.store import workspace
from homie_core.store.incoming import Inbox
from homie_core.store.inputs import Inputs
from homie_core.store.journal import Begun, Journal
from homie_core.store.room import room
from homie_core.store.spool import Spool

log = logging.getLogger(__name__)

LATE = 3600.0
"""Seconds for which an offer may be on its way, held up: after them a job that was dropped could be taken anew."""
AGAIN = 10.0
"""Seconds until an engine that does not remove a sandbox is asked again."""


@dataclass
class Hosting:
    """The jobs of one host. `workshop` is None until a sandbox is ready."""

    me: PeerId
    folder: Path
    admission: Admission
    journal: Journal
    kept_limit: int
    """Bytes that all ended jobs together may keep."""
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

    # What `Reception` calls.

    def known(self, job: JobId) -> Hosted | None:
        """Return a job, whoever's it is. Raises PeerUnreachable while it is not known what runs here."""
        self._check_journal()
        return self._jobs.get(job)

    def was_here(self, job: JobId) -> bool:
        """Return whether a job was dropped so lately that its offer may still be on its way."""
        return job in self._dropped

    def take(self, caller: PeerId, spec: JobSpec, limits: Limits) -> Hosted:
        """Take a job that `admission` has room for. Raises CannotWrite if the disk is full; nothing stays then."""
        try:
            hosted = self._jobs[spec.id] = self._accept(caller, spec, limits)
        except BaseException:
            self.admission.release(spec.id)
            raise
        log.info("job %s of %s accepted: %s, %d files", spec.id, caller[:12], spec.title, len(spec.files))
        self.look_at_files(hosted)
        return hosted

    def look_at_files(self, hosted: Hosted) -> None:
        """Let a job begin, if it has not, once all files that were expected are here."""
        if hosted.job.state is State.RECEIVING and hosted.inbox and not hosted.inbox.missing:
            hosted.inbox = None
            self.admission.complete(hosted.job.spec.id)
            self.schedule()

    def stop(self, hosted: Hosted, how: How) -> None:
        """End a job before its time."""
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

    def drop(self, hosted: Hosted, why: str = "") -> None:
        """Let go of an ended job: its events and files; who comes for it hears why, if there is a reason."""
        job = hosted.job.spec.id
        if why:
            self.journal.drop(job, why, self.wall())
            log.info("%s", why)
        else:
            self.journal.forget(job)
        self._dropped[job] = time.monotonic()
        del self._jobs[job]
        if hosted.running is None:
            self._tasks.start(self._remove(hosted.folder), f"remove {job}")

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
        """Give up jobs whose files stopped arriving, and sessions that nobody uses.

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
                    self.stop(hosted, How.LAPSED)
        self._dropped = {id: at for id, at in self._dropped.items() if time.monotonic() - at < LATE}
        for hosted in self.jobs():
            if hosted.session and hosted.session.quiet(time.monotonic()) > hosted.accepted.limits.idle:
                log.info("session %s ends: nobody has used it", hosted.job.spec.id)
                with suppress(CannotWrite):  # later, then
                    self.stop(hosted, How.IDLE)

    async def tidy(self) -> None:
        """Drop what has been kept long enough, or is more than the owner keeps."""
        keeping = Keeping(self.admission.name, self.kept_limit)
        for job, why in (await keeping.over(self._jobs, self.wall())).items():
            with suppress(CannotWrite):  # later, then
                self.drop(self._jobs[job], why)

    async def close(self, patience: float) -> None:
        """End all jobs because this node goes; their submitters are told."""
        self.admission.closed = "it is shutting down"
        for hosted in self._jobs.values():
            with suppress(CannotWrite):  # what waited here waits on after the next start
                self.stop(hosted, How.EVICTED)
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

    def _accept(self, caller: PeerId, spec: JobSpec, limits: Limits) -> Hosted:
        """Make a job's folder, and write it down. If that fails, nothing of it is left."""
        folder, hosted = self.folder / spec.id, None
        with room(self.folder):
            folder.mkdir(mode=0o700, parents=True)
        try:
            with room(self.folder):
                inbox = Inbox(folder / "received", spec.files)
                accepted = Accepted(limits=limits, missing=inbox.missing)
                job, spool = accept(spec, caller, accepted), Spool(folder / "events")
            hosted = Hosted(job, accepted, folder, self.wall(), inbox=inbox, spool=spool)
            hosted.lease = _lease(spec)
            self._open_session(hosted)
            self.journal.accept(caller, spec, accepted, hosted.at)
            self._record(hosted, accepted)
        except BaseException:
            if hosted and hosted.session:
                hosted.session.close()
            workspace.remove(folder)
            with suppress(CannotWrite):  # without a folder it is none, at the next start too
                self.journal.forget(spec.id)
            raise
        return hosted

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
                await full_disk.when_room(hosted.job.spec.id, functools.partial(self._record, hosted, event, fact))
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
            await full_disk.when_room(hosted.job.spec.id, end)

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

    async def _remove(self, folder: Path) -> None:
        """Take a job's folder away, once what an earlier life left in it is: two at a time would trip."""
        if self._sweeping:
            await asyncio.wait({self._sweeping})
        await asyncio.to_thread(workspace.remove, folder)

    def _check_journal(self) -> None:
        """Without a journal it is not known what runs here: callers ask again later, as if nobody answered."""
        if self.journal.damage:
            raise PeerUnreachable(f"{self.admission.name} cannot use its journal; its owner has to help")


def _lease(spec: JobSpec) -> Lease | None:
    return Lease(spec.lease, boottime() + spec.lease) if spec.lease else None
