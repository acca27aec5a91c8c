"""`homie jobs`, `logs`, `attach`, `get` and `cancel` against a control server on a real socket."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, Story, job_view

from homie_core.cli import main
from homie_core.model.control import CaughtUp, Delivered, Refused, Transfer
from homie_core.model.job import How, Kind, Outcome, State
from homie_core.model.names import FileName

JOB, OTHER = "a1b2c3d4e5f6", "a1ffffffffff"
ENDED = {"state": State.ENDED, "outcome": Outcome(how=How.EXITED, status=3)}


@pytest.fixture
def daemon(homie_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    monkeypatch.chdir(tmp_path)
    with FakeDaemon(homie_home) as daemon:
        daemon.jobs = [job_view(JOB), job_view(OTHER, **ENDED, results="/home/me/out")]
        yield daemon


def test_those_under_way_and_with_a_all(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    waits = job_view("b" * 12, state=State.QUEUED, note="place 2: it waits for memory")
    silent = job_view("c" * 12, title="t\x1b.py", state=None, note="no answer from 192.0.2.8:5556")
    theirs = job_view("d" * 12, mine=False, kind=Kind.SESSION)
    daemon.jobs += [waits, silent, theirs]
    assert main(["jobs"]) == 0
    head, *rows = capfd.readouterr().out.splitlines()
    assert head.split() == ["JOB", "WHAT", "WHERE", "STATE", "SINCE"]
    assert rows[0].split() == [JOB, "train.py", "on", "desk", "running", "5.0", "s"]
    assert "queued, place 2: it waits for memory" in rows[1]
    assert "t?.py" in rows[2]
    assert "not known: no answer from 192.0.2.8:5556" in rows[2]
    assert "for desk" in rows[3]
    assert main(["jobs", "-a"]) == 0
    assert f"{OTHER}  train.py  on desk   status 3" in capfd.readouterr().out


def test_lists_for_programs(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "-a", "--json"]) == 0
    running, ended = json.loads(capfd.readouterr().out)
    assert (running["id"], running["state"], running["outcome"], running["kind"]) == (
        JOB,
        "running",
        None,
        "script",
    )
    assert (ended["outcome"], ended["results"]) == ({"how": "exited", "status": 3, "detail": ""}, "/home/me/out")
    daemon.jobs = []
    assert main(["jobs", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []
    assert main(["jobs"]) == 0
    assert "`homie jobs -a`" in capfd.readouterr().err


def test_what_a_job_has_put_out(daemon: FakeDaemon, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    daemon.news = [*Story().placed().out(b"a\x00\xff\n").out(b"oh\n", 2), CaughtUp()]
    assert main(["logs", "a1b"]) == 0
    assert daemon.asked == [("past", JOB)]
    assert capfdbinary.readouterr() == (b"a\x00\xff\n", b"oh\n")
    daemon.news = Story().placed().out(b"a\n").ended(3)
    assert main(["logs", "-f", JOB]) == 0
    assert daemon.asked[1] == ("follow", JOB, 0, None)
    assert capfdbinary.readouterr() == (b"a\n", b"")
    daemon.news = [Refused(error="PeerRefused", message="desk: it is gone")]
    assert main(["logs", "-f", JOB]) == 1
    assert main(["logs", JOB]) == 1
    assert capfdbinary.readouterr() == (b"", b"homie: desk: it is gone\n" * 2)


def test_a_sessions_output_is_its_notebooks(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.jobs = [job_view(JOB, kind=Kind.SESSION, title="a.ipynb:main")]
    assert main(["logs", JOB]) == 1
    assert (
        capfd.readouterr().err
        == f"homie: {JOB} is the session a.ipynb:main on desk: its notebook shows its output\n"
    )
    assert daemon.asked == []


def test_attach_shows_a_job_from_its_start(
    daemon: FakeDaemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.news = Story().placed().out(b"all of it\n").ended(4)
    assert main(["attach", "a1b"]) == 4
    assert daemon.asked == [("follow", JOB, 0, str(tmp_path / "homie-results" / JOB))]
    assert capfd.readouterr().out == "all of it\n"


def test_files_are_brought_once_it_has_ended(
    daemon: FakeDaemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.refuse = Refused(error="PeerRefused", message="job is running")
    assert main(["get", JOB]) == 1
    assert capfd.readouterr().err == "homie: job is running\n"
    daemon.refuse = None
    daemon.asked.clear()
    daemon.jobs = [job_view(JOB, **ENDED)]
    folder = tmp_path / "homie-results" / JOB
    daemon.news = [
        Transfer(up=False, done=1, total=2),
        Delivered(folder=str(folder), files=(FileName("out/model.pt"),), notes=("link: a link",)),
    ]
    assert main(["get", JOB]) == 0
    err = capfd.readouterr().err
    assert err == f"homie: results in homie-results/{JOB}/: out/model.pt\nhomie: not taken: link: a link\n"
    assert main(["get", "-o", "here", JOB]) == 0
    assert daemon.asked == [("get", JOB, str(folder)), ("get", JOB, str(tmp_path / "here"))]
    daemon.news = [Delivered(folder=str(folder), files=())]
    capfd.readouterr()
    assert main(["get", JOB]) == 0
    assert capfd.readouterr().err == f"homie: job {JOB} has left no files\n"


def test_files_that_are_here_are_not_brought_again(
    daemon: FakeDaemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.jobs = [job_view(JOB, **ENDED, results=str(tmp_path))]
    assert main(["get", JOB]) == 1
    assert f"are in {tmp_path} already; name another folder" in capfd.readouterr().err
    assert daemon.asked == []


def test_several_are_cancelled(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", "a1b", "e", "a1f"]) == 1
    assert daemon.asked == [("stop", JOB), ("stop", OTHER)]
    stopped, none, other = capfd.readouterr().err.splitlines()
    assert stopped == f"job {JOB} (train.py on desk) is being stopped"
    assert none == "homie: e: 0 jobs of yours begin with e"
    assert OTHER in other


def test_what_is_no_id_is_told_before_anything_is_asked(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in ("logs", "attach", "get", "cancel"):
        assert main([command, "train.py"]) == 2
        assert "'train.py' is no job id" in capfd.readouterr().err
    assert daemon.asked == []


def test_ids_are_completed(daemon: FakeDaemon) -> None:
    asked = {"_HOMIE_COMPLETE": "bash_complete", "COMP_WORDS": "homie logs a1b", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", "from homie_core.cli import main; main()"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([f"plain,{JOB}"], "")
