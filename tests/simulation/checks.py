"""What must be true of a simulated LAN: at every moment, after healing, and when all has ended."""

from typing import Any

from nodes import LENT, Node
from people import Front
from programs import Deed, Run

from homie_core.model.job import How, State
from homie_core.runner.frames import STDERR, STDOUT

NO_RUN = Run(None, 0.0)  # type: ignore[arg-type]
"""What a job did whose program was not started."""
UNEXPLAINED = (How.LOST, How.FAILED, How.KILLED, How.EVICTED)
"""Ends that need something to have happened to the job's host."""


def books(node: Node) -> list[str]:
    """Accepted is queued, running or ended, each job once; nobody holds more than is lent."""
    wrong = []
    admission = node.hosting.admission
    for id, hosted in node.hosting._jobs.items():
        places = sum(id in place for place in (admission.receiving, admission.queue, admission.running))
        if places != (hosted.job.state is not State.ENDED):
            wrong.append(f"{node.name}: job {id} is {hosted.job.state.value}, but in {places} places")
    held = {*admission.receiving, *admission.queue, *admission.running}
    wrong += [f"{node.name}: room is held for {id}, which is no job" for id in held - set(node.hosting._jobs)]
    cpus = sum(claim.limits.cpus for claim in admission.running.values())
    memory = sum(claim.limits.memory for claim in admission.running.values())
    if cpus > LENT.cpus + 1e-9 or memory > LENT.memory:
        wrong.append(f"{node.name}: {cpus} cores and {memory} bytes are reserved")
    if not (0 <= admission.free_cpus <= LENT.cpus and 0 <= admission.free_memory <= LENT.memory):
        wrong.append(f"{node.name}: {admission.free_cpus} cores and {admission.free_memory} bytes are free")
    return wrong


def used(node: Node) -> list[str]:
    """Programs together have no more than their machine lends, whoever started them."""
    alive = [cell for cell in node.machine.cells.values() if cell.program_runs]
    cpus = sum(cell.runner.child.cpus for cell in alive)
    return [f"{node.name}: programs use {cpus} cores"] if cpus > LENT.cpus + 1e-9 else []


def seen(nodes: list[Node]) -> list[str]:
    """Everyone sees everyone."""
    everyone = {node.id for node in nodes}
    return [
        f"{node.name} does not see {len(missing)} of {len(everyone)} nodes after healing"
        for node in nodes
        if (missing := everyone - {peer.id for peer in node.table.online()} - {node.id})
    ]


def left(node: Node) -> list[str]:
    """Nothing is left of jobs on a node but what its submitters have not fetched."""
    hosting, machine = node.hosting, node.machine
    admission = hosting.admission
    wrong = [f"{job.job.spec.id} is still {job.job.state.value}" for job in hosting.jobs()]
    wrong += [f"{job} is still cared for" for job in node.runs.care._moves]
    if admission.running or admission.queue or admission.receiving:
        wrong.append("capacity is still held")
    waiting = set(hosting._pool._ready) if hosting._pool else set()
    wrong += [f"sandbox {job} is left" for job in machine.cells if job not in waiting]
    for folder in (machine.folder / "jobs").glob("*"):
        names = {path.name for path in folder.iterdir()} - {"events", "results", "stamps"}
        if folder.name not in hosting._jobs or names:
            wrong.append(f"the folder of {folder.name} is left with {sorted(names)}")
    wrong += [f"{path} is left" for path in (machine.folder / "pool").glob("*") if path.name not in waiting]
    return [f"{node.name}: {each}" for each in wrong]


def runs(front: Front, deed: Deed | None) -> list[str]:
    """A job is started once, or again on another machine as often as it may be, and never runs twice at once."""
    if deed is None:
        return []
    wrong, names = [], [run.machine.name for run in deed.runs]
    if len(names) > 1 + front.request.retry or len(set(names)) < len(names):
        wrong.append(f"was started on {names}, and may be started again {front.request.retry} times")
    if deed.twice:
        wrong.append(f"ran in two places {deed.twice}")
    if front.stopped_at is not None and any(run.at > front.stopped_at + 1.0 for run in deed.runs):
        wrong.append(f"was stopped at {front.stopped_at:.2f}, and started again")
    if front.concluded_at is not None and any(run.at > front.concluded_at for run in deed.runs):
        wrong.append(f"was started again, though its end was heard at {front.concluded_at:.2f}")
    return [f"{front.job} {each}" for each in wrong]


def story(front: Front, deed: Deed | None, explained: bool, disturbed: bool) -> list[str]:
    """What a submitter has heard is what happened.

    `explained`: something was done to its job, or its host; `disturbed`: or it may not have been heard for long.
    """
    if not front.concluded:
        return [f"{front.job} of {front.node.name}: its end was not heard (placed at {front.placed})"]
    if front.outcome is None:
        if front.request.retry and disturbed and not (deed and any(run.status is not None for run in deed.runs)):
            return []  # its submitter ended while it moved it, and nobody had it then
        if deed:
            return [f"{front.job} was run, and its end was not heard: {front.gone}"]
        return [f"{front.job} was accepted, and is not known: {front.gone}"] if front.placed else []
    run = (deed and deed.on(front.host)) or NO_RUN
    wrong = _told(front, run, front.outcome, explained or (front.request.retry > 0 and disturbed))
    if front.outcome.how is How.STOPPED and front.placed and not front.to_be_stopped:
        wrong.append("was stopped, and nobody asked for that")
    if front.request.retry and not disturbed:
        if deed and len(deed.runs) > 1:
            wrong.append("was started again, and nothing happened")
        if front.outcome.how is How.LAPSED:
            wrong.append("has lapsed, and nothing happened")
    return [f"{front.job} {each}" for each in wrong]


def _told(front: Front, run: Run, outcome: Any, explained: bool) -> list[str]:
    wrong = []
    for stream, kind in ((1, STDOUT), (2, STDERR)):
        read, wrote = front.read[stream], run.written[kind]
        if read != (wrote if outcome.how is How.EXITED else wrote[: len(read)]):
            wrong.append(f"wrote {len(wrote)} bytes to {stream}, and {len(read)} came ({outcome.how.value})")
    if outcome.how is How.EXITED and (found := front.results()) != run.results:
        wrong.append(f"made {run.results}, and {found} came")
    if explained:
        return wrong
    if outcome.how is How.FAILED and run is NO_RUN and _is_full(outcome.detail):
        return wrong
    if outcome.how in UNEXPLAINED:
        wrong.append(f"is {outcome}, and nothing happened to it")
    if outcome.how is How.EXPIRED and front.uploaded:
        wrong.append("had all its files, and was given up for want of them")
    exited = run.status is not None and not run.killed
    ended = outcome.how, outcome.status
    if exited and outcome.how not in (How.OUTPUT, How.DEADLINE) and ended != (How.EXITED, run.status):
        wrong.append(f"exited with {run.status}, and is said to be {outcome}")
    return wrong


def _is_full(detail: str) -> bool:
    """Whether this is the reason of a job that could not be started because its host's disk was full."""
    return any(words in detail for words in ("No space left on device", "is full", "do not fit"))
