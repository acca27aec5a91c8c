"""`homie demo`: with two processes that play its daemons, and (marked docker) with two real ones."""

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fake_daemon
import psutil
import pytest

from homie_core.cli import main
from homie_core.cli.demo import SCRIPT, _write_points
from homie_core.client import Client, ensure_daemon, wait_until_gone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; temporary folders are made in `tmp` in it, with a short path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMIE_HOME", "/nonexistent/homie")
    return tmp_path


@pytest.fixture
def homes(folder: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo makes its homes, with fake daemons in them; in the end there must be neither."""
    pids = []

    def start(home: Path) -> tuple[Client, bool]:
        client, started = ensure_daemon(home, command=(sys.executable, fake_daemon.__file__))
        pids.append(client.status().pid)
        return client, started

    make = tempfile.mkdtemp
    monkeypatch.setattr("homie_core.cli.demo.ensure_daemon", start)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix, dir: make(prefix=prefix, dir=short_tmp))
    yield short_tmp
    assert list(short_tmp.iterdir()) == []
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert alive == []


def test_the_model_comes_back_and_nothing_else_stays(
    homes: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("homie-demo", "homie-demo-2"):
        assert main(["demo"]) == 0
        model = folder / name / "model.json"
        assert json.loads(model.read_text()) == {"slope": 3}
        out = capfd.readouterr().out
        assert "laptop sees desk at 192.0.2.8:5556" in out
        assert "epoch 1\n" in out
        assert f"The model that desk trained is here: {model}" in out
    assert [path.name for path in sorted(folder.iterdir())] == ["homie-demo", "homie-demo-2"]


def test_without_a_sandbox_it_says_how_to_get_one_and_leaves_nothing(
    homes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "FAKE_DAEMON_TROUBLE", "there is no Docker; install it: https://docs.docker.com/get-docker/"
    )
    assert main(["demo"]) == 1
    assert "there is no Docker; install it: https://docs" in capfd.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_job_that_fails_is_a_demo_that_fails(
    homes: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_DAEMON_STATUS", "3")
    assert main(["demo"]) == 1
    assert "the demo went wrong: status 3" in capfd.readouterr().err


def test_a_daemon_that_does_not_come_up_leaves_nothing(
    homes: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_DAEMON_FAILS", "1")
    assert main(["demo"]) == 1
    assert "port 5556 is taken" in capfd.readouterr().err


def test_an_interrupt_leaves_nothing(
    homes: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        assert len(list(homes.glob("*/*/control.sock"))) == 2
        raise KeyboardInterrupt

    monkeypatch.setattr("homie_core.cli.demo._found", interrupted)
    assert main(["demo"]) == 130


def test_a_daemon_that_hangs_does_not_outlive_the_demo(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DAEMON_HANGS", "1")
    impatient = functools.partial(wait_until_gone, patience=0.05)
    monkeypatch.setattr("homie_core.cli.demo.wait_until_gone", impatient)
    assert main(["demo"]) == 1


def test_the_script_that_is_shown_learns(folder: Path) -> None:
    _write_points(folder / "data.csv")
    code = f"import time; time.sleep = lambda _: None; exec(open({str(SCRIPT)!r}).read())"
    done = subprocess.run([sys.executable, "-c", code, "500"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("200 points, 500 epochs, Python 3.")
    assert done.stdout.count("epoch ") == 5
    model = json.loads((folder / "model.json").read_text())
    assert model == pytest.approx({"slope": 3, "offset": 2}, abs=0.05)


@pytest.mark.docker
def test_two_real_daemons(folder: Path, base_image: str) -> None:
    before = set(Path("/tmp").glob("homie-demo-*"))
    command = [sys.executable, "-m", "homie_core.cli", "demo", "--image", base_image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch  500" in done.stdout
    assert json.loads((folder / "homie-demo" / "model.json").read_text())["slope"] == pytest.approx(3, abs=0.05)
    assert set(Path("/tmp").glob("homie-demo-*")) == before
