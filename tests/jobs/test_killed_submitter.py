"""A submitter is killed in mid-stream, its daemon and whoever reads there: all is there when it comes back, once.

HOMIE_OUTAGE says for how many seconds it is away (60 for the figures of docs/status.md).
"""

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from ear import Ear, cell, text
from pair import Node

from homie_core.client import Client, new_job_id, request_for_session
from homie_core.client.channel import Channel
from homie_core.model.control import Follow
from homie_core.model.event import Ended, Messages
from homie_core.model.session import Finish

pytestmark = pytest.mark.docker

OUTAGE = float(os.environ.get("HOMIE_OUTAGE", "3"))
BETWEEN = 0.02
"""Seconds between two lines."""

LINES = """
import hashlib, itertools, signal, time
def write(most):
    open("starts", "a").write("x")
    stopped, before = [], hashlib.sha256()
    if most is None:
        signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
    for number in itertools.islice(itertools.count(), most):
        line = f"{number} {before.hexdigest()}\\n"
        print(line, end="", flush=True)
        before.update(line.encode())
        if stopped:
            break
        time.sleep(BETWEEN)
    open("digest", "w").write(before.hexdigest())
""".replace("BETWEEN", str(BETWEEN))
MEANWHILE = int(OUTAGE / 2 / BETWEEN)
"""So many lines end while the submitter is away."""


def check_whole(lines: bytes) -> str:
    """Each line names the digest of all before it, so none is missing, double, or changed; return that of all."""
    digest = hashlib.sha256()
    for number, line in enumerate(lines.splitlines(keepends=True)):
        assert line == f"{number} {digest.hexdigest()}\n".encode()
        digest.update(line)
    return digest.hexdigest()


def kill_daemon(node: Node) -> None:
    daemon = psutil.Process(Client(node.home).status().pid)
    daemon.kill()
    daemon.wait(10)


def wait_for_more(path: Path, had: int) -> int:
    """Wait until there is more in a file than it had; return how much that is."""
    until = time.monotonic() + 60
    while (size := path.stat().st_size) <= had:
        assert time.monotonic() < until, f"nothing more came into {path.name}"
        time.sleep(0.02)
    return size


@pytest.mark.parametrize("most", [MEANWHILE, None], ids=["ends-meanwhile", "runs-on"])
def test_a_script_is_attached_to_when_its_submitter_is_back(pair, most, tmp_path):
    (tmp_path / "script.py").write_text(f"{LINES}\nwrite({most})")
    before, after = tmp_path / "before", tmp_path / "after"
    with before.open("wb") as out:
        run = pair.laptop.popen("run", "-n", "desk", "-o", "lost", "script.py", stdout=out, cwd=tmp_path)
    with run:
        wait_for_more(before, 1000)
        (job,) = Client(pair.laptop.home).jobs()
        run.kill()
        kill_daemon(pair.laptop)
    assert run.returncode == -signal.SIGKILL
    time.sleep(OUTAGE)  # what is tested
    pair.laptop.homie("up")
    streams = {"stderr": subprocess.PIPE, "cwd": tmp_path}
    with after.open("wb") as out:
        attach = pair.laptop.popen("attach", "-o", "results", job.id, stdout=out, **streams)
    with attach:
        if most is None:
            more = wait_for_more(after, before.stat().st_size)
            wait_for_more(after, more)  # it is live
            pair.laptop.homie("cancel", job.id)
        _, said = attach.communicate(timeout=60)
    output, results = after.read_bytes(), tmp_path / "results"
    assert (results / "starts").read_text() == "x", said
    assert (results / "digest").read_text() == check_whole(output)
    assert output.startswith(before.read_bytes())
    assert attach.returncode == (130 if most is None else 0), said
    assert most in (None, output.count(b"\n"))
    assert not (tmp_path / "lost").exists()


def test_a_cell_is_attached_to_when_its_submitter_is_back(pair, tmp_path):
    job = new_job_id()
    ear = Ear(Channel(pair.laptop.home, request_for_session("cell", results=tmp_path / "lost", job=job)))
    ear.channel.tell(cell(f"{LINES}\nwrite({MEANWHILE})", "lines"))
    ear.until(Messages)
    ear.channel.close()
    kill_daemon(pair.laptop)
    time.sleep(OUTAGE)  # what is tested
    pair.laptop.homie("up")
    again = Ear(Channel(pair.laptop.home, Follow(job=job, after=-1, results=str(tmp_path / "results"))))
    output = text(again.cell_end()).encode()
    again.channel.tell(Finish())
    again.until(Ended)
    assert (tmp_path / "results/starts").read_text() == "x"
    assert (tmp_path / "results/digest").read_text() == check_whole(output)
    assert output.count(b"\n") == MEANWHILE
