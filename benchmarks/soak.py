"""Very many short jobs on one pair of daemons: none is lost, none runs twice, and neither daemon grows.

HOMIE_SOAK_JOBS says how many (1000; the figures of docs/status.md are of more), HOMIE_SOAK_AT_ONCE how many at a
time, HOMIE_SOAK_SANDBOX in what (bubblewrap, docker). Each daemon is compared with itself at rest: its memory at
the end with that after a warm-up, its descriptors at the end with those before the first job. In between it is
looked at as well, at rest and at its most, and that is told on standard error.
"""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from pair import Pair

from benchmarks.pairs import Comparison, Result
from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import Delivered, JobEvent
from homie_core.model.event import Ended, Output, Started
from homie_core.model.job import Ask, How

JOBS = int(os.environ.get("HOMIE_SOAK_JOBS", "1000"))
WARM_UP = 300
"""Jobs at most after which memory and descriptors are looked at first; of fewer jobs, a third."""
LOOKS = (500, 1000, 2000, 5000)
"""Jobs after which they are looked at again."""
AT_ONCE = int(os.environ.get("HOMIE_SOAK_AT_ONCE", "6"))
SANDBOX = os.environ.get("HOMIE_SOAK_SANDBOX", "bubblewrap")
GROWTH = 1.10
"""So many times the memory after the warm-up may be there at the end, at most."""
REST = 40.0
"""Seconds in which connections that are kept for a next request are closed, and memory is given back."""
STILL = 7.0
"""Seconds without a change that are rest: a daemon gives back memory within 5 s of its last job."""
CODE = """
import sys
with open("starts", "a") as file:
    file.write(sys.argv[1] + "\\n")
print(sys.argv[1])
sys.exit(int(sys.argv[1]) % 100)
"""


@dataclass(frozen=True)
class Held:
    """What a daemon holds."""

    memory: int
    """Bytes that are resident."""
    descriptors: int


@dataclass(frozen=True)
class Soak:
    """What came of it."""

    lost: list[str]
    """What is not as it should be of a job: its end, its output or its file."""
    doubled: list[str]
    """What began more than once."""
    seconds: float
    """Without the looks in between."""
    held: dict[int, dict[str, Held]]
    """By how many jobs there had been, and by node: at rest."""
    most: dict[str, int]
    """Bytes that were resident at any end of a job, by node."""

    def check(self) -> None:
        """Raise AssertionError unless it went as it is promised."""
        assert (self.lost, self.doubled) == ([], [])
        first, warm, *_, last = self.held.values()
        for node, at_last in last.items():
            assert at_last.memory < GROWTH * warm[node].memory, (node, self.held)
            assert at_last.descriptors == first[node].descriptors, (node, self.held)


def measure(repeat: int) -> Iterator[Result]:
    """Compare the end with the beginning, and what came with what was sent."""
    found = [soak(JOBS, SANDBOX) for _ in range(repeat)]
    for each in found:
        each.check()
    name, jobs = f"{JOBS} short jobs, {SANDBOX}", (float(JOBS),) * repeat
    yield Comparison(f"{name}: run once and whole", "sent", "jobs", jobs, jobs)
    times = tuple(each.seconds for each in found)
    yield Comparison(f"{name}, {AT_ONCE} at a time", "a minute", "s", times, (60.0,) * repeat)
    _, warm, *later = _looks(JOBS)
    for node, look in itertools.product(("laptop", "desk"), later):
        memory = (tuple(each.held[at][node].memory / 1e6 for each in found) for at in (look, warm))
        yield Comparison(f"{name}: memory of {node} after {look}", f"after {warm}", "MB", *memory)
    for node in ("laptop", "desk"):
        most = tuple(each.most[node] / 1e6 for each in found)
        at_rest = tuple(each.held[warm][node].memory / 1e6 for each in found)
        yield Comparison(f"{name}: memory of {node}, at most", f"at rest after {warm}", "MB", most, at_rest)
        descriptors = (tuple(float(each.held[at][node].descriptors) for each in found) for at in (JOBS, 0))
        yield Comparison(f"{name}: descriptors of {node}", "before the first", "", *descriptors)


