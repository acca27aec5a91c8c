"""`homie run` on a real peer in a real container: output, status, limits of time, several at once, Ctrl-C."""

import hashlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pair import HOMIE

from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import JobEvent, Refused
from homie_core.model.event import Output

pytestmark = pytest.mark.docker

MEMORY = 120 << 20
"""Bytes of memory that client and daemons may use, whatever the size of files and output."""


def test_the_exit_status_arrives(run):
    assert run("raise SystemExit(3)").returncode == 3
    assert run("").returncode == 0


def test_stdout_and_stderr_stay_apart_and_pipes_get_the_exact_bytes(run):
    script = r"import os; os.write(1, b'\x00\xff\x1b[2J one\r\n'); os.write(2, b'two\n')"
    done = run(script, text=False)
    assert done.stdout == b"\x00\xff\x1b[2J one\r\n"
    assert done.stderr == b"two\n"


def test_arguments_behind_the_script_are_the_scripts(run):
    done = run("import sys; print(sys.argv[1:])", "-n", "x", "--gpu", "-f", "--", "ü b")
    assert done.stdout == "['-n', 'x', '--gpu', '-f', '--', 'ü b']\n"


def test_a_script_over_its_time_is_ended_and_reported(run):
    began = time.monotonic()
    done = run("import time; print('on', flush=True); time.sleep(60)", options=("--timeout", "2"))
    assert (done.returncode, done.stdout) == (124, "on\n")
    assert "its running time of 2.0 s on desk was used up" in done.stderr
    assert time.monotonic() - began < 15


def test_a_script_that_ignores_sigterm_is_ended_too(run):
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    assert run(script, options=("--timeout", "1")).returncode == 124


def test_a_script_over_its_memory_is_ended_and_reported(run):
    done = run("x = bytearray(1 << 30)", options=("--ram", "64M"))
    assert done.returncode == 137
    assert "needed more memory than the 64 MB it was lent" in done.stderr


def test_2000_lines_at_once_arrive_with_the_last(run):
    done = run("print('\\n'.join(f'line {n}' for n in range(2000)))")
    assert done.stdout.splitlines() == [f"line {n}" for n in range(2000)]


def test_a_million_lines_arrive_in_order_then_the_status(run, tmp_path):
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        script = "for n in range(1_000_000): print('line', n)\nraise SystemExit(5)"
        done = run(script, capture_output=False, stdout=stdout, timeout=180)
    expected = b"".join(b"line %d\n" % n for n in range(1_000_000))
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(expected).digest()
    assert done.returncode == 5


def test_files_go_with_their_names_and_what_was_written_comes_back(run, tmp_path):
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("a")
    (tmp_path / "data/deep/b.csv").write_text("b")
    script = """
import pathlib
print(open("data/a.csv").read(), open("data/deep/b.csv").read())
pathlib.Path("data/a.csv").write_text("changed")
pathlib.Path("out/put").mkdir(parents=True)
pathlib.Path("out/put/model.pt").write_bytes(b"model")
pathlib.Path("link").symlink_to("/etc/passwd")
"""
    done = run(script, options=("-f", "data", "-o", "back"))
    assert done.stdout == "a b\n"
    back = {p.relative_to(tmp_path / "back").as_posix(): p.read_bytes() for p in (tmp_path / "back").rglob("*.*")}
    assert back == {"data/a.csv": b"changed", "out/put/model.pt": b"model"}
    assert "link" in done.stderr, "what was not taken is named"
    assert (tmp_path / "data/a.csv").read_text() == "a", "what was sent is not touched"


