"""`--retry`: a job whose host is lost starts again elsewhere, and never runs in two places."""

import contextlib
import subprocess
from pathlib import Path

import docker
import psutil
import pytest
from msgspec import structs
from pair import Pair
from waiting import wait_until

from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import Delivered, JobEvent, Placed
from homie_core.model.event import Ended, Output
from homie_core.model.job import How

pytestmark = pytest.mark.docker

SCRIPT = """
import sys, time
with open("times", "a", buffering=1) as file:
    for number in range(int(sys.argv[1])):
        print(number, flush=True)
        file.write(f"{time.time()}\\n")
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def pair(base_image: str):
    with Pair(desk={"sandbox_pool": "0"}) as pair:
        pair.shelf = pair.join("shelf", sandbox_pool="0", container_cpu_limit="0.5")  # second choice
        yield pair


@pytest.fixture
def job(pair, tmp_path, monkeypatch):
    """News of a job that may be started once more, and runs for so many turns."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)

    def job(turns: int, node: str | None = None):
        request = request_for_script(
            "script.py", (str(turns),), (), results=tmp_path / "out", job=new_job_id(), node=node, retry=1
        )
        return Client(pair.laptop.home).run(structs.replace(request, lease=4.0))

    return job


def until_output(news):
    for each in news:
        if isinstance(each, Placed):
            placed = each
        if isinstance(each, JobEvent) and isinstance(each.record.event, Output):
            return placed
    raise AssertionError("it ended without a word")


def rest(news):
    """Return where it ran again, what that printed, how it ended, and its files."""
    places, out, outcome, files = [], "", None, ()
    for each in news:
        match each:
            case Placed():
                places.append(each)
                out = ""
            case Delivered():
                files = each.files
            case JobEvent(record=record) if isinstance(record.event, Output):
                out += record.event.data.decode()
            case JobEvent(record=record) if isinstance(record.event, Ended):
                outcome = record.event.outcome
    return places, out, outcome, files


def test_a_host_that_says_it_lost_the_job_is_replaced_at_once(pair, job, tmp_path):
    news = job(60)
    placed = until_output(news)
    host = pair.desk if placed.peer == "desk" else pair.shelf
    label = f"homie.node={Client(host.home).status().id}"
    with contextlib.closing(docker.from_env()) as engine:
        for container in engine.containers.list(filters={"label": label}):
            container.remove(force=True)
    (again,), out, outcome, files = rest(news)
    assert {placed.peer, again.peer} == {"desk", "shelf"}
    assert again.why == f"{placed.peer} is lost; it starts again, from its beginning"
    assert out == "".join(f"{number}\n" for number in range(60))
    assert (outcome.how, files) == (How.EXITED, ("times",))
    assert len((tmp_path / "out/times").read_text().splitlines()) == 60


def test_a_host_that_falls_silent_is_replaced_when_its_job_has_surely_ended(pair, job, tmp_path):
    news = job(100)
    placed = until_output(news)
    host = pair.desk if placed.peer == "desk" else pair.shelf
    (times,) = host.home.glob("jobs/*/box/work/times")
    daemon = psutil.Process(Client(host.home).status().pid)
    daemon.kill()  # its sandbox goes on
    daemon.wait(10)
    (again,), out, outcome, _ = rest(news)
    assert again.peer != placed.peer
    assert (out, outcome.how) == ("".join(f"{number}\n" for number in range(100)), How.EXITED)
    before, after = times.read_text().split(), (tmp_path / "out/times").read_text().split()
    assert len(before) > 60, "it ran on for as long as its lease"
    assert float(before[-1]) < float(after[0]), "never in two places"
    host.homie("up")
    wait_until(lambda: not Client(host.home).jobs(), "its host still holds it", 30)


def test_a_job_that_fails_by_itself_is_not_started_again(pair, tmp_path):
    (tmp_path / "script.py").write_text("open('starts', 'a').write('x'); raise SystemExit(3)")
    done = subprocess.run(
        [*pair.laptop._command, "run", "--retry", "2", "-o", "out", "script.py"],
        env=pair.laptop.env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "out/starts").read_text() == "x"


def test_with_nobody_else_there_the_end_is_told(pair, tmp_path):
    path: Path = tmp_path / "script.py"
    path.write_text("import time; print('on', flush=True); time.sleep(60)")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with pair.laptop.popen("run", "--retry", "2", "-n", "desk", "script.py", **streams) as run:
        assert run.stdout.readline() == "on\n"
        label = f"homie.node={Client(pair.desk.home).status().id}"
        with contextlib.closing(docker.from_env()) as engine:
            for container in engine.containers.list(filters={"label": label}):
                container.remove(force=True)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 137
    assert "killed: someone on desk ended its sandbox" in err
