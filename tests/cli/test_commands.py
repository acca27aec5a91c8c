"""`up`, `down`, `peers`, `jobs`, `add`, `remove`, the dashboard and completion against a control server."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import DESK, STATUS, FakeDaemon, job_view, peer
from msgspec.structs import replace

from homie_core.cli import main
from homie_core.config import config_file, create, load
from homie_core.model.control import AddPeer, Refused
from homie_core.model.peer import Gpu, Standing
from homie_core.store.identity import new_secret

GB = 1 << 30


@pytest.fixture
def daemon(homie_home: Path) -> Iterator[FakeDaemon]:
    create(config_file(homie_home), "laptop", new_secret())
    with FakeDaemon(homie_home) as daemon:
        yield daemon


def test_up_says_what_is_up(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up"]) == 0
    assert capsys.readouterr().out == (
        f"laptop is up already (homie 0.1.0, pid {os.getpid()}).\n"
        "  discovery  on, port 5555\n"
        "  address    192.0.2.7:5556\n"
        "  sandbox    takes jobs, in docker 28.2 (python:3.12-slim)\n"
    )


def test_up_waits_until_jobs_can_be_taken(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    getting_ready = [replace(STATUS, preparing=f"pulling python:3.12-slim {done} %") for done in (10, 50)]
    daemon.statuses = [STATUS, *getting_ready]
    assert main(["up"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "  preparing: pulling python:3.12-slim 10 %\n"
    assert "takes jobs" in captured.out
    assert daemon.statuses == []


def test_up_says_why_no_jobs_are_taken_and_succeeds(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.status = replace(STATUS, trouble="Docker is not running; start it: sudo systemctl start docker")
    assert main(["up"]) == 0
    out = capsys.readouterr().out
    assert "takes no jobs of others: Docker is not running; start it: sudo systemctl start docker\n" in out


def test_down_waits_for_the_end(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen(["/bin/sleep", "60"])
    daemon.status = replace(STATUS, pid=process.pid)
    daemon.on_shutdown = threading.Timer(0.2, process.kill).start
    assert main(["down"]) == 0
    assert process.poll() == -9
    assert daemon.asked == ["shutdown"]
    assert capsys.readouterr().out == "homie is down.\n"


def test_down_without_a_daemon_is_no_error(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out == "homie is not running.\n"


def test_peers_for_programs(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    card = Gpu(name="RTX 3080", uuid="GPU-1", vram_total=10 * GB, vram_free=9 * GB)
    capacity = replace(peer().capacity, gpus=(card,), running=2, queued=1, held="esne")
    daemon.peers = [peer("away", standing=Standing.OFFLINE, trouble="silent"), peer(capacity=capacity)]
    assert main(["peers", "--json"]) == 0
    desk, away = json.loads(capsys.readouterr().out)
    assert desk == {
        "name": "desk",
        "id": DESK,
        "address": "192.0.2.8",
        "port": 5556,
        "online": True,
        "standing": "online",
        "trouble": "",
        "trusted": False,
        "last_seen": 0.4,
        "cores": 8,
        "cpu_percent": 25.0,
        "ram_free": 24 * GB,
        "ram_total": 32 * GB,
        "gpus": [{"name": "RTX 3080", "vram_free": 9 * GB, "vram_total": 10 * GB, "taken": False}],
        "jobs": 2,
        "queued": 1,
        "sharing": True,
        "limits": {"memory": "exact", "processes": "soft", "cpu": "not", "disk": "exact"},
    }
    assert away["limits"] == {}, "it has not said"
    assert (away["online"], away["trouble"]) == (False, "silent")


def test_peers_for_people(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    nasty = Gpu(name="[red]RTX\x1b[2J", uuid="GPU-1", vram_total=10 * GB, vram_free=9 * GB)
    daemon.peers = [
        peer("away", standing=Standing.OFFLINE, last_seen=125.0),
        peer(capacity=replace(peer().capacity, gpus=(nasty,), queued=3, held="eeee")),
        peer("old", capacity=replace(peer().capacity, held="sens")),
        peer("lazy", capacity=replace(peer().capacity, sharing=False, held="nnnn")),
    ]
    assert main(["peers"]) == 0
    head, desk, lazy, old, away, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "STATE", "ADDRESS", "CPU", "FREE", "RAM", "GPU", "JOBS"]
    assert desk.split("  ")[0] == "desk"
    assert "25 % of 8  24 GB of 32 GB  [red]RTX?[2J (9.0 GB free)  0 + 3 waiting" in desk
    assert "takes no jobs" in lazy
    assert desk.split()[:3] == ["desk", "online", "192.0.2.8:5556"]
    assert old.split()[:2] == ["old", "online"]
    assert note == "limits on old: memory soft, cpu not held, disk soft"
    assert "offline, seen 2 min 5 s ago" in away


def test_nobody_there_says_what_to_check(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peers"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    for word in ("same secret", "firewall", "homie add HOST"):
        assert word in captured.err
    assert main(["peers", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_an_added_peer_is_remembered(
    daemon: FakeDaemon, homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", "Desk.Example:7000"]) == 0
    assert daemon.asked == [AddPeer(host="desk.example", port=7000)]
    assert load(config_file(homie_home)).peers == ("Desk.Example:7000",)
    daemon.refuse = Refused(error="PeerUnreachable", message="10.0.0.9:5556 does not answer")
    assert main(["add", "10.0.0.9"]) == 1
    captured = capsys.readouterr()
    assert "10.0.0.9 is remembered" in captured.err
    assert "homie: 10.0.0.9:5556 does not answer\n" in captured.err
    assert load(config_file(homie_home)).peers == ("Desk.Example:7000", "10.0.0.9")
    assert main(["add", "not a host"]) == 1
    assert len(daemon.asked) == 2


def test_a_removed_peer_is_off_the_list(
    daemon: FakeDaemon, homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("192.0.2.8", "10.0.0.9"):
        main(["add", each])
    daemon.peers = [peer()]
    daemon.asked.clear()
    assert main(["remove", "desk"]) == 0
    assert daemon.asked == [("remove", "desk"), ("remove", "192.0.2.8:5556")]
    assert load(config_file(homie_home)).peers == ("10.0.0.9",)
    daemon.refuse = Refused(error="NoPeer", message="nobody called 10.0.0.9 is known")
    assert main(["remove", "10.0.0.9"]) == 0
    assert load(config_file(homie_home)).peers == ()
    assert main(["remove", "10.0.0.9"]) == 1
    assert capsys.readouterr().err.endswith("homie: nobody called 10.0.0.9 is known\n")


def test_names_of_peers_are_completed(
    daemon: FakeDaemon, homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.peers = [peer("desk"), peer("den"), peer("tower")]
    environment = {
        **os.environ,
        "_HOMIE_COMPLETE": "bash_complete",
        "COMP_WORDS": "homie run -n de",
        "COMP_CWORD": "3",
    }
    command = [sys.executable, "-c", "from homie_core.cli import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,den", "plain,desk"]
    environment["HOMIE_HOME"] = str(homie_home / "nobody")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_taught_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_HOMIE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_in_front_without_a_terminal_it_stays_until_it_is_ended(daemon: FakeDaemon) -> None:
    command = [sys.executable, "-m", "homie_core.cli", "up", "-f"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline().startswith("laptop is up")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == "homie goes on in the background; `homie down` ends it.\n"
    assert daemon.asked == []


def test_what_peers_say_is_no_markup_in_the_dashboard() -> None:
    from rich.console import Console

    from homie_core.cli.dashboard import picture

    nasty = Gpu(name="[red]RTX\x1b[2J", uuid="GPU-1", vram_total=10 * GB, vram_free=9 * GB)
    there = peer(capacity=replace(peer().capacity, gpus=(nasty,)))
    view = job_view("a" * 12, title="[b]x")
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(picture(replace(STATUS, trouble="[blink]no Docker"), (there,), (view,), "Ctrl-C"))
    shown = console.export_text()
    assert "[red]RTX?[2J (9.0 GB free)" in shown
    assert "[blink]no Docker" in shown
    assert "[b]x" in shown
