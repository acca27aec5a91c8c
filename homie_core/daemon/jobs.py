"""My jobs as lists show them: those that I sent, followed by anybody or not, and those that I host.

How a job stands is asked of its host when somebody wants to know; what is known for good, that it has ended and
how, is written into the journal.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from homie_core.daemon.delivering import deliver
from homie_core.daemon.links import Links
from homie_core.daemon.runs import Runs
from homie_core.model.control import CaughtUp, Delivered, GetRequest, JobEvent, JobView, JobViews, News
from homie_core.model.errors import BadMessage, CannotWrite, HomieError, LinkBroke, PeerRefused
from homie_core.model.event import Collected, Ended
from homie_core.model.job import How, Outcome, State
from homie_core.model.names import JobId, PeerId
from homie_core.model.report import Gone, Report
from homie_core.store.incoming import Delivery
from homie_core.store.journal import Journal, Sent

log = logging.getLogger(__name__)

MOST = 500
"""Jobs of mine that a list shows; the newest."""
PATIENCE = 2.0
"""Seconds that a list waits for a host."""
AMBIGUOUS = 5
"""Jobs that are named when the beginning of an id fits several."""
TRIES, PAUSE = 5, 1.0
"""How often the files of a job are tried to bring here when the link breaks, and seconds between."""


@dataclass
class Jobs:
    """The jobs of this node and of its user."""

    journal: Journal
    links: Links
    runs: Runs
    hosted: Callable[[], list[JobView]]
    wall: Callable[[], float] = time.time

    async def views(self, ended: bool) -> JobViews:
        """Return the jobs that are under way or whose end nobody has seen; `ended`: all of them."""
        mine = await self._views(self.journal.newest_sent(MOST, seen=ended))
        return JobViews(jobs=(*mine, *self.hosted()))

    async def find(self, start: str) -> JobView:
        """Return the job of mine whose id begins so; raise HomieError if there is none, or more than one."""
        found = self.journal.sent_beginning(start, AMBIGUOUS)
        if not found:
            damage = f": {self.journal.damage}" if self.journal.damage else "; `homie jobs -a` lists them"
            raise HomieError(f"no job of yours begins with {start}{damage}")
        if len(found) > 1:
            which = ", ".join(f"{sent.job} ({sent.title})" for sent in found)
            raise HomieError(f"more than one job of yours begins with {start}: {which}")
        (view,) = await self._views(found)
        return view

    async def past(self, job: JobId) -> AsyncGenerator[News]:
        """Yield what has happened to a job of mine so far."""
        sent, report = await self._report(job)
        if report.newest:
            async for record in self.links.to(sent.peer).events(job, 0):
                yield JobEvent(record=record)
                if isinstance(record.event, Ended):
                    return
                if record.seq >= report.newest:
                    break
        yield CaughtUp()

    async def get(self, job: JobId, request: GetRequest) -> AsyncGenerator[News]:
        """Bring the files of a job of mine here that has ended; its host keeps them for now."""
        sent, report = await self._report(job)
        if report.state is not State.ENDED:
            raise PeerRefused(f"job {job} is {report.state.value}; `homie attach {job}` waits for its end")
        collected = await self._collected(sent, report)
        delivery = Delivery(Path(request.folder), job)
        for left in reversed(range(TRIES)):
            try:
                async for news in deliver(self.links.to(sent.peer), job, collected, delivery):
                    if isinstance(news, Delivered):
                        self._see(sent, news.folder if news.files else "")
                    yield news
                return
            except LinkBroke as error:
                if not left:
                    raise
                log.info("files of job %s: %s; trying again", job, error)
            await asyncio.sleep(PAUSE)

    async def _collected(self, sent: Sent, report: Report) -> Collected:
        if not report.collected:
            return Collected(files=())
        async for record in self.links.to(sent.peer).events(sent.job, report.collected - 1):
            if isinstance(record.event, Collected):
                return record.event
            break
        raise BadMessage(f"{sent.peer_name} did not name the files of job {sent.job}")

    async def _report(self, job: JobId) -> tuple[Sent, Report]:
        """Return how a job of mine stands. Raises PeerRefused if its host does not have it any more."""
        sent = self.runs.sent(job)
        report = (await self.links.to(sent.peer).report([job]))[job]
        if isinstance(report, Gone):
            if not (self.runs.submits(job) or self.runs.care.minds(job)):
                with suppress(CannotWrite):  # it is listed once more
                    self.journal.settle(job, sent.outcome or Outcome(how=How.LOST, status=1, detail=report.why))
                self._see(sent, sent.folder or "")
            raise PeerRefused(report.why)
        self._settle(sent, report)
        return sent, report

    async def _views(self, sent: Iterable[Sent]) -> list[JobView]:
        sent = list(sent)
        by_host: dict[PeerId, list[Sent]] = {}
        for each in sent:
            if each.outcome is None and not self.runs.submits(each.job):
                by_host.setdefault(each.peer, []).append(each)
        answers = await asyncio.gather(*(self._ask(peer, jobs) for peer, jobs in by_host.items()))
        said = {job: report for answer in answers for job, report in answer.items()}
        return [self._view(each, said.get(each.job)) for each in sent]

    async def _ask(self, peer: PeerId, jobs: list[Sent]) -> dict[JobId, Report | str]:
        """Return how these jobs stand at their host, or why that is not known."""
        try:
            async with asyncio.timeout(PATIENCE):
                reports = await self.links.to(peer).report([sent.job for sent in jobs])
        except TimeoutError:
            return dict.fromkeys((sent.job for sent in jobs), "no answer yet")
        except HomieError as error:
            return dict.fromkeys((sent.job for sent in jobs), str(error))
        for sent in jobs:
            if isinstance(report := reports[sent.job], Report):
                self._settle(sent, report)
        return {job: report.why if isinstance(report, Gone) else report for job, report in reports.items()}

    def _view(self, sent: Sent, said: Report | str | None) -> JobView:
        state, outcome, note = None, sent.outcome, ""
        if sent.outcome:
            state = State.ENDED
        elif isinstance(said, Report):
            state, outcome = said.state, said.outcome
            note = f"place {said.waits.position}: {said.waits.reason}" if said.waits else ""
        elif said is None:
            state, note = State.RECEIVING, "it is being sent"
        else:
            note = said
        return JobView(
            id=sent.job,
            mine=True,
            kind=sent.kind,
            peer=sent.peer_name,
            title=sent.title,
            age=max(0.0, self.wall() - sent.at),
            state=state,
            outcome=outcome,
            note=note,
            results=sent.folder or "",
        )

    def _settle(self, sent: Sent, report: Report) -> None:
        """Note how a job ended, if that is its end: one that may be started again elsewhere has another."""
        if report.outcome and not self.runs.care.minds(sent.job):
            with suppress(CannotWrite):  # its host can be asked again
                self.journal.settle(sent.job, report.outcome)

    def _see(self, sent: Sent, folder: str) -> None:
        with suppress(CannotWrite):  # it is listed once more
            self.journal.see(sent.job, folder)