def soak(jobs: int, sandbox: str) -> Soak:
    """Run so many jobs on a pair of their own."""
    lost: list[str] = []
    doubled: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Pair(sandbox=sandbox, desk={"container_memory_limit": "128m", "container_disk_limit": "64m"}) as pair,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        script, client = Path(folder) / "job.py", Client(pair.laptop.home)
        script.write_text(CODE)
        daemons = {node.name: psutil.Process(Client(node.home).status().pid) for node in (pair.laptop, pair.desk)}

        def run(number: int) -> None:
            one_lost, one_doubled = _run(client, script, number)
            lost.extend(one_lost)
            doubled.extend(one_doubled)
            for name, held in _look(daemons).items():
                most[name] = max(most.get(name, 0), held.memory)

        pair.desk.wait_until_warm()
        held, most, seconds = {0: _at_rest(daemons)}, dict[str, int](), 0.0
        for before, look in itertools.pairwise(_looks(jobs)):
            began = time.monotonic()
            list(pool.map(run, range(before, look)))
            seconds += time.monotonic() - began
            held[look] = _at_rest(daemons, held[0])
            sys.stderr.write(
                f"{look} jobs in {seconds:.0f} s, {len(lost)} lost, {len(doubled)} doubled: {held[look]}\n"
            )
        return Soak(lost, doubled, seconds, held, most)


def _looks(jobs: int) -> list[int]:
    """Return after how many jobs the daemons are looked at."""
    return [0, min(WARM_UP, jobs // 3), *(look for look in LOOKS if WARM_UP < look < jobs), jobs]


def _run(client: Client, script: Path, number: int) -> tuple[list[str], list[str]]:
    """Run one job; return what is missing or wrong, and what came more than once."""
    results = script.with_name(f"results-{number}")
    ask = Ask(cpus=0.1)
    request = request_for_script(str(script), [str(number)], results=results, job=new_job_id(), ask=ask)
    news = list(client.run(request))
    events = [item.record.event for item in news if isinstance(item, JobEvent)]
    numbers = [item.record.seq for item in news if isinstance(item, JobEvent)]
    output = b"".join(event.data for event in events if isinstance(event, Output))
    ends = [(event.outcome.how, event.outcome.status) for event in events if isinstance(event, Ended)]
    delivered = [item.files for item in news if isinstance(item, Delivered)]
    starts = (results / "starts").read_text() if (results / "starts").exists() else ""
    line, started = f"{number}\n", sum(isinstance(event, Started) for event in events)
    whole = (
        (ends == [(How.EXITED, number % 100)])
        and numbers == list(range(1, len(numbers) + 1))
        and line.encode() in output
        and line in starts
        and delivered == [("starts",)]
    )
    once = started <= 1 and output.count(line.encode()) <= 1 and starts.count(line) <= 1
    story = f"{number}: {news}"
    return ([] if whole else [story]), ([] if once else [story])


def _at_rest(daemons: dict[str, psutil.Process], before: dict[str, Held] | None = None) -> dict[str, Held]:
    """Return what they hold once they let go of nothing more.

    What they have more of than before gets `REST` to be let go.
    """
    began, changed, held = time.monotonic(), time.monotonic(), _look(daemons)
    while (now := time.monotonic()) < began + REST:
        still = now > changed + STILL
        if still and all(one.descriptors <= before[name].descriptors for name, one in held.items() if before):
            break
        time.sleep(0.2)
        before_now, held = held, _look(daemons)
        if any(_less(held[name], one) for name, one in before_now.items()):
            changed = now
    return held


def _less(now: Held, before: Held) -> bool:
    return now.memory < 0.99 * before.memory or now.descriptors < before.descriptors


def _look(daemons: dict[str, psutil.Process]) -> dict[str, Held]:
    return {name: Held(one.memory_info().rss, one.num_fds()) for name, one in daemons.items()}
