"""A machine sleeps in mid-job, and wakes: what may go on goes on, whole and once; what may not has ended.

Time asleep is no running time, but it counts for leases. HOMIE_OUTAGE says for how many seconds a machine sleeps.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from asleep import Asleep, asleep
from msgspec import structs
from pair import Node, Pair, runs
from test_killed_submitter import BETWEEN, LINES, check_whole, wait_for_more
from test_retry import rest, until_output

from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import Placed
from homie_core.model.job import How

pytestmark = pytest.mark.docker

ASLEEP = float(os.environ.get("HOMIE_OUTAGE", "5"))
ENDS_MEANWHILE, RUNS_ON = int(ASLEEP / 2 / BETWEEN), int((ASLEEP + 4) / BETWEEN)
"""So many lines are printed in half of that time, or in more than all of it."""
LEASE = 4.0
TURNS = 160
TIMES = """
import sys, time
open("starts", "a").write("x")
with open("times", "a", buffering=1) as file:
    for number in range(int(sys.argv[1])):
        print(number, flush=True)
        file.write(f"{time.time()}\\n")
        time.sleep(0.05)
"""
KINDS = ("docker", "bubblewrap")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(pair_on: Callable[..., Pair], kind: str) -> Iterator[Pair]:
    with pair_on(kind, sandbox_pool="0", container_memory_limit="256m", container_disk_limit="64m") as pair:
        yield pair


@pytest.fixture(scope="module")
def shelf(pair: Pair, kind: str) -> Node:
    """A second choice."""
    limits = {"container_cpu_limit": "0.5", "container_memory_limit": "256m", "container_disk_limit": "64m"}
    return pair.join("shelf", sandbox=kind, sandbox_pool="0", **limits)


@pytest.fixture
def retried(pair: Pair, shelf: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A job that may be started once more: its id, its host, the other one, and its news after its first line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(TIMES)

    def retried(lease: float):
        wish = {"results": tmp_path / "out", "job": new_job_id(), "retry": 1}
        request = request_for_script("script.py", (str(TURNS),), (), **wish)
        news = Client(pair.laptop.home).run(structs.replace(request, lease=lease))
        hosts = [pair.desk, shelf]
        if until_output(news).peer == "shelf":
            hosts.reverse()
        return request.id, *hosts, news

    return retried


@pytest.mark.parametrize(("who", "most"), [("desk", RUNS_ON), ("laptop", ENDS_MEANWHILE), ("laptop", RUNS_ON)])
def test_a_job_goes_on_when_its_host_or_its_submitter_has_slept(pair: Pair, who: str, most: int, tmp_path: Path):
    (tmp_path / "script.py").write_text(f"{LINES}\nwrite({most})")
    out = tmp_path / "out"
    with out.open("wb") as output:
        streams = {"stdout": output, "stderr": subprocess.PIPE, "cwd": tmp_path}
        run = pair.laptop.popen("run", "-n", "desk", "-o", "results", "script.py", **streams)
    with run:
        wait_for_more(out, 1000)
        with asleep(pair.desk if who == "desk" else pair.laptop):
            time.sleep(1)  # what was on its way comes
            had = out.stat().st_size
            time.sleep(ASLEEP - 1)  # what is tested
            assert out.stat().st_size == had, "it slept"
        _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert (tmp_path / "results/starts").read_text() == "x"
    assert (tmp_path / "results/digest").read_text() == check_whole(out.read_bytes())
    assert out.read_bytes().count(b"\n") == most


def test_a_job_whose_lease_is_longer_than_its_hosts_sleep_goes_on_there(retried, tmp_path):
    _, host, _, news = retried(lease=6 * ASLEEP)
    with asleep(host):
        time.sleep(ASLEEP)  # what is tested
    places, out, outcome, files = rest(news)
    assert (places, outcome.how) == ([], How.EXITED)
    numbers = [int(line) for line in out.split()]
    assert numbers == list(range(numbers[0], TURNS))
    assert (tmp_path / "out/starts").read_text() == "x"
    assert sorted(files) == ["starts", "times"]
    assert len((tmp_path / "out/times").read_text().split()) == TURNS


@pytest.mark.parametrize("first", ["runner", "daemon"])
def test_a_job_whose_lease_ran_out_in_its_hosts_sleep_has_ended_when_that_wakes(retried, first: str, tmp_path):
    job, host, other, news = retried(lease=LEASE)
    with asleep(host) as sleeper:
        had = (host.home / "jobs" / job / "box/work/times").read_text()
        again = next(each for each in news if isinstance(each, Placed))
        assert again.peer == other.name
        sleeper.wake(*(sleeper.runners if first == "runner" else [sleeper.daemon]))
        _wait_for_end_of(sleeper, first)
    told = wait_for_log(host, f"job {job} ended: ")
    assert f"job {job} ended: {How.LAPSED.value}" in told
    kept = [file.read_text() for file in (host.home / "jobs" / job / "results").iterdir()]
    assert sorted(kept) == sorted(["x", had]), "it did nothing more"
    _, out, outcome, _ = rest(news)
    assert ([int(line) for line in out.split()], outcome.how) == (list(range(TURNS)), How.EXITED)
    assert (tmp_path / "out/starts").read_text() == "x"


def test_a_job_whose_lease_ran_out_in_its_submitters_sleep_starts_again_elsewhere(pair, retried, tmp_path):
    job, host, other, news = retried(lease=LEASE)
    with asleep(pair.laptop):
        wait_for_log(host, f"job {job} ended: {How.LAPSED.value}")
        ended = time.time()
    (again,), out, outcome, _ = rest(news)
    assert (again.peer, outcome.how) == (other.name, How.EXITED)
    assert [int(line) for line in out.split()] == list(range(TURNS))
    assert (tmp_path / "out/starts").read_text() == "x"
    assert float((tmp_path / "out/times").read_text().split()[0]) > ended, "never in two places"


def _wait_for_end_of(sleeper: Asleep, woken: str) -> None:
    """Wait until what still sleeps has been ended: a program by its runner, or a sandbox by the daemon."""
    left = [psutil.Process(pid) for pid in sleeper.programs if psutil.pid_exists(pid)]
    until = time.monotonic() + 20
    while any(runs(process) for process in left):
        assert time.monotonic() < until, f"its program outlives that its {woken} woke"
        time.sleep(0.01)


def wait_for_log(node: Node, line: str) -> str:
    """Wait until a node has said this; return its log."""
    until = time.monotonic() + 60
    while line not in (log := (node.home / "daemon.log").read_text()):
        assert time.monotonic() < until, f"{node.name} never said: {line}\n{node.log()}"
        time.sleep(0.05)
    return log
