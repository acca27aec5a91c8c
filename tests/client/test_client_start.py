"""Front ends start the daemon, once, and say why it did not come up."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import fake_daemon
import pytest
from fake_daemon import FakeDaemon, peer

from homie_core.client import Client, ensure_daemon, wait_for_peers, wait_until_gone
from homie_core.client.start import DAEMON, _started
from homie_core.model.errors import ConfigError, DaemonUnreachable
from homie_core.model.peer import Standing

FAKE = (sys.executable, fake_daemon.__file__)


@pytest.fixture
def set_up(homie_home: Path) -> Iterator[Path]:
    homie_home.mkdir()
    (homie_home / "config.yaml").write_text("name: desk\n")
    yield homie_home
    client = Client(homie_home)
    if client.running():
        pid = client.status().pid
        client.shutdown()
        wait_until_gone(client, pid)


def test_the_daemon_is_started_apart_from_its_starter(set_up: Path) -> None:
    client, started = ensure_daemon(set_up, command=FAKE)
    assert started
    pid = client.status().pid
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").resolve() == set_up.resolve()
    assert (set_up / "daemon.log").stat().st_mode & 0o777 == 0o600
    assert ensure_daemon(set_up, command=("/bin/false",))[1] is False
    client.shutdown()
    wait_until_gone(client, pid)
    assert not client.running()


def test_two_front_ends_at_once_start_one_daemon(set_up: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: ensure_daemon(set_up, command=FAKE), range(2)))
    assert sorted(started for _, started in both) == [False, True]


def test_a_daemon_that_ends_at_once_is_quoted(set_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (set_up / "daemon.log").write_text("an error of last week\n")
    monkeypatch.setenv("FAKE_DAEMON_FAILS", "1")
    with pytest.raises(DaemonUnreachable) as caught:
        ensure_daemon(set_up, command=FAKE)
    assert "status 3): port 5556 is taken\n" in str(caught.value)
    assert str(set_up / "daemon.log") in str(caught.value)


def test_the_error_is_picked_out_of_the_log(set_up: Path) -> None:
    log = (
        "2026-01-02 03:04:05,678 INFO    starting\n"
        "2026-01-02 03:04:05,679 ERROR   config.yaml:3: name: is no name\n"
        "2026-01-02 03:04:05,680 INFO    closing\n"
    )
    with pytest.raises(DaemonUnreachable, match=r"status 1\): config\.yaml:3: name: is no name\n"):
        ensure_daemon(set_up, command=("/bin/sh", "-c", f"printf '{log}'; exit 1"))


def test_a_daemon_that_says_nothing_is_not_quoted_with_old_news(set_up: Path) -> None:
    (set_up / "daemon.log").write_text("an error of last week\n")
    with pytest.raises(DaemonUnreachable, match="it said nothing"):
        ensure_daemon(set_up, command=("/bin/false",))


def test_a_daemon_that_never_answers_is_ended(set_up: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="not come up within 0 s"):
        ensure_daemon(set_up, patience=0.05, command=("/bin/sleep", "60"))
    assert _started[-1].wait(10) == -15


def test_an_interrupted_start_leaves_no_daemon(set_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "homie_core.client.start.time", SimpleNamespace(sleep=interrupted, monotonic=time.monotonic)
    )
    with pytest.raises(KeyboardInterrupt):
        ensure_daemon(set_up, command=("/bin/sleep", "60"))
    assert _started[-1].wait(10) == -15


def test_a_home_that_is_not_set_up_starts_nothing(homie_home: Path) -> None:
    homie_home.mkdir()
    with pytest.raises(ConfigError, match="homie setup"):
        ensure_daemon(homie_home, command=FAKE)
    assert list(homie_home.iterdir()) == []


def test_modules_of_the_current_folder_are_not_the_daemons(
    set_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    code = "import json, sys; print(json.__name__, sys.path[0])"
    done = subprocess.run([*DAEMON[:2], "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("json ")


def test_peers_are_waited_for_but_not_for_ever(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        client = Client(homie_home)
        daemon.peers = [peer(standing=Standing.HEARD)]
        began = time.monotonic()
        wait_for_peers(client, patience=0.1)
        assert time.monotonic() - began > 0.1
        daemon.peers = [peer()]
        wait_for_peers(client, patience=600.0)
