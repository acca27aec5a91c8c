"""Code that is cancelled, or whose time is up, ends though it does not want to, and never starts again."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pair import Pair
from test_killed_daemon import OF_KIND, left

from homie_core.client import Client

pytestmark = pytest.mark.docker

STUBBORN = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
open("starts", "a").write("x")
open("grows", "a").close()
print("on", flush=True)
if os.fork() == 0:
    os.setsid()
while True:
    with open("grows", "a") as file:
        file.write("x" * 100)
    time.sleep(0.01)
"""


@pytest.fixture(scope="module", params=OF_KIND)
def pair(request: pytest.FixtureRequest, pair_on: Callable[..., Pair]) -> Iterator[Pair]:
    with pair_on(request.param, sandbox_pool="0") as pair:
        yield pair


@pytest.mark.parametrize("way", ["cancel", "deadline"])
def test_it_ends_within_two_seconds_and_for_good(pair: Pair, way: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(STUBBORN)
    options = ["--timeout", "3s"] if way == "deadline" else []
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with pair.laptop.popen("run", *options, "-o", "out", "script.py", **streams) as job:
        assert job.stdout.readline() == "on\n"
        began = time.monotonic()
        (file,) = pair.desk.home.glob("jobs/*/box/work/grows")
        if way == "cancel":
            (view,) = Client(pair.laptop.home).jobs()
            Client(pair.laptop.home).stop(view.id)
        else:
            time.sleep(max(0.0, began + 3 - time.monotonic()))  # the time that it was given
        time.sleep(2)  # what is promised
        sizes = [file.stat().st_size] if file.exists() else []
        job.communicate(timeout=30)
        assert job.returncode == {"cancel": 130, "deadline": 124}[way]
    sizes.append((tmp_path / "out/grows").stat().st_size)
    assert len(set(sizes)) == 1, "it went on to write"
    daemon = psutil.Process(Client(pair.desk.home).status().pid)
    daemon.kill()
    daemon.wait(10)
    pair.desk.homie("up")
    assert (tmp_path / "out/starts").read_text() == "x"
    assert left(pair.desk) == []
    pair.wait_until_found()
