"""Whole scripts that use the API, run as people run them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pair import Pair

import homie_core as homie
from homie_core.model.job import How, Outcome

pytestmark = pytest.mark.docker

MODULE = """
FACTOR = 3

class Thing:
    def __init__(self, x):
        self.x = x

def times(thing):
    return thing.x * FACTOR
"""
SCRIPT = """
import homie_core as homie
import mine
from mine import times

@homie.remote
def both(x):
    return times(mine.Thing(x)) + mine.FACTOR

if __name__ == "__main__":
    print(both(2), homie.run(times, mine.Thing(5)), list(homie.map(times, [mine.Thing(1)], cpus=0.5, ram="256m")))
"""
SLEEPS = """
import time, homie_core as homie

def sleeps():
    print("asleep", flush=True)
    time.sleep(1000)

homie.run(sleeps)
"""


@pytest.fixture
def script(pair: Pair, tmp_path):
    def start(text: str) -> "subprocess.Popen[str]":
        (tmp_path / "script.py").write_text(text)
        env = {**os.environ, "HOMIE_HOME": str(pair.laptop.home)}
        return subprocess.Popen(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def test_modules_that_lie_beside_a_script_go_with_its_functions(script, tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    out, err = script(SCRIPT).communicate(timeout=60)
    assert (out, err) == ("9 15 [3]\n", "")


def test_a_script_that_ends_leaves_nothing_running(script, pair: Pair):
    out, _ = script("import homie_core as homie\nprint(homie.run(abs, -1))").communicate(timeout=60)
    assert out == "1\n"
    _wait_for_rest(pair)


def test_the_stop_button_ends_a_call(script, pair: Pair):
    process = script(SLEEPS)
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    _wait_for_rest(pair)


def _wait_for_rest(pair: Pair) -> None:
    until = time.monotonic() + 20
    while running := [
        job for job in json.loads(pair.laptop.homie("jobs", "--json").stdout) if job["state"] == "running"
    ]:
        assert time.monotonic() < until, running
        time.sleep(0.1)


def test_a_script_that_nobody_waited_for(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('hello')\nopen('made.txt', 'w').write('made')\ninput()")
    job = pair.laptop.homie("run", "-d", "-n", "desk", str(tmp_path / "script.py")).stdout.strip()
    pair.laptop.homie("logs", "-f", job)
    (view,) = [view for view in homie.jobs() if view.id == job]
    assert (view.title, view.peer, view.outcome) == ("script.py", "desk", Outcome(how=How.EXITED, status=1))
    said = homie.logs(job[:8])
    assert "hello\n" in said
    assert "EOFError" in said, "nobody can be asked"
    assert homie.get(job[:8], tmp_path / "here") == [tmp_path / "here" / "made.txt"]
    assert job not in [view.id for view in homie.jobs()]
    assert job in [view.id for view in homie.jobs(ended=True)]
    (tmp_path / "long.py").write_text("import time\ntime.sleep(1000)")
    job = pair.laptop.homie("run", "-d", "-n", "desk", str(tmp_path / "long.py")).stdout.strip()
    with pytest.raises(homie.HomieError, match=f"`homie attach {job}` waits for its end"):
        homie.get(job)
    homie.cancel(job)
    pair.laptop.homie("logs", "-f", job)
    assert {view.id: view.outcome for view in homie.jobs(ended=True)}[job].how is How.STOPPED
