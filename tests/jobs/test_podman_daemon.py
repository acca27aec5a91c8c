"""A whole daemon that lends Podman's sandboxes: it starts Podman's engine itself, and takes it along."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pair import Pair
from podman_lab import PodmanLab, answers
from test_killed_daemon import left
from waiting import wait_until

pytestmark = pytest.mark.docker


def engines(socket: Path) -> list[psutil.Process]:
    found = ((process, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    return [process for process, command in found if f"unix://{socket}" in command]


def test_a_job_on_podman_and_no_engine_left(
    pair_on: Callable[..., Pair], podman_lab: PodmanLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.py").write_text(
        "open('out.txt', 'w').write('1')\nprint('hello from podman')\nraise SystemExit(3)"
    )
    with pair_on("podman", sandbox_pool="0") as pair:
        socket = pair.desk.home / "podman.sock"
        assert len(engines(socket)) == 1
        done = pair.laptop.homie("run", "-n", "desk", "job.py", check=False)
        assert (done.returncode, done.stdout) == (3, "hello from podman\n"), done.stderr
        assert [path.name for path in tmp_path.glob("homie-results/*/*")] == ["out.txt"]
        said = pair.desk.homie("whoami").stdout
        assert "podman 4" in said or "podman 5" in said
        assert "memory exact, processes exact, cpu exact, disk exact" in said
        assert left(pair.desk) == [], "a sandbox was left"
        pair.desk.homie("down")
        wait_until(lambda: not engines(socket), "Podman's engine outlived the daemon")
    assert podman_lab.run("ps", "--all", "--quiet") == "", "a sandbox was left"


WAITING = """
import os, time
open("starts", "a").write("x")
for name in ("one", "two"):
    print("before", name, flush=True)
    while not os.path.exists(name):
        time.sleep(0.01)
"""


def test_a_job_is_heard_of_while_its_engine_is_away_and_ends_with_the_next(
    pair_on: Callable[..., Pair], tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(WAITING)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with pair_on("podman", sandbox_pool="0") as pair:
        with pair.laptop.popen("run", "-n", "desk", "-o", "out", "job.py", **streams) as job:
            assert job.stdout.readline() == "before one\n"
            (work,) = pair.desk.home.glob("jobs/*/box/work")
            (engine,) = engines(pair.desk.home / "podman.sock")
            engine.kill()
            engine.wait(10)
            (work / "one").touch()
            assert job.stdout.readline() == "before two\n"
            wait_until(lambda: answers(pair.desk.home / "podman.sock"), "Podman's engine does not come back")
            (work / "two").touch()
            out, err = job.communicate(timeout=60)
        assert (out, job.returncode) == ("", 0), err
        assert (tmp_path / "out/starts").read_text() == "x"
        assert left(pair.desk) == []
