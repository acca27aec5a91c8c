"""What an owner lends, in all and to one job, and how many may wait for it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from homie_core.model.job import Ask, Limits
from homie_core.model.names import PeerId
from homie_core.model.quantity import show_duration, show_size

MAX_WAITING = 100
"""Jobs that receive or queue at one time; beyond that the answer is no."""
TURNED_AWAY = 60.0
"""Seconds for which places are kept for who found none."""


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
    jobs: int = 32
    """At one time."""

    def limits(self, ask: Ask) -> Limits:
        """Return what a job gets that asks for this."""
        return Limits(
            cpus=ask.cpus or self.job_cpus,
            memory=ask.memory or self.job_memory,
            timeout=ask.timeout or self.job_timeout,
            disk=self.job_disk,
            output=self.job_output,
            idle=self.idle,
        )

    def excess(self, ask: Ask) -> str:
        """Return what of this no job ever gets, in words that follow the host's name; empty if it gets all."""
        if ask.cpus is not None and ask.cpus > self.job_cpus:
            return f"lends a job at most {self.job_cpus:g} cores, not {ask.cpus:g}"
        if ask.memory is not None and ask.memory > self.job_memory:
            return f"lends a job at most {show_size(self.job_memory)} of memory, not {show_size(ask.memory)}"
        if ask.timeout is not None and ask.timeout > self.job_timeout:
            most = show_duration(self.job_timeout)
            return f"ends jobs after {most}; {show_duration(ask.timeout)} is too long"
        return ""


@dataclass
class Places:
    """The places for waiting jobs. One submitter may have all of them, several have equal shares.

    Who was turned away lately, because all were taken, counts as one who waits: so the next place is theirs.
    """

    _turned_away: dict[PeerId, float] = field(default_factory=dict)
    """When each last found all places taken, though it had less than its share."""

    def lack(self, submitter: PeerId, waiting: Iterable[PeerId], now: float) -> str:
        """Return why this submitter gets no place more, in words that follow the host's name; empty if it does.

        `waiting` are the submitters of the jobs that wait.
        """
        taken = Counter(waiting)
        self._turned_away = {who: at for who, at in self._turned_away.items() if now - at < TURNED_AWAY}
        others = (taken.keys() | self._turned_away.keys()) - {submitter}
        share = -(-MAX_WAITING // (len(others) + 1))
        if others and taken[submitter] >= share:
            return f"has {taken[submitter]} jobs of yours waiting, your share of its {MAX_WAITING} places"
        if taken.total() >= MAX_WAITING:
            if others and len(self._turned_away) < MAX_WAITING:
                self._turned_away[submitter] = now
            return f"has {MAX_WAITING} jobs waiting already"
        self._turned_away.pop(submitter, None)
        return ""
