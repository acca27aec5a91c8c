"""One job as its host keeps it: what its events tell, and what holds it while it lives."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.daemon.progress import Progress
from homie_core.daemon.running import Running
from homie_core.daemon.session import Session
from homie_core.engine.lease import Lease
from homie_core.engine.lifecycle import Job, accept, advance
from homie_core.model.event import Accepted, Ended, Event, Record
from homie_core.model.job import How, State
from homie_core.model.report import Report
from homie_core.store import journal
from homie_core.store.incoming import Inbox
from homie_core.store.journal import Begun
from homie_core.store.spool import Spool

GRACE = 10.0
"""Seconds between two things that are fetched of one job, at most."""


@dataclass
class Hosted:
    """A job of ours: what is known of it, and what holds it."""

    job: Job
    accepted: Accepted
    folder: Path
    at: float
    """Wall time of its acceptance, seconds."""
    ended: float | None = None
    """Wall time of its end, seconds."""
    progress: Progress = field(default_factory=Progress)
    begun: Begun | None = None
    """What it runs in, from before its program is started."""
    inbox: Inbox | None = None
    spool: Spool | None = None
    """Open while the job lives; later readers open their own."""
    running: Running | None = None
    """Until nothing of it is left but events and results."""
    session: Session | None = None
    """What it is told, if it is one."""
    lease: Lease | None = None
    """If it runs only while its submitter is heard; seconds of `boottime`."""
    stop: How | None = None
    """Why it is to end before its time."""
    size: int | None = None
    """Bytes of disk that it takes, once it has ended and that was looked at."""
    _readers: int = 0
    _read: float = -math.inf
    """When it was last read, in seconds of the monotonic clock."""

    def check(self, event: Event) -> None:
        """Raise IllegalTransition if this cannot happen to it now."""
        if not isinstance(event, Accepted):
            advance(self.job, event)

    def learn(self, record: Record) -> None:
        """Take in what has happened, now or in an earlier life of the daemon. Raises IllegalTransition."""
        if not isinstance(record.event, Accepted):
            self.job = advance(self.job, record.event)
        if isinstance(record.event, Ended):
            self.ended = record.at
        self.progress.learn(record)

    def report(self) -> Report:
        """Return how it stands."""
        progress, job = self.progress, self.job
        return Report(
            job=job.spec.id,
            state=job.state,
            newest=progress.newest,
            collected=progress.collected_at,
            waits=progress.waits if job.state is State.QUEUED else None,
            outcome=job.outcome,
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Its submitter fetches something of it meanwhile."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._read = time.monotonic()

    def wanted(self, now: float) -> bool:
        """Return whether its submitter is about to fetch it."""
        return self._readers > 0 or now - self._read < GRACE


def remembered(entry: journal.Hosted, folder: Path) -> Hosted:
    """Return a job of an earlier life of the daemon, as its journal and its spool tell it."""
    job = accept(entry.spec, entry.submitter, entry.accepted)
    hosted = Hosted(job, entry.accepted, folder, entry.at, begun=entry.begun, spool=Spool(folder / "events"))
    assert hosted.spool
    for record in hosted.spool.records():
        hosted.learn(record)
    return hosted
