"""Which job this node takes, and when it may start.

Capacity is reserved here and nowhere else: a job holds cores, memory, disk, cards and one of the slots from
`start` to `release`. What does not fit waits; whose job is next says `Line`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from homie_core.engine import cards
from homie_core.engine.lent import Lent, Places
from homie_core.engine.line import Line
from homie_core.engine.room import NOTHING, Claim, Parts, Room, added
from homie_core.model.event import Queued
from homie_core.model.job import Ask, Limits
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Gpu
from homie_core.model.quantity import show_size

RECEIVE_PATIENCE = 600.0
"""Seconds without a byte after which a job whose files are not complete is given up."""


@dataclass(frozen=True)
class Refusal:
    """No, and why: a sentence for the submitter."""

    reason: str


@dataclass
class Admission:
    """The queue of one host and what its running jobs have reserved."""

    name: str
    lent: Lent
    cards: tuple[Gpu, ...] = ()
    """The machine's graphics cards, as they were last seen."""
    disk: int = 1 << 50
    """Bytes that jobs may still write where their folders are, as last seen, without what stays the owner's."""
    closed: str = ""
    """Why no job is taken now; empty when jobs are taken."""
    receiving: dict[JobId, tuple[Claim, float]] = field(default_factory=dict)
    """With the time of the last progress."""
    queue: dict[JobId, Claim] = field(default_factory=dict)
    running: dict[JobId, Claim] = field(default_factory=dict)
    resting: set[JobId] = field(default_factory=set)
    """Running sessions in which no cell runs: they keep their memory, but others may have their cores."""
    told: dict[JobId, Queued] = field(default_factory=dict)
    _line: Line = field(default_factory=Line)
    _places: Places = field(default_factory=Places)

    def offer(
        self, job: JobId, submitter: PeerId, ask: Ask, now: float, most: int | None = None
    ) -> Limits | Queued | Refusal:
        """Decide on a new job: its limits, from now on expected, or a refusal.

        With `most`, a job that would wait at a place beyond that (0: one that would wait at all) is not taken, and
        the answer says where it would. Jobs whose files are still coming count as if they were ready then; their
        room is not kept for them.
        """
        if lack := self._refusal(submitter, ask, now):
            return Refusal(f"{self.name} {lack}")
        claim = Claim(submitter, self.lent.limits(ask), ask.gpu)
        if most is not None and (would := self._would_wait(job, claim)) and would.position > most:
            return would
        self.expect(job, claim, now)
        return claim.limits

    def _refusal(self, submitter: PeerId, ask: Ask, now: float) -> str:
        """Return why the job is not taken, in words that follow this host's name; empty if it is."""
        if self.closed:
            return f"takes no jobs: {self.closed}"
        if excess := self.lent.excess(ask):
            return excess
        if ask.gpu and (lack := cards.lack(self.cards, ask.gpu)):
            return f"{lack}; ask for less with --gpu or --vram, or see `homie peers`"
        if self.lent.job_disk > self.disk:
            lent, left = show_size(self.lent.job_disk), show_size(max(0, self.disk))
            return f"lends a job {lent} of disk and has {left} left; try another peer, or ask its owner for room"
        coming = [claim for claim, _ in self.receiving.values()]
        waiting = [claim.submitter for claim in (*self.queue.values(), *coming)]
        if lack := self._places.lack(submitter, waiting, now):
            return f"{lack}; try another peer, or later"
        return ""

    def expect(self, job: JobId, claim: Claim, now: float) -> None:
        """Wait for the files of a job that was accepted, now or before a restart."""
        self.receiving[job] = (claim, now)

    def resume(self, job: JobId, claim: Claim) -> None:
        """Let a job that began before a restart hold what it holds."""
        self.running[job] = claim

    def _would_wait(self, job: JobId, claim: Claim) -> Queued | None:
        """Return where this job would wait and for what; None if it would start at once."""
        claims = self.queue | {each: coming for each, (coming, _) in self.receiving.items()} | {job: claim}
        line, room = self._line.copy(), self.room
        for each in (*self.receiving, job):
            line.join(each, claims[each].submitter)
        position = 0
        for each in line.order(self._held(), lambda id: self._parts(claims[id])):
            lack = room.lack(claims[each])
            position += bool(lack)  # what starts as soon as its files are here has no place
            if each == job:
                return Queued(position=position, reason=f"waits for {lack}") if lack else None
            room = room.less(claims[each])
        raise AssertionError("it is in the line")

    def progress(self, job: JobId, now: float) -> None:
        """Note that bytes of the job's files are arriving."""
        if job in self.receiving:
            self.receiving[job] = (self.receiving[job][0], now)

    def complete(self, job: JobId) -> None:
        """All files are here: the job queues."""
        claim, _ = self.receiving.pop(job)
        self.queue[job] = claim
        self._line.join(job, claim.submitter)

    def rest(self, job: JobId, resting: bool) -> None:
        """Note whether a running session has nothing to do. One that goes on is not kept waiting: cores that are
        lent twice meanwhile are shared."""
        if resting and job in self.running:
            self.resting.add(job)
        else:
            self.resting.discard(job)

    def release(self, job: JobId) -> None:
        """The job is over, or given up, in whatever state: what it held is free."""
        self.receiving.pop(job, None)
        if claim := self.queue.pop(job, None):
            self._line.leave(job, claim.submitter)
        self.running.pop(job, None)
        self.resting.discard(job)
        self.told.pop(job, None)

    def start(self) -> dict[JobId, Limits]:
        """Return the jobs that start now, with their final limits; from here on they hold their share."""
        started: dict[JobId, Limits] = {}
        while job := self._fitting():
            claim = self.queue.pop(job)
            limits = replace(claim.limits, gpus=self.room.pick(claim))
            self._line.started(job, claim.submitter)
            self.told.pop(job, None)
            self.running[job] = Claim(claim.submitter, limits, claim.gpu)
            started[job] = limits
        return started

    def _fitting(self) -> JobId | None:
        """Return the job that starts next; None if nothing can start now."""
        room = self.room
        for place, job in enumerate(self._order()):
            claim = self.queue[job]
            if not room.lack(claim):
                return job
            if place == 0:
                self._line.stay(job)
            room = room.less(claim)
        return None

    def announce(self) -> dict[JobId, Queued]:
        """Return what waiting jobs should hear now and have not heard yet."""
        news: dict[JobId, Queued] = {}
        room = self.room
        for position, job in enumerate(self._order(), start=1):
            lack = room.lack(self.queue[job])
            said = Queued(position=position, reason=f"waits for {lack or 'the jobs before it'}")
            if self.told.get(job) != said:
                self.told[job] = news[job] = said
        return news

    def expired(self, now: float) -> list[JobId]:
        """Return the jobs whose files have stopped arriving."""
        return [job for job, (_, at) in self.receiving.items() if now - at > RECEIVE_PATIENCE]

    @property
    def room(self) -> Room:
        """What no running job holds."""
        room = self._whole
        for job in self.running:
            room = room.less(self._held_by(job))
        return room

    @property
    def free_cpus(self) -> float:
        return max(0.0, self.room.cpus)

    @property
    def free_memory(self) -> int:
        return max(0, self.room.memory)

    @property
    def free_jobs(self) -> int:
        """How many more jobs could start, as far as slots and disk go."""
        room = self.room
        return max(0, min(room.jobs, room.disk // max(1, self.lent.job_disk)))

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The machine's graphics cards, and which of them are taken."""
        return self.room.cards

    def names(self, limits: Limits) -> tuple[str, ...]:
        """Return the names of the cards that a job holds."""
        return tuple(card.name for card in self.cards if card.uuid in limits.gpus)

    @property
    def _whole(self) -> Room:
        lent = self.lent
        return Room(cpus=lent.cpus, memory=lent.memory, disk=self.disk, jobs=lent.jobs, cards=self.cards)

    def _held_by(self, job: JobId) -> Claim:
        claim = self.running[job]
        if job not in self.resting:
            return claim
        return Claim(claim.submitter, replace(claim.limits, cpus=0.0), claim.gpu)

    def _held(self) -> dict[PeerId, Parts]:
        """Return how much each submitter's running jobs hold."""
        held: dict[PeerId, Parts] = {}
        for job in self.running:
            claim = self._held_by(job)
            held[claim.submitter] = added(held.get(claim.submitter, NOTHING), self._parts(claim))
        return held

    def _parts(self, claim: Claim) -> Parts:
        return self._whole.parts(claim)

    def _order(self) -> Iterator[JobId]:
        return self._line.order(self._held(), lambda job: self._parts(self.queue[job]))
