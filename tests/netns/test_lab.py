"""The LAN that other tests stand on: it carries broadcasts, it leaks nothing, it goes away."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import lab
import psutil
import pytest
from lab import Host, Lab

pytestmark = pytest.mark.netns

MakeLab = Callable[[int], Lab]
PORT = 47077
SO_RCVBUFFORCE = 33
"""Of linux/socket.h; Python does not name it."""
ETH_P_ALL = 3
SECRET = "only for the lab, nothing else"

LISTEN = f"""
import socket
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.bind(("", {PORT}))
    s.settimeout(10)
    print("ready", flush=True)
    data, (address, _) = s.recvfrom(2000)
    print(address, data.decode())
"""
SEND = f"""
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for _ in range(int(sys.argv[2])):
        s.sendto(b"{SECRET}", (sys.argv[1], {PORT}))
"""


def start(host: Host, code: str, *args: str) -> "subprocess.Popen[str]":
    """Start Python code that prints `ready` when it is."""
    process = host.popen([sys.executable, "-c", textwrap.dedent(code), *args], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def send(host: Host, address: str, times: int = 1) -> None:
    host.run([sys.executable, "-c", SEND, address, str(times)])


def test_a_directed_broadcast_reaches_the_others_and_nobody_else(make_lab: MakeLab) -> None:
    lan, interfaces = make_lab(3), psutil.net_if_addrs().keys()
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as every_frame_outside,
        start(lan.host(2), LISTEN) as second,
        start(lan.host(3), LISTEN) as third,
    ):
        every_frame_outside.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)  # other tests send much
        every_frame_outside.settimeout(10)
        send(lan.host(1), lan.broadcast)
        for listener in (second, third):
            assert listener.communicate(timeout=10)[0] == f"{lan.host(1).address} {SECRET}\n"

        with socket.socket(type=socket.SOCK_DGRAM) as outside:
            outside.sendto(b"this is seen", ("127.0.0.1", PORT))
        until = time.monotonic() + 10  # some machines are never silent: were it lost, this would not end
        while b"this is seen" not in (frame := every_frame_outside.recv(65536)):
            assert SECRET.encode() not in frame
            assert time.monotonic() < until, "a frame that was sent outside was not seen"
    assert psutil.net_if_addrs().keys() == interfaces


def test_two_labs_at_once_do_not_hear_each_other(make_lab: MakeLab) -> None:
    one, two = make_lab(2), make_lab(2)
    with start(one.host(2), LISTEN) as heard, start(two.host(2), LISTEN) as unheard:
        send(one.host(1), one.broadcast)
        assert SECRET in heard.communicate(timeout=10)[0]
        assert unheard.poll() is None
        unheard.kill()


COUNT = f"""
import socket
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    s.bind(("", {PORT}))
    print("ready", flush=True)
    input()
    s.setblocking(False)
    count = 0
    while True:
        try:
            s.recv(2000)
        except BlockingIOError:
            break
        count += 1
    print(count)
"""


def received(lan: Lab, times: int) -> int:
    """Return how many of so many broadcasts of host 1 arrive at host 2; over veth they arrive at once."""
    command = [sys.executable, "-c", COUNT]
    with lan.host(2).popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        send(lan.host(1), lan.broadcast, times)
        return int(process.communicate("now\n", timeout=10)[0])


def test_loss(make_lab: MakeLab) -> None:
    lan = make_lab(2)
    assert received(lan, 400) == 400
    lan.host(2).lose(0.3)
    assert 200 <= received(lan, 400) <= 360, "30 % of 400 are 120, with a deviation of 9"
    lan.host(2).lose(0)
    assert received(lan, 400) == 400


def test_a_pulled_cable(make_lab: MakeLab) -> None:
    lan = make_lab(2)
    lan.host(2).plug(False)
    assert received(lan, 5) == 0
    lan.host(2).plug(True)
    assert received(lan, 5) == 5


def test_mounts_and_environment_are_the_machines(make_lab: MakeLab) -> None:
    host = make_lab(1).host(1)
    assert host.run(["readlink", "/proc/self/ns/mnt"]).stdout.strip() == str(Path("/proc/self/ns/mnt").readlink())
    assert host.run(["sh", "-c", 'echo $MOOD; test -n "$PATH"'], env={"MOOD": "good"}).stdout == "good\n"
    with pytest.raises(subprocess.CalledProcessError):
        host.run(["false"])


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def namespaces() -> set[str]:
    return {path.name for path in lab.NAMESPACES.glob(f"{lab.PREFIX}-{os.getpid()}-*")}


def test_nothing_is_left_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "GRACE", 0.2)
    before = namespaces()
    with contextlib.suppress(ZeroDivisionError), Lab(2) as lan:
        process = start(lan.host(1), STUBBORN)
        _ = 1 / 0
    assert namespaces() == before
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()


def test_a_lab_that_cannot_be_built_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = namespaces()
    monkeypatch.setattr(Lab, "broadcast", "nonsense")
    with pytest.raises(RuntimeError, match="nonsense"), Lab(1):
        pass
    assert namespaces() == before


ABANDON = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lab import Lab
lan = Lab(1).__enter__()
lan.host(1).popen(["sleep", "600"], stdout=-3)
print(lan.host(1).namespace, flush=True)
os._exit(9)
"""


def test_the_sweep_takes_what_a_killed_run_left_and_no_more(make_lab: MakeLab) -> None:
    mine = make_lab(1)
    command = [sys.executable, "-c", ABANDON, str(Path(lab.__file__).parent)]
    abandoned = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30, check=False).stdout.strip()
    assert (lab.NAMESPACES / abandoned).exists()
    assert abandoned in lab.sweep()
    assert not (lab.NAMESPACES / abandoned).exists()
    assert mine.host(1).run(["true"]).returncode == 0
