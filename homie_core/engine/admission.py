"""Which job this node takes, and when it may start.

Capacity is reserved here and nowhere else: a job holds its limits from `start` to `release`. Jobs start in
the order in which they became ready; the first that does not fit holds back those behind it, so a big one is
never starved by small ones.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from homie_core.engine import cards
from homie_core.model.event import Queued
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, Limits
from homie_core.model.names import JobId
from homie_core.model.peer import Gpu
from homie_core.model.quantity import show_duration, show_size

MAX_WAITING = 100
"""Jobs that receive or queue at one time; beyond that the answer is no."""
RECEIVE_PATIENCE = 600.0
"""Seconds without a byte after which a job whose files are not complete is given up."""


@dataclass(frozen=True)
class Lent:
    """What the owner lends: in all, and to one job."""

    cpus: float
    memory: int
    """Bytes, all jobs together."""
    job_cpus: float
    job_memory: int
    job_timeout: float
    job_disk: int = 10 << 30
    """Bytes of its work folder."""
    job_output: int = 1 << 30
    """Bytes of standard output and error together."""
    idle: float = 1200.0
    """Seconds after which a session ends that nobody speaks to."""


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
    closed: str = ""
    """Why no job is taken now; empty when jobs are taken."""
    receiving: dict[JobId, tuple[Limits, float]] = field(default_factory=dict)
    """With the time of the last progress."""
    queue: dict[JobId, Limits] = field(default_factory=dict)
    wanted: dict[JobId, GpuAsk] = field(default_factory=dict)
    """The graphics cards that jobs ask for; which ones they get is decided when they start."""
    running: dict[JobId, Limits] = field(default_factory=dict)
    resting: set[JobId] = field(default_factory=set)
    """Running sessions in which no cell runs: they keep their memory, but others may have their cores."""
    told: dict[JobId, Queued] = field(default_factory=dict)

    def offer(self, job: JobId, ask: Ask, now: float) -> Limits | Refusal:
        """Decide on a new job: its limits, from now on expected, or a refusal."""
        if self.closed:
            return Refusal(f"{self.name} takes no jobs: {self.closed}")
        if len(self.receiving) + len(self.queue) >= MAX_WAITING:
            return Refusal(f"{self.name} has {MAX_WAITING} jobs waiting already; try another peer, or later")
        limits = self._limits(ask)
        if isinstance(limits, Limits):
            self.expect(job, limits, ask.gpu, now)
        return limits

    def expect(self, job: JobId, limits: Limits, gpu: GpuAsk | None, now: float) -> None:
        """Wait for the files of a job that was accepted, now or before a restart."""
        self.receiving[job] = (limits, now)
        if gpu:
            self.wanted[job] = gpu

    def resume(self, job: JobId, limits: Limits) -> None:
        """Let a job that began before a restart hold what it holds."""
        self.running[job] = limits

    def _limits(self, ask: Ask) -> Limits | Refusal:
        lent = self.lent
        if ask.cpus is not None and ask.cpus > lent.job_cpus:
            return Refusal(f"{self.name} lends a job at most {lent.job_cpus:g} cores, not {ask.cpus:g}")
        if ask.memory is not None and ask.memory > lent.job_memory:
            most = show_size(lent.job_memory)
            return Refusal(f"{self.name} lends a job at most {most} of memory, not {show_size(ask.memory)}")
        if ask.timeout is not None and ask.timeout > lent.job_timeout:
            most = show_duration(lent.job_timeout)
            return Refusal(f"{self.name} ends jobs after {most}; {show_duration(ask.timeout)} is too long")
        if ask.gpu and (lack := cards.lack(self.cards, ask.gpu)):
            return Refusal(f"{self.name} {lack}; ask for less with --gpu or --vram, or see `homie peers`")
        return Limits(
            cpus=ask.cpus or lent.job_cpus,
            memory=ask.memory or lent.job_memory,
            timeout=ask.timeout or lent.job_timeout,
            disk=lent.job_disk,
            output=lent.job_output,
            idle=lent.idle,
        )

    def progress(self, job: JobId, now: float) -> None:
        """Note that bytes of the job's files are arriving."""
        if job in self.receiving:
            self.receiving[job] = (self.receiving[job][0], now)

    def complete(self, job: JobId) -> None:
        """All files are here: the job queues."""
        limits, _ = self.receiving.pop(job)
        self.queue[job] = limits

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
        self.queue.pop(job, None)
        self.wanted.pop(job, None)
        self.running.pop(job, None)
        self.resting.discard(job)
        self.told.pop(job, None)

    def start(self) -> dict[JobId, Limits]:
        """Return the jobs that start now, with their final limits; from here on they hold their share."""
        started: dict[JobId, Limits] = {}
        while self.queue:
            job, limits = next(iter(self.queue.items()))
            if self._lacks(job, limits):
                break
            gpus = tuple(card.uuid for card in self._picked(job))
            del self.queue[job]
            self.told.pop(job, None)
            self.running[job] = started[job] = replace(limits, gpus=gpus)
        return started

    def announce(self) -> dict[JobId, Queued]:
        """Return what waiting jobs should hear now and have not heard yet."""
        news: dict[JobId, Queued] = {}
        for position, (job, limits) in enumerate(self.queue.items(), start=1):
            lack = self._lacks(job, limits)
            reason = f"waits for {lack}" if lack else "waits for the jobs before it"
            said = Queued(position=position, reason=reason)
            if self.told.get(job) != said:
                self.told[job] = news[job] = said
        return news

    def expired(self, now: float) -> list[JobId]:
        """Return the jobs whose files have stopped arriving."""
        return [job for job, (_, at) in self.receiving.items() if now - at > RECEIVE_PATIENCE]

    @property
    def free_cpus(self) -> float:
        busy = (limits.cpus for job, limits in self.running.items() if job not in self.resting)
        return max(0.0, self.lent.cpus - sum(busy))

    @property
    def free_memory(self) -> int:
        return max(0, self.lent.memory - sum(limits.memory for limits in self.running.values()))

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The machine's graphics cards, and which of them are taken."""
        taken = {uuid for limits in self.running.values() for uuid in limits.gpus}
        return tuple(replace(card, taken=card.uuid in taken) for card in self.cards)

    def names(self, limits: Limits) -> tuple[str, ...]:
        """Return the names of the cards that a job holds."""
        return tuple(card.name for card in self.cards if card.uuid in limits.gpus)

    def _picked(self, job: JobId) -> tuple[Gpu, ...]:
        return cards.pick(self.gpus, self.wanted[job]) if job in self.wanted else ()

    def _lacks(self, job: JobId, limits: Limits) -> str:
        """Return what the job has to wait for, in words; empty if there is room."""
        if limits.cpus > self.free_cpus + 1e-9:
            return f"{limits.cpus:g} cores ({self.free_cpus:g} free)"
        if limits.memory > self.free_memory:
            return f"{show_size(limits.memory)} of memory ({show_size(self.free_memory)} free)"
        if job in self.wanted and not self._picked(job):
            return self.wanted[job].words
        return ""
