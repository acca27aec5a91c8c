"""The arguments, the system call program and the control groups of bubblewrap, without running any of it."""

import json
import platform
import re
import struct
from pathlib import Path

import pytest

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.sandbox.bubblewrap import cgroups, syscalls
from homie_core.sandbox.bubblewrap.arguments import SLACK, Host, python_arguments
from homie_core.sandbox.bubblewrap.cgroups import Group, find
from homie_core.sandbox.profile import User

PROFILE = (Path(syscalls.__file__).parents[1] / "seccomp.json").read_text()
NUMBERS = json.loads(syscalls.NUMBERS.read_text())
LIMITS = Limits(cpus=1.5, memory=64 << 20, timeout=1, pids=7)
ALLOW, EPERM, ENOSYS = syscalls.ALLOW, syscalls.ERRNO | 1, syscalls.ERRNO | 38


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """Run the program as the kernel would."""
    code = syscalls.compile_seccomp(PROFILE, machine)
    program = list(struct.iter_unpack("=HBBI", code))
    arguments = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, arch or syscalls.AUDIT_ARCH[machine], 0, *arguments)
    at = held = 0
    while True:
        operation, if_true, if_false, operand = program[at]
        at += 1
        match operation:
            case syscalls.LOAD:
                (held,) = struct.unpack_from("<I", data, operand)
            case syscalls.AND:
                held &= operand
            case syscalls.RETURN:
                return operand
            case syscalls.EQUAL:
                at += if_true if held == operand else if_false
            case syscalls.GREATER:
                at += if_true if held > operand else if_false
            case syscalls.AT_LEAST:
                at += if_true if held >= operand else if_false


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_without_conditions_is_allowed_and_no_other(machine: str) -> None:
    rules = json.loads(PROFILE)["syscalls"]
    free = {
        name
        for rule in rules
        if "args" not in rule and rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    allowed = {NUMBERS[machine][name] for name in free if name in NUMBERS[machine]}
    assert {number for number in range(600) if verdict(machine, number, (1 << 64) - 1) == ALLOW} == allowed


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_conditions_hold_in_all_64_bits(machine: str) -> None:
    number = NUMBERS[machine]
    assert verdict(machine, number["socket"], 2, 1) == ALLOW
    assert verdict(machine, number["socket"], 40, 1) == EPERM
    assert verdict(machine, number["socket"], 2 | 1 << 32) == EPERM
    assert verdict(machine, number["socket"], 16, 3, 0) == ALLOW
    assert verdict(machine, number["socket"], 16, 3, 12) == EPERM
    assert verdict(machine, number["clone"], 0x11) == ALLOW
    assert verdict(machine, number["clone"], 0x10000011) == EPERM
    assert verdict(machine, number["clone3"]) == ENOSYS
    assert verdict(machine, number["personality"], 0x40000) == EPERM


def test_calls_of_another_architecture_kill() -> None:
    assert verdict("x86_64", 0, arch=0x40000003) == syscalls.KILL
    assert verdict("x86_64", 0x40000000 | 39) == EPERM, "the x32 numbers"


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(SandboxError, match="riscv64"):
        syscalls.compile_seccomp(PROFILE, "riscv64")


def test_every_name_of_the_profile_is_known() -> None:
    names = {name for rule in json.loads(PROFILE)["syscalls"] for name in rule["names"]}
    assert names == set(NUMBERS["x86_64"])
    assert set(NUMBERS["aarch64"]) < names


def test_numbers_are_those_of_the_kernel() -> None:
    header = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h")
    text = header.read_text() if header.exists() else "#define __NR_read 0\n"
    for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.MULTILINE):
        assert NUMBERS["x86_64"].get(name, int(number)) == int(number)


def test_what_runs_for_ourselves_is_limited_without_a_group() -> None:
    host = Host("/usr/bin/python3", "/usr", (), (), (), (), User(0, 0), root=True, groups=True)
    assert f"--data={2 * LIMITS.memory + SLACK}" in python_arguments(host, LIMITS, "-m", "compileall")


V1 = "30 25 0:26 / /sys/fs/cgroup/{0} rw - cgroup cgroup rw,{0}\n"


def test_groups_of_version_1_lie_below_our_own() -> None:
    mounts = "".join(V1.format(name) for name in ("memory", "pids", "cpu"))
    tree = find(mounts, "4:memory:/mine\n3:pids:/\n1:cpu:/\n0::/\n", root=False)
    assert tree
    assert not tree.unified
    assert tree.parents["memory"] == Path("/sys/fs/cgroup/memory/mine/homie")
    assert tree.parents["pids"] == Path("/sys/fs/cgroup/pids/homie")
    assert "freezer" not in tree.parents


def test_groups_of_version_2_are_made_at_the_top_by_root() -> None:
    mounts = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
    assert find(mounts, "0::/user.slice/x\n", root=False) is None
    tree = find(mounts, "0::/user.slice/x\n", root=True)
    assert tree
    assert tree.unified
    assert set(tree.parents.values()) == {Path("/sys/fs/cgroup/homie")}
    assert find("", "0::/\n", root=True) is None


def test_limits_of_version_2(tmp_path: Path) -> None:
    group = Group(dict.fromkeys(cgroups.CONTROLLERS, tmp_path / "job"), unified=True)
    group.make(LIMITS)
    written = {path.name: path.read_text() for path in (tmp_path / "job").iterdir()}
    assert written == {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "pids.max": "7",
        "cpu.max": "150000 100000",
    }
    assert not group.out_of_memory()
    (tmp_path / "job" / "memory.events").write_text("oom 3\noom_kill 1\n")
    assert group.out_of_memory()
    assert group.freeze(True)
    assert (tmp_path / "job" / "cgroup.freeze").read_text() == "1"
