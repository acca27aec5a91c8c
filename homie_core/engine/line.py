"""Whose job is next: the jobs that wait, in an order that is fair between their submitters.

1. Jobs of one submitter start in the order in which they became ready.
2. Of several submitters, the next job is that of the one whose running jobs hold least. What somebody holds is
   measured by the resource of which it is the largest part (dominant resource fairness: Ghodsi et al., NSDI 2011).
   Of equals it is the one whose turn is longest ago: that started a job, or came to wait with none before it.
3. A job that is next and does not fit stays next until it does; the room that it needs gathers. Behind it others
   start only with what it will not need: while it waits for a card, say, those that need neither such a card nor
   the cores kept for it.
4. After `PATIENCE` jobs of others since its turn, a submitter is next whatever it holds.

So a big job is never starved: 3 and 4 bound how many overtake it, whoever they belong to.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from homie_core.engine.room import NOTHING, Parts, added
from homie_core.model.names import JobId, PeerId

PATIENCE = 20


@dataclass
class Line:
    """The ids of the jobs that wait."""

    _waiting: dict[PeerId, dict[JobId, None]] = field(default_factory=dict)
    _turns: dict[PeerId, int] = field(default_factory=dict)
    """How many jobs had started when each had its last turn."""
    _starts: int = 0
    _next: JobId | None = None

    def join(self, job: JobId, submitter: PeerId) -> None:
        """A job waits from now on."""
        if submitter not in self._waiting:
            self._waiting[submitter], self._turns[submitter] = {}, self._starts
        self._waiting[submitter][job] = None

    def leave(self, job: JobId, submitter: PeerId) -> None:
        """It waits no more; harmless if it did not."""
        self._next = None if self._next == job else self._next
        theirs = self._waiting.get(submitter, {})
        theirs.pop(job, None)
        if not theirs:
            self._waiting.pop(submitter, None)
            self._turns.pop(submitter, None)

    def started(self, job: JobId, submitter: PeerId) -> None:
        """It starts: its submitter has had a turn."""
        self._starts += 1
        self._turns[submitter] = self._starts
        self.leave(job, submitter)

    def stay(self, job: JobId) -> None:
        """This job is next until it starts or leaves."""
        self._next = job

    def copy(self) -> Self:
        """Return one in which can be tried what would be."""
        waiting = {submitter: dict(theirs) for submitter, theirs in self._waiting.items()}
        return type(self)(waiting, dict(self._turns), self._starts, self._next)

    def order(self, held: Mapping[PeerId, Parts], parts: Callable[[JobId], Parts]) -> Iterator[JobId]:
        """Yield them as they would start if nothing ended; `held` is what each submitter's jobs hold now."""
        left = {submitter: list(reversed(theirs)) for submitter, theirs in self._waiting.items()}
        holds, turns, starts, first = dict(held), dict(self._turns), self._starts, self._next

        def rank(submitter: PeerId) -> tuple[bool, float, int]:
            is_overdue = starts - turns[submitter] >= PATIENCE
            most = round(max(holds.get(submitter, NOTHING)), 9)
            return not is_overdue, 0.0 if is_overdue else most, turns[submitter]

        while left:
            who = next((each for each in left if left[each][-1] == first), None) or min(left, key=rank)
            job, first, starts = left[who].pop(), None, starts + 1
            yield job
            holds[who], turns[who] = added(holds.get(who, NOTHING), parts(job)), starts
            if not left[who]:
                del left[who]
