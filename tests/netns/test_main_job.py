"""The main job, as two people on one network do it: set up, see each other, run a script there, get its files."""

import hashlib
import subprocess
import time

import pytest
from machines import HOMIE, wait_until

from homie_core.client import Client

pytestmark = [pytest.mark.netns, pytest.mark.docker]

TRAIN = """
import hashlib, sys, time
assert sys.argv[1:] == ["--epochs", "10"]
weights = sum(float(line) for line in open("data.csv"))
for epoch in range(int(sys.argv[2])):
    print("epoch", epoch, time.monotonic(), flush=True)
    time.sleep(0.5)
open("model.pt", "wb").write(hashlib.sha256(str(weights).encode()).digest() * 1000)
"""


def test_the_main_job_between_two_machines(machines, tmp_path, monkeypatch):
    laptop, desk, _ = machines
    desk.join(laptop.join())
    laptop.homie("up")
    desk.homie("up")
    wait_until(lambda: laptop.sees("desk") and desk.sees("laptop"), within=2.0)
    wait_until(lambda: laptop.peers()[0]["sharing"], within=30)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "data.csv").write_text("1\n2\n3.5\n")
    command = [HOMIE, "run", "-f", "data.csv", "train.py", "--epochs", "10"]
    lines = []
    with laptop.host.popen(command, env=laptop.env, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as job:
        for line in job.stdout:
            _, epoch, printed_at = line.split()
            lines.append(int(epoch))
            assert time.monotonic() - float(printed_at) < 1.0, "output arrives while the job runs"
    assert job.returncode == 0
    assert lines == list(range(10))
    (model,) = tmp_path.glob("homie-results/*/model.pt")
    expected = hashlib.sha256(b"6.5").digest() * 1000
    assert hashlib.sha256(model.read_bytes()).digest() == hashlib.sha256(expected).digest()


def test_a_machine_with_another_secret_sees_nobody_and_is_told_why(machines):
    laptop, _, stranger = machines
    laptop.join()
    stranger.join()
    laptop.homie("up")
    stranger.homie("up")

    def noticed():
        return "another group was heard" in Client(laptop.home).status().discovery

    wait_until(noticed, within=10)
    assert laptop.peers() == stranger.peers() == []
    add = [HOMIE, "add", stranger.host.address]
    with laptop.host.popen(add, env=laptop.env, stderr=subprocess.PIPE, text=True) as answer:
        assert "a different secret?" in answer.communicate(timeout=30)[1]
    assert answer.returncode == 1


def test_a_peer_that_broadcast_does_not_reach_is_added_by_hand(machines):
    laptop, desk, _ = machines
    desk.join(laptop.join())
    for machine in (laptop, desk):
        machine.host.run(["iptables", "-A", "INPUT", "-p", "udp", "-j", "DROP"])
        machine.homie("up")
    assert laptop.peers() == []
    assert "online" in laptop.homie("add", desk.host.address)
    wait_until(lambda: laptop.sees("desk") and desk.sees("laptop"), within=5)


def test_a_pulled_cable_and_its_return(machines):
    laptop, desk, _ = machines
    desk.join(laptop.join())
    laptop.homie("up")
    desk.homie("up")
    wait_until(lambda: laptop.sees("desk"), within=5)
    desk.host.plug(False)
    wait_until(lambda: not laptop.sees("desk"), within=20)
    desk.host.plug(True)
    wait_until(lambda: laptop.sees("desk") and desk.sees("laptop"), within=12)
