"""`homie run` and its like against a control server on a real socket."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, Story

from homie_core.cli import main
from homie_core.model.control import Delivered, Reachable, Refused, RunRequest, Unreachable
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, How
from homie_core.model.names import FileName

GB = 1 << 30


@pytest.fixture
def daemon(homie_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    (tmp_path / "data.csv").touch()
    with FakeDaemon(homie_home) as daemon:
        daemon.news = Story().placed().ended()
        yield daemon


def sent(daemon: FakeDaemon) -> RunRequest:
    request = daemon.asked[0]
    assert isinstance(request, RunRequest)
    return request


def test_output_and_status_are_the_jobs(daemon: FakeDaemon, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    daemon.news = Story().placed().out(b"a\x00\xff\r\n\x1b[2J").out(b"warning", stream=2).out(b"b").ended(7)
    assert main(["run", "train.py"]) == 7
    captured = capfdbinary.readouterr()
    assert captured.out == b"a\x00\xff\r\n\x1b[2Jb"
    assert captured.err == b"warning"


def test_options_come_before_the_script_and_the_rest_is_the_scripts(daemon: FakeDaemon, tmp_path: Path) -> None:
    line = "run -n desk --gpu -f data.csv --cpus 1.5 --ram 8G --timeout 10m -o out train.py -n 3 --help -- x"
    assert main(line.split()) == 0
    request = sent(daemon)
    assert request.args == ("-n", "3", "--help", "--", "x")
    assert request.ask == Ask(cpus=1.5, memory=8 * GB, timeout=600.0, gpu=GpuAsk())
    assert (request.node, request.entry) == ("desk", "train.py")
    assert [file.name for file in request.files] == ["train.py", "data.csv"]
    assert request.results == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "gpu"),
    [
        ("--gpu", GpuAsk()),
        ("--gpu -n desk", GpuAsk()),
        ("-n desk --gpu=2", GpuAsk(count=2)),
        ("--gpu=A100:2,40G", GpuAsk(count=2, name="A100", vram=40 * GB)),
        ("--vram 24G", GpuAsk(vram=24 * GB)),
        ("--gpu --vram=24G", GpuAsk(vram=24 * GB)),
        ("--gpu=RTX3080 --vram 8G", GpuAsk(name="RTX3080", vram=8 * GB)),
        ("--cpus 1", None),
    ],
)
def test_cards_are_asked_for_by_number_name_and_memory(daemon: FakeDaemon, options: str, gpu: GpuAsk) -> None:
    assert main(["run", *options.split(), "train.py", "--gpu", "x"]) == 0
    assert sent(daemon).ask.gpu == gpu
    assert sent(daemon).args == ("--gpu", "x"), "what is behind the script is the script's"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--gpu=0", "'--gpu': 0 graphics cards cannot be had: 1 to 16"),
        ("--gpu=24G,40G", "'--gpu': '24G,40G' says the VRAM twice"),
        ("--gpu=", "'--gpu': '' names no graphics card; write how many (2), which (RTX3080), how large (24G)"),
        ("--vram=24", "'--vram': '24' is no memory of a graphics card; write for example 24G"),
    ],
)
def test_cards_that_are_none_are_told_before_anything_is_sent(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str], option: str, words: str
) -> None:
    assert main(["run", option, "train.py"]) == 2
    assert words in " ".join(capfd.readouterr().err.split())
    assert daemon.asked == []


def test_results_have_a_folder_of_their_own(daemon: FakeDaemon, tmp_path: Path) -> None:
    assert main(["run", "train.py"]) == 0
    request = sent(daemon)
    assert request.results == str(tmp_path / "homie-results" / request.id)


def test_results_and_what_was_not_taken_are_said(
    daemon: FakeDaemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = tuple(FileName(f"{number}.bin") for number in range(10))
    daemon.news = [
        *Story().placed(),
        Delivered(folder=str(tmp_path / "out"), files=files, notes=("link: a link\x1b[2J",)),
        *Story().ended(),
    ]
    assert main(["run", "train.py"]) == 0
    assert capfd.readouterr().err == (
        "homie: results in out/: 0.bin, 1.bin, 2.bin, 3.bin, 4.bin, 5.bin, 6.bin, 7.bin and 2 more\n"
        "homie: not taken: link: a link?[2J\n"
    )


@pytest.mark.parametrize(
    ("how", "status", "exit_status", "words"),
    [
        (How.DEADLINE, 124, 124, "its running time of 10 min on desk was used up; ask for more with --timeout"),
        (How.MEMORY, 137, 137, "it needed more memory than the 4.0 GB it was lent on desk"),
        (How.EVICTED, 143, 143, "the owner of desk took the machine back"),
        (How.LOST, 0, 1, "its sandbox on desk vanished"),
        (How.FAILED, 126, 126, "desk could not start it (no such image)"),
        (How.EXPIRED, 1, 1, "its files never arrived in full on desk"),
        (How.STOPPED, 143, 143, "stopped, as you asked"),
    ],
)
def test_ill_fortune_is_put_into_words(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str], how: How, status: int, exit_status: int, words: str
) -> None:
    daemon.news = Story().placed().ended(status, how, "no such image." if how is How.FAILED else "")
    assert main(["run", "train.py"]) == exit_status
    assert words in capfd.readouterr().err


def test_a_refusal_is_one_message(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.news = [Refused(error="NoPeer", message="nobody has a free GPU;\x1b[2J ask without --gpu")]
    assert main(["run", "train.py"]) == 1
    assert capfd.readouterr().err == "homie: nobody has a free GPU;?[2J ask without --gpu\n"


def test_nothing_is_sent_when_a_file_is_missing(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-f", "nope.csv", "train.py"]) == 1
    assert capfd.readouterr().err == "homie: nope.csv: No such file or directory\n"
    assert daemon.asked == []


def test_a_pattern_is_expanded_here(daemon: FakeDaemon) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        Path(name).touch()
    daemon.news = Story().placed().ended()
    assert main(["run", "-f", "?.csv", "train.py"]) == 0
    assert [source.name for source in sent(daemon).files] == ["train.py", "a.csv", "b.csv"]


def test_a_daemon_that_vanishes_leaves_a_way_back(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.news = Story().placed().out(b"x")
    assert main(["run", "train.py"]) == 1
    assert (
        f"The job keeps running on desk. See it again: `homie attach {sent(daemon).id}`" in capfd.readouterr().err
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_stops_the_job_and_waits_for_its_end(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    daemon.news = Story().placed().out(b"working\n")
    daemon.told = lambda: os.kill(os.getpid(), number)
    daemon.after_stop = Story().out(b"last words\n").ended(143, How.STOPPED)
    before = signal.getsignal(number)
    assert main(["run", "train.py"]) == 143
    assert daemon.asked[1] == ("stop", sent(daemon).id)
    captured = capfd.readouterr()
    assert captured.out == "working\nlast words\n"
    assert "stopping the job" in captured.err
    assert signal.getsignal(number) is before


def test_the_second_interrupt_leaves_the_job_to_itself(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.news = Story().placed().out(b"working\n")
    daemon.told = daemon.stopping = lambda: os.kill(os.getpid(), signal.SIGINT)
    daemon.after_stop = Story().ended()
    assert main(["run", "train.py"]) == 130
    err = capfd.readouterr().err
    job = sent(daemon).id
    assert f"See it again: `homie attach {job}`; end it: `homie cancel {job}`" in err


def test_a_stop_that_came_too_early_is_asked_again(daemon: FakeDaemon) -> None:
    refusals = [Refused(error="HomieError", message="no such job yet")]
    daemon.told = lambda: os.kill(os.getpid(), signal.SIGINT)
    daemon.news = []

    def first_refuse() -> None:
        daemon.refuse = refusals.pop() if refusals else None
        if daemon.refuse:
            daemon._stop.set()  # the job begins to speak nonetheless

    daemon.stopping = first_refuse
    daemon.after_stop = Story().placed().ended(143, How.STOPPED)
    assert main(["run", "train.py"]) == 143
    assert [asked for asked in daemon.asked[1:] if asked[0] == "stop"] == [("stop", sent(daemon).id)] * 2


def test_a_reader_that_leaves_stops_the_job_quietly(daemon: FakeDaemon, homie_home: Path) -> None:
    daemon.news = Story().placed().out(b"x\n").out(b"x\n" * 100_000)
    daemon.after_stop = Story().ended()
    code = "import sys; from homie_core.cli import main; sys.exit(main(['run', 'train.py']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert daemon.asked[1] == ("stop", sent(daemon).id)


def test_a_job_that_nobody_waits_for_is_an_id(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.news = Story().placed()
    daemon.after_stop = Story().ended()
    assert main(["run", "-d", "train.py"]) == 0
    assert daemon.hung_up.wait(10)
    daemon.after_stop = []
    assert capfd.readouterr() == (f"{sent(daemon).id}\n", "")
    daemon.news = [Refused(error="PeerRefused", message="desk: is full")]
    assert main(["run", "--detach", "train.py"]) == 1
    assert capfd.readouterr() == ("", "homie: desk: is full\n")
    assert main(["run", "-d", "-o", "out", "train.py"]) == 2
    assert "`homie get -o DIR JOB` brings them" in capfd.readouterr().err


def test_on_a_terminal_a_person_sees_who_why_and_whose(daemon: FakeDaemon, homie_home: Path) -> None:
    why = "no route to host"
    daemon.news = [
        *Story().placed(),
        Unreachable(peer="desk", why=why),  # type: ignore[arg-type]
        Reachable(peer="desk"),  # type: ignore[arg-type]
        *Story().out(b"half\r\x1b]0;title\x07full\n").ended(2),
    ]
    code = (
        "import os, pty, sys; status = pty.spawn([sys.executable, '-m', 'homie_core.cli', 'run', 'train.py']);"
        "sys.exit(os.waitstatus_to_exitcode(status))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    lines = done.stdout.replace("\n\n", "\n").splitlines()
    assert done.returncode == 2
    assert lines[0].startswith("homie: desk takes it: it has the most free cores (job ")
    assert lines[1] == "homie: running in docker"
    assert lines[2] == "homie: desk cannot be reached (no route to host); the job goes on, trying again"
    assert lines[3] == "homie: desk is back"
    assert "desk | half" in done.stdout
    assert "desk | full" in done.stdout
    assert "title" not in done.stdout
    assert "homie: it ended with status 2 after 0.0 s" in done.stdout
