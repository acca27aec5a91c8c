"""Jobs that nobody waits for, on two real nodes: listed, looked at, attached to, fetched and cancelled."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pair import Pair
from waiting import wait_until

from homie_core.client import Client

pytestmark = pytest.mark.docker

SCRIPT = """
import os, pathlib, sys, time
print("one", flush=True)
print("oh", file=sys.stderr, flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
os.remove("go")
print("two", flush=True)
pathlib.Path("made.txt").write_text("made")
raise SystemExit(3)
"""


@pytest.fixture(scope="module")
def pair(pair_on: Callable[..., Pair]) -> Iterator[Pair]:
    with pair_on("docker", max_jobs="1", sandbox_pool="0") as pair:
        yield pair


@pytest.fixture
def at_laptop(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def sent(pair: Pair) -> str:
    done = pair.laptop.homie("run", "-d", "-n", "desk", "script.py")
    assert done.stderr == ""
    return str(done.stdout.strip())


def go(pair: Pair, job: str) -> None:
    """Let a script go on."""
    script = "jobs/*/box/work/script.py"
    wait_until(lambda: [*pair.desk.home.glob(script)], f"{job} has no folder", 40.0)
    (work,) = pair.desk.home.glob("jobs/*/box/work")
    (work / "go").touch()


def listed(pair: Pair, *options: str) -> dict[str, dict[str, Any]]:
    said = json.loads(pair.laptop.homie("jobs", "--json", *options).stdout)
    return {view["id"]: view for view in said}


def comes_to(pair: Pair, job: str, state: str) -> None:
    client = Client(pair.laptop.home)

    def is_there() -> bool:
        found = client.job(job).state
        return found is not None and found.value == state

    wait_until(is_there, f"{job} is not {state}", 40.0)


def test_from_its_id_to_its_files(pair: Pair, at_laptop: Path) -> None:
    homie, job = pair.laptop.homie, sent(pair)
    wait_until(lambda: homie("logs", job[:4]).stdout == "one\n", "nothing is heard of it", 40.0)
    view = listed(pair)[job]
    assert (view["state"], view["title"], view["peer"], view["mine"]) == ("running", "script.py", "desk", True)
    assert homie("logs", job).stderr == "oh\n"
    early = homie("get", job, check=False)
    assert (early.returncode, early.stderr) == (
        1,
        f"homie: job {job} is running; `homie attach {job}` waits for its end\n",
    )
    with pair.laptop.popen("logs", "-f", job, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout.readline() == "one\n"
        go(pair, job)
        assert following.stdout.read() == "two\n"
    assert following.returncode == 0
    view = listed(pair)[job]
    assert (view["state"], view["outcome"]["status"], view["results"]) == ("ended", 3, ""), "nobody has its files"
    assert homie("get", job).stderr == f"homie: results in homie-results/{job}/: made.txt\n"
    assert (at_laptop / "homie-results" / job / "made.txt").read_text() == "made"
    assert job not in listed(pair)
    assert listed(pair, "-a")[job]["results"] == str(at_laptop / "homie-results" / job)
    assert homie("logs", job).stdout == "one\ntwo\n", "its output stays at its host"
    again = homie("get", job, check=False)
    assert (again.returncode, "already; name another folder" in again.stderr) == (1, True)
    homie("get", "-o", "elsewhere", job)
    assert (at_laptop / "elsewhere/made.txt").read_text() == "made"
    attached = homie("attach", "-o", "third", job, check=False)
    assert (attached.returncode, attached.stdout) == (3, "one\ntwo\n")
    assert (at_laptop / "third/made.txt").read_text() == "made"
    gone = homie("logs", job, check=False)
    assert (gone.returncode, "what was fetched" in gone.stderr) == (1, True), "who attached has everything"


def test_the_one_that_waits_says_for_what_and_is_cancelled(pair: Pair, at_laptop: Path) -> None:
    first, second = sent(pair), sent(pair)
    comes_to(pair, first, "running")
    assert listed(pair)[second]["state"] == "queued"
    assert listed(pair)[second]["note"].startswith("place 1: ")
    assert "queued, place 1" in pair.laptop.homie("jobs").stdout
    pair.laptop.homie("cancel", second, first)
    comes_to(pair, first, "ended")
    comes_to(pair, second, "ended")
    assert {first, second} & listed(pair).keys() == set(), "who cancels a job knows its end"
    assert {listed(pair, "-a")[job]["outcome"]["how"] for job in (first, second)} == {"stopped"}


def test_two_that_begin_alike_are_named(pair: Pair, at_laptop: Path) -> None:
    ids = list(listed(pair, "-a"))
    start = next(c for c in "0123456789abcdef" if c not in [id[0] for id in ids])
    none = pair.laptop.homie("logs", start, check=False)
    assert none.stderr == f"homie: no job of yours begins with {start}; `homie jobs -a` lists them\n"
    client, wanted = Client(pair.laptop.home), []
    while len({id[0] for id in wanted}) == len(wanted):
        job = sent(pair)
        client.stop(client.job(job).id)
        wanted.append(job)
    twice = next(id[0] for id in wanted if id[0] == wanted[-1][0])
    two = pair.laptop.homie("logs", twice, check=False)
    assert two.returncode == 1
    assert f"more than one job of yours begins with {twice}: " in two.stderr
    assert wanted[-1] in two.stderr


def test_a_job_of_an_earlier_life_of_the_daemon(pair: Pair, at_laptop: Path) -> None:
    job = sent(pair)
    daemon = psutil.Process(Client(pair.laptop.home).status().pid)
    daemon.kill()
    daemon.wait(10)
    pair.laptop.homie("up")
    pair.wait_until_found()
    comes_to(pair, job, "running")
    go(pair, job)
    comes_to(pair, job, "ended")
    assert listed(pair)[job]["outcome"]["status"] == 3
    pair.laptop.homie("get", job)
    assert (at_laptop / "homie-results" / job / "made.txt").read_text() == "made"


def test_a_host_that_is_away(pair: Pair, at_laptop: Path) -> None:
    job = sent(pair)
    comes_to(pair, job, "running")
    daemon = psutil.Process(Client(pair.desk.home).status().pid)
    with pair.laptop.popen("logs", "-f", job, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout.readline() == "one\n"
        daemon.kill()
        daemon.wait(10)
        view = listed(pair)[job]
        assert view["state"] is None
        assert view["note"]
        assert "not known: " in pair.laptop.homie("jobs").stdout
        refused = pair.laptop.homie("cancel", job, check=False)
        assert refused.returncode == 1
        pair.desk.homie("up")
        pair.wait_until_found()
        comes_to(pair, job, "running")
        go(pair, job)
        assert following.stdout.read() == "two\n", "it went on by itself"
    pair.laptop.homie("get", job)
