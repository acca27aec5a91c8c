"""The host's daemon is killed at random, again and again, while many jobs run: all goes on, complete and once.

HOMIE_KILLS says how often (CI: 2), HOMIE_KILLED_JOBS how many jobs run (CI: 8); 50 and 20 for the figures in
docs/status.md.
"""

import contextlib
import hashlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pair import Pair
from test_killed_daemon import OF_KIND, left

from homie_core.client import Client

pytestmark = pytest.mark.docker

KILLS = int(os.environ.get("HOMIE_KILLS", "2"))
JOBS = int(os.environ.get("HOMIE_KILLED_JOBS", "8"))
SEED = int(os.environ.get("HOMIE_SEED", "1"))
LIVED = 4.0
"""Seconds of a daemon's life, at most."""

SCRIPT = """
import hashlib, itertools, os, signal, sys, time
open("starts", "a").write("x")
stopped, digest = [], hashlib.sha256()
signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
for number in itertools.count():
    line = f"{sys.argv[1]} {number} {'.' * (number * 7919 % 500)}\\n"
    digest.update(line.encode())
    sys.stdout.write(line)
    sys.stdout.flush()
    if stopped:
        break
    time.sleep(0.05)
open("digest", "w").write(digest.hexdigest())
"""


@pytest.mark.parametrize("kind", OF_KIND)
def test_many_jobs_outlive_a_daemon_that_is_killed_at_random(
    pair_on: Callable[..., Pair], kind: str, tmp_path: Path
) -> None:
    generator = random.Random(SEED)
    (tmp_path / "script.py").write_text(SCRIPT)
    with (
        pair_on(kind, container_memory_limit="96m", container_disk_limit="64m") as pair,
        contextlib.ExitStack() as stack,
    ):
        jobs, outputs = [], [tmp_path / f"out{number}" for number in range(JOBS)]
        for number, output in enumerate(outputs):
            command = ["run", "-n", "desk", "--cpus", f"{1.9 / JOBS:.3f}", "-o", f"results{number}", "script.py"]
            streams = {"stdout": stack.enter_context(output.open("wb")), "stderr": subprocess.PIPE}
            job = pair.laptop.popen(*command, str(number), cwd=tmp_path, **streams)
            jobs.append(stack.enter_context(job))
            stack.callback(job.kill)
        _wait_for_more(outputs, [0] * JOBS)
        adopted = []
        for _ in range(KILLS):
            time.sleep(generator.uniform(0, LIVED))  # the moment of its death is what is tested
            daemon = psutil.Process(Client(pair.desk.home).status().pid)
            daemon.kill()
            daemon.wait(10)
            began, had = time.monotonic(), [output.stat().st_size for output in outputs]
            pair.desk.homie("up")
            _wait_for_more(outputs, had)
            adopted.append(time.monotonic() - began)
        for view in Client(pair.laptop.home).jobs():
            Client(pair.laptop.home).stop(view.id)
        errors = [job.communicate(timeout=120)[1].decode() for job in jobs]
        assert [job.returncode for job in jobs] == [130] * JOBS, errors
        for number, output in enumerate(outputs):
            results = tmp_path / f"results{number}"
            assert (results / "starts").read_text() == "x"
            assert (results / "digest").read_text() == hashlib.sha256(output.read_bytes()).hexdigest()
        pair.desk.homie("config", "set", "sandbox_pool", "0")
        pair.desk.homie("down")
        pair.desk.homie("up")
        assert left(pair.desk) == []
    longest = f"all were heard of again within {max(adopted):.1f} s"
    print(f"\n{kind}: {KILLS} kills, {JOBS} jobs, seed {SEED}: {longest}")  # noqa: T201 - asked for with -s


def _wait_for_more(outputs: list[Path], had: list[int]) -> None:
    """Wait until each has more than it had."""
    until = time.monotonic() + 60
    while any(output.stat().st_size <= size for output, size in zip(outputs, had, strict=True)):
        lack = [output.name for output, size in zip(outputs, had, strict=True) if output.stat().st_size <= size]
        assert time.monotonic() < until, f"nothing more came from {lack}"
        time.sleep(0.05)
