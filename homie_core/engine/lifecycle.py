"""The life of a job: one table of moves, one function that makes them.

    accepted        queued            started            exited              ended
    ────────▶ RECEIVING ───▶ QUEUED ─────────▶ RUNNING ─────────▶ COLLECTING ──────▶ ENDED
                   └───────────────────────────▲ (room at once)

`Ended` may come in every state (stopped, evicted, expired, lost). Host, submitter and every list of jobs
replay the same events through `advance`, so they cannot disagree.
"""

from dataclasses import dataclass, replace

from homie_core.model.errors import IllegalTransition
from homie_core.model.event import Accepted, Collected, Ended, Event, Exited, Output, Queued, Raised, Started
from homie_core.model.job import JobSpec, Limits, Outcome, State
from homie_core.model.names import PeerId

NEXT: dict[tuple[State, type[Event]], State] = {
    (State.RECEIVING, Queued): State.QUEUED,
    (State.QUEUED, Queued): State.QUEUED,
    (State.RECEIVING, Started): State.RUNNING,
    (State.QUEUED, Started): State.RUNNING,
    (State.RUNNING, Output): State.RUNNING,
    (State.RUNNING, Raised): State.RUNNING,
    (State.RUNNING, Exited): State.COLLECTING,
    (State.COLLECTING, Collected): State.COLLECTING,
    (State.RECEIVING, Ended): State.ENDED,
    (State.QUEUED, Ended): State.ENDED,
    (State.RUNNING, Ended): State.ENDED,
    (State.COLLECTING, Ended): State.ENDED,
}


@dataclass(frozen=True)
class Job:
    """A job as its events tell it."""

    spec: JobSpec
    submitter: PeerId
    limits: Limits
    state: State = State.RECEIVING
    outcome: Outcome | None = None


def accept(spec: JobSpec, submitter: PeerId, event: Accepted) -> Job:
    """Return the job that begins with this event."""
    return Job(spec=spec, submitter=submitter, limits=event.limits)


def advance(job: Job, event: Event) -> Job:
    """Return the job after the event; raise IllegalTransition if it cannot happen now."""
    state = NEXT.get((job.state, type(event)))
    if state is None:
        story = f"job {job.spec.id} is {job.state.value}" + (
            f" ({job.outcome.how.value})" if job.outcome else ""
        )
        raise IllegalTransition(f"{story}; {type(event).__name__} cannot happen to it")
    if isinstance(event, Ended):
        return replace(job, state=state, outcome=event.outcome)
    return replace(job, state=state)