def test_several_at_once_wait_for_room_and_all_run(pair, run, tmp_path):
    (tmp_path / "script.py").write_text("import time; time.sleep(0.3); print('done')")
    jobs = [pair.laptop.popen("run", "script.py", stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [job.communicate(timeout=60)[0] for job in jobs] == ["done\n"] * 6


def test_the_same_request_twice_starts_once(pair, run, tmp_path):
    (tmp_path / "script.py").write_text("print('once')")
    client, job = Client(pair.laptop.home), new_job_id()
    request = request_for_script("script.py", results=tmp_path / "back", job=job)
    first = [news.record.event for news in client.run(request) if isinstance(news, JobEvent)]
    assert b"".join(event.data for event in first if isinstance(event, Output)) == b"once\n"
    (answer,) = client.run(request)
    assert isinstance(answer, Refused)
    assert "was submitted before" in answer.message


def test_more_than_is_lent_is_refused_with_the_figures(run):
    done = run("", options=("--cpus", "64"))
    assert done.returncode == 1
    assert "desk: lends a job at most 2 cores" in done.stderr


def test_an_unknown_node_names_those_that_are_here(run):
    done = run("", options=("-n", "dask"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no peer is called dask. Here now: desk" in done.stderr


def test_nobody_has_a_gpu_here_and_the_answer_says_so(run):
    done = run("", options=("--gpu",))
    assert done.returncode == 1
    assert "desk: has no GPU" in done.stderr


def started(job, word):
    """Wait until the job has printed the word; return what came before."""
    line = job.stdout.readline()
    assert word in line, line
    return line


def test_ctrl_c_stops_the_job(pair, run, tmp_path):
    (tmp_path / "script.py").write_text(
        "import time\nprint('on', flush=True)\ntry:\n  time.sleep(60)\nfinally:\n  print('cleaned', flush=True)"
    )
    with pair.laptop.popen("run", "script.py", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        started(job, "on")
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=30)
    assert out == "cleaned\n"
    assert "stopped, as you asked" in err
    assert job.returncode == 130
    assert Client(pair.desk.home).jobs() == ()


def test_a_second_ctrl_c_detaches_and_the_job_can_be_attached_again(pair, run, tmp_path):
    (tmp_path / "script.py").write_text(
        "import signal, time, os\nsignal.signal(2, signal.SIG_IGN)\nprint('on', flush=True)\n"
        "time.sleep(1.5)\nprint('went on', flush=True)\n"
    )
    with pair.laptop.popen("run", "script.py", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        started(job, "on")
        (id,) = [view.id for view in Client(pair.laptop.home).jobs() if view.mine]
        job.send_signal(signal.SIGINT)
        while "stopping" not in job.stderr.readline():
            pass
        job.send_signal(signal.SIGINT)
        _, err = job.communicate(timeout=30)
    assert f"homie attach {id}" in err
    assert job.returncode == 130
    again = pair.laptop.homie("attach", id, check=False)
    assert again.stdout == "on\nwent on\n"


def test_a_terminal_shows_whose_lines_they_are_and_obeys_nothing(pair, run, tmp_path):
    (tmp_path / "script.py").write_text(r"print('\x1b]0;title\x07\x1b[31mred\x1b[0m \x1b[2Jclear')")
    main, side = pty.openpty()
    with pair.laptop.popen("run", "script.py", stdin=side, stdout=side, stderr=side) as job:
        os.close(side)
        assert job.wait(30) == 0
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "desk | " in shown
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown


def peak_memory(pid):
    """Peak resident memory of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


REVERSE = """
with open("data.bin", "rb") as source, open("other.bin", "wb") as target:
    while piece := source.read(1 << 20):
        target.write(piece[::-1])
"""
MEASURE = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
sys.exit(status)
"""


def test_a_gigabyte_up_and_another_down_in_constant_memory(pair, run, tmp_path):
    block = os.urandom(1 << 20)
    with (tmp_path / "data.bin").open("wb") as file:
        for _ in range(1024):
            file.write(block)
    (tmp_path / "script.py").write_text(REVERSE)
    options = ["--ram", "2G", "-f", "data.bin", "-o", "back"]
    command = [sys.executable, "-c", MEASURE, HOMIE, "run", *options, "script.py"]
    done = subprocess.run(command, env=pair.laptop.env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    expected = hashlib.sha256()
    for _ in range(1024):
        expected.update(block[::-1])
    with (tmp_path / "back/other.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == expected.hexdigest()
    memory = {node.name: peak_memory(Client(node.home).status().pid) for node in (pair.laptop, pair.desk)}
    memory["client"] = int(done.stdout)
    assert max(memory.values()) < MEMORY, memory
