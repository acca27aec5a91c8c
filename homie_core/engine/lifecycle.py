"""The life of a job: one table of moves, one function that makes them.

    accepted        queued            started            exited              ended
    ────────▶ RECEIVING ───▶ QUEUED ─────────▶ RUNNING ─────────▶ COLLECTING ──────▶ ENDED
                   └───────────────────────────▲ (room at once)

`Ended` may come in every state (stopped, evicted, expired, lost). Host, submitter and every list of jobs
replay the same events through `advance`, so they cannot disagree.
"""

from dataclasses import dataclass, replace
from typing import get_args

from homie_core.model.errors import IllegalTransition
from homie_core.model.event import (
    Accepted,
    Collected,
    Ended,
    Event,
    Exited,
    Output,
    Queued,
    SessionEvent,
    Started,
)
from homie_core.model.job import How, JobSpec, Limits, Outcome, State
from homie_core.model.names import PeerId
from homie_core.model.quantity import show_duration, show_size

SIGKILLED = 128 + 9
"""The exit code of a sandbox that did not end by itself."""

NEXT: dict[tuple[State, type[Event]], State] = {
    (State.RECEIVING, Queued): State.QUEUED,
    (State.QUEUED, Queued): State.QUEUED,
    (State.RECEIVING, Started): State.RUNNING,
    (State.QUEUED, Started): State.RUNNING,
    (State.RUNNING, Output): State.RUNNING,
    **{(State.RUNNING, kind): State.RUNNING for kind in get_args(SessionEvent)},
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


def state_after(event: Event) -> State:
    """Return where a job is after this event: each kind of event leads to one state, whatever came before."""
    return _LEADS_TO[type(event)]


_LEADS_TO: dict[type[Event], State] = {
    Accepted: State.RECEIVING,
    **{kind: state for (_, kind), state in NEXT.items()},
}


def accept(spec: JobSpec, submitter: PeerId, event: Accepted) -> Job:
    """Return the job that begins with this event."""
    return Job(spec=spec, submitter=submitter, limits=event.limits)


def advance(job: Job, event: Event) -> Job:
    """Return the job after the event; raise IllegalTransition if it cannot happen now."""
    state = NEXT.get((job.state, type(event)))
    if state is None:
        story = f"job {job.spec.id} is {job.state.value}" + (f" ({job.outcome.how.value})" if job.outcome else "")
        raise IllegalTransition(f"{story}; {type(event).__name__} cannot happen to it")
    if isinstance(event, Ended):
        return replace(job, state=state, outcome=event.outcome)
    return replace(job, state=state)


def judge(
    status: int | None,
    *,
    deadline: bool,
    lapsed: bool = False,
    out_of_memory: bool,
    ended_by: How | None,
    limits: Limits,
    exit_code: int | None = None,
    last_words: str = "",
    engine_left: bool = False,
) -> Outcome:
    """Return how a program ended, from what its runner and its sandbox say.

    `status` is the runner's word (None: it never said), `deadline` and `lapsed` too; `out_of_memory` the kernel's;
    `ended_by` why the host ended it, if it did; `exit_code` the sandbox's (None: nobody knows it any more), with
    its `last_words`; `engine_left` whether its engine was away meanwhile. A status is given in every case, for
    shells: 124 deadline, 137 memory, 153 (SIGXFSZ) output and disk, as usual.
    """
    if deadline or ended_by is How.DEADLINE:
        return Outcome(how=How.DEADLINE, status=124, detail=f"it ran longer than {show_duration(limits.timeout)}")
    if lapsed or ended_by is How.LAPSED:
        return Outcome(how=How.LAPSED, status=1, detail="nobody renewed its lease")
    if ended_by is How.OUTPUT:
        return Outcome(how=ended_by, status=153, detail=f"it wrote more than {show_size(limits.output)} of output")
    if ended_by is How.DISK:
        return Outcome(how=ended_by, status=153, detail=f"it was lent {show_size(limits.disk)} of disk")
    if ended_by is not None:
        return Outcome(how=ended_by, status=status or 130)
    if out_of_memory and status != 0:
        return Outcome(how=How.MEMORY, status=status or 137, detail=f"it was lent {show_size(limits.memory)}")
    if status is not None:
        return Outcome(how=How.EXITED, status=status)
    if engine_left:
        return Outcome(how=How.LOST, status=1, detail="its engine was stopped or restarted, and the job with it")
    if exit_code == SIGKILLED:
        return Outcome(how=How.KILLED, status=SIGKILLED, detail="its sandbox was ended by SIGKILL")
    if exit_code is None:
        return Outcome(how=How.LOST, status=1, detail="its engine does not know it any more")
    why = f": {last_words}" if last_words else ""
    return Outcome(how=How.LOST, status=1, detail=f"its runner ended with status {exit_code}{why}"[:2000])
