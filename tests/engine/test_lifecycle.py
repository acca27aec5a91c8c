import itertools

import pytest

from homie_core.engine.lifecycle import NEXT, accept, advance, judge
from homie_core.model.errors import IllegalTransition
from homie_core.model.event import Accepted, Collected, Ended, Exited, Messages, Output, Queued, Started
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits, Outcome, State
from homie_core.model.names import Digest, FileName, JobId, PeerId

LIMITS = Limits(cpus=1, memory=1 << 30, timeout=60)
DONE = Outcome(how=How.EXITED, status=0)
SPEC = JobSpec(
    id=JobId("0" * 12),
    kind=Kind.SCRIPT,
    entry=FileName("a.py"),
    files=(FileRef(name=FileName("a.py"), digest=Digest("0" * 64), size=1),),
)
EVENTS = [
    Queued(position=1, reason=""),
    Started(sandbox="x"),
    Output(stream=1, data=b""),
    Messages(data=b""),
    Exited(outcome=DONE),
    Collected(files=()),
    Ended(outcome=DONE),
]


def life(*events):
    job = accept(SPEC, PeerId("a" * 64), Accepted(limits=LIMITS, missing=()))
    for event in events:
        job = advance(job, event)
    return job


def test_a_whole_life():
    queued, started, output, _, exited, collected, ended = EVENTS
    job = life(queued, queued, started, output, output, exited, collected, ended)
    assert (job.state, job.outcome) == (State.ENDED, DONE)


def test_nothing_happens_after_the_end():
    for event in EVENTS:
        with pytest.raises(IllegalTransition, match="is ended"):
            life(Ended(outcome=DONE), event)


def test_output_before_the_start_or_after_the_exit_is_illegal():
    started, output, exited = EVENTS[1], EVENTS[2], EVENTS[4]
    with pytest.raises(IllegalTransition):
        life(output)
    with pytest.raises(IllegalTransition):
        life(started, exited, output)


def test_every_path_of_the_table_can_end_and_ends_once():
    for events in itertools.product(EVENTS, repeat=3):
        try:
            job = life(*events)
        except IllegalTransition:
            continue
        if job.state is not State.ENDED:
            assert advance(job, Ended(outcome=DONE)).state is State.ENDED
    assert all(state is not State.ENDED for state, _ in NEXT)


@pytest.mark.parametrize(
    ("status", "deadline", "oom", "ended_by", "how", "shown"),
    [
        (0, False, False, None, How.EXITED, 0),
        (3, False, False, None, How.EXITED, 3),
        (143, True, False, None, How.DEADLINE, 124),
        (None, False, False, How.DEADLINE, How.DEADLINE, 124),
        (137, False, True, None, How.MEMORY, 137),
        (None, False, True, None, How.MEMORY, 137),
        (0, False, True, None, How.EXITED, 0),  # a child was killed, the program coped
        (130, False, False, How.STOPPED, How.STOPPED, 130),
        (None, False, False, How.EVICTED, How.EVICTED, 130),
        (None, False, False, None, How.LOST, 1),  # never "out of memory" without the kernel's word
    ],
)
def test_how_it_ended(status, deadline, oom, ended_by, how, shown):
    outcome = judge(status, deadline=deadline, out_of_memory=oom, ended_by=ended_by, limits=LIMITS)
    assert (outcome.how, outcome.status) == (how, shown)


@pytest.mark.parametrize(
    ("ended_by", "exit_code", "how", "shown", "detail"),
    [
        (How.OUTPUT, 137, How.OUTPUT, 153, "it wrote more than 1.0 GB of output"),
        (How.DISK, 137, How.DISK, 153, "it was lent 10 GB of disk"),
        (None, 137, How.KILLED, 137, "SIGKILL"),
        (None, None, How.LOST, 1, "engine does not know it"),
        (None, 70, How.LOST, 1, "its runner ended with status 70: no space"),
        (How.STOPPED, 137, How.STOPPED, 130, ""),
    ],
)
def test_a_runner_that_had_no_last_word(ended_by, exit_code, how, shown, detail):
    outcome = judge(
        None,
        deadline=False,
        out_of_memory=False,
        ended_by=ended_by,
        limits=LIMITS,
        exit_code=exit_code,
        last_words="no space",
    )
    assert (outcome.how, outcome.status) == (how, shown)
    assert detail in outcome.detail
