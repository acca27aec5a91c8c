"""What a machine says of itself: in a container, without one, with odd interfaces."""

import socket
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from homie_core.host import machine
from homie_core.host.machine import Machine, addresses, interfaces

GIB = 1 << 30
Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice")


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 8 cores and 32 GiB, 20 of them free."""
    memory = SimpleNamespace(total=32 * GIB, available=20 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def times(busy: float, idle: float) -> Times:
    return Times(busy, 0, 0, idle, 0, 0, 0, 0, 0, 0)


def test_this_machine() -> None:
    sample = Machine().sample()
    assert 1 <= sample.cores <= (psutil.cpu_count() or 1)
    assert 0 < sample.ram_free <= sample.ram_total <= psutil.virtual_memory().total
    assert 0 <= sample.cpu_percent <= 100


@pytest.mark.usefixtures("big")
def test_without_a_container_the_whole_machine_counts(tmp_path: Path) -> None:
    sample = Machine(tmp_path).sample()
    assert (sample.cores, sample.ram_total, sample.ram_free) == (8, 32 * GIB, 20 * GIB)


@pytest.mark.usefixtures("big")
def test_cgroup_v2_limits_of_a_container(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory_DOT_max=str(4 * GIB),
        memory_DOT_current=str(3 * GIB),
        memory_DOT_stat=f"anon 1\nactive_file 7\ninactive_file {GIB}",
        cpu_DOT_max="250000 100000",
    )
    sample = Machine(tmp_path).sample()
    assert (sample.cores, sample.ram_total, sample.ram_free) == (2, 4 * GIB, 2 * GIB)


@pytest.mark.usefixtures("big")
def test_cgroup_v1_limits_of_a_container(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__memory_DOT_limit_in_bytes=str(4 * GIB),
        memory__memory_DOT_usage_in_bytes=str(5 * GIB),
        memory__memory_DOT_stat="inactive_file 1\ntotal_inactive_file 2",
        cpu__cpu_DOT_cfs_quota_us="50000",
        cpu__cpu_DOT_cfs_period_us="100000",
    )
    sample = Machine(tmp_path).sample()
    assert (sample.cores, sample.ram_total, sample.ram_free) == (1, 4 * GIB, 0)


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize(
    "files",
    [
        {"memory_DOT_max": "max", "cpu_DOT_max": "max 100000"},
        {"memory__memory_DOT_limit_in_bytes": "9223372036854771712", "cpu__cpu_DOT_cfs_quota_us": "-1"},
    ],
)
def test_a_container_without_limits(tmp_path: Path, files: dict[str, str]) -> None:
    sample = Machine(write(tmp_path, **files)).sample()
    assert (sample.cores, sample.ram_total, sample.ram_free) == (8, 32 * GIB, 20 * GIB)


@pytest.mark.usefixtures("big")
def test_affinity_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert Machine(tmp_path).sample().cores == 2


@pytest.mark.usefixtures("big")
def test_cpu_use_is_measured_between_samples(tmp_path: Path) -> None:
    answers = iter([times(100, 100), times(101, 103), times(101.1, 103.1), times(121.1, 103.1), times(121.1, 90)])
    here = Machine(tmp_path, times=lambda: next(answers))
    assert here.sample().cpu_percent == 25
    assert here.sample().cpu_percent == 25, "0.2 of 8 cores' seconds: too little to tell"
    assert here.sample().cpu_percent == pytest.approx(100 * 20.1 / 20.2)
    assert here.sample().cpu_percent == pytest.approx(100 * 20.1 / 20.2), "a counter went back"


@pytest.mark.usefixtures("big")
def test_waiting_for_disks_and_guests_are_not_counted_as_use(tmp_path: Path) -> None:
    answers = iter([Times(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), Times(6, 0, 1, 2, 3, 0, 0, 0, 5, 0)])
    # 12 core-seconds there were, 7 of them used; the guest's 5 are among the user's 6
    assert Machine(tmp_path, times=lambda: next(answers)).sample().cpu_percent == pytest.approx(100 * 7 / 12)


def network(
    monkeypatch: pytest.MonkeyPatch, entries: Sequence[tuple[str, str, str | None]], down: str = ""
) -> None:
    found: dict[str, list[SimpleNamespace]] = {}
    for name, address, netmask in entries:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found.setdefault(name, []).append(SimpleNamespace(family=family, address=address, netmask=netmask))
    state = {name: SimpleNamespace(isup=name != down) for name in found}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: state)


def test_loopback_has_a_broadcast_address() -> None:
    loopback = [each for each in interfaces() if each.is_loopback]
    assert ("127.0.0.1", "127.255.255.255") in [(each.address, each.broadcast) for each in loopback]


def test_every_interface_that_is_up_is_spoken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        ("eth0", "192.168.1.20", "255.255.255.0"),
        ("eth0", "fe80::1%eth0", None),
        ("eth0", "10.1.2.3", "255.255.252.0"),
        ("wg0", "100.64.0.7", "255.255.255.255"),
        ("docker0", "172.17.0.1", "255.255.0.0"),
        ("wlan0", "192.168.2.9", "255.255.255.0"),
    ]
    network(monkeypatch, entries, down="wlan0")
    assert [(each.name, each.address, each.broadcast) for each in interfaces()] == [
        ("eth0", "192.168.1.20", "192.168.1.255"),
        ("eth0", "10.1.2.3", "10.1.3.255"),
        ("wg0", "100.64.0.7", None),
        ("docker0", "172.17.0.1", "172.17.255.255"),
    ]


LO, ETH, DOCKER = (
    ("lo", "127.0.0.1", "255.0.0.0"),
    ("eth0", "192.168.1.20", "255.255.255.0"),
    ("docker0", "172.17.0.1", "255.255.0.0"),
)


@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        ([LO, DOCKER, ETH, ("br-0123456789ab", "172.18.0.1", "255.255.0.0")], ("192.168.1.20",)),
        ([LO, ("br-lan", "192.168.1.1", "255.255.255.0")], ("192.168.1.1",)),
        ([LO, DOCKER], ("172.17.0.1",)),
        ([LO], ("127.0.0.1",)),
        ([], ()),
    ],
)
def test_addresses_for_friends_leave_out_what_they_cannot_reach(
    monkeypatch: pytest.MonkeyPatch, entries: list[tuple[str, str, str]], shown: tuple[str, ...]
) -> None:
    network(monkeypatch, entries)
    assert addresses() == shown
