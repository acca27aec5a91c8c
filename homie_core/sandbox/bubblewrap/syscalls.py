"""The seccomp profile as a BPF program, for sandboxes that have no engine to compile it. Pure.

One source of truth: `seccomp.json`, which Docker reads as well. A program sees `struct seccomp_data`: the number
of the call, the architecture, and six arguments of 64 bits.
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from homie_core.model.errors import SandboxError

NUMBERS = Path(__file__).with_name("syscall_numbers.json")
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

LOAD, AND, RETURN = 0x20, 0x54, 0x06
EQUAL, GREATER, AT_LEAST = 0x15, 0x25, 0x35
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000

Instruction = tuple[int, int, int, int]
"""Code, how many instructions to skip if true, if false, operand."""


def compile_seccomp(profile: str, machine: str) -> bytes:
    """Return the program for this machine (`x86_64`, `aarch64`); raise SandboxError for another one."""
    if machine not in AUDIT_ARCH:
        raise SandboxError(f"bubblewrap is not confined on {machine} yet: install Docker or Podman")
    numbers: dict[str, int] = json.loads(NUMBERS.read_text())[machine]
    rules = json.loads(profile)
    refuse = (RETURN, 0, 0, ERRNO | rules["defaultErrnoRet"])
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL),  # 32-bit calls have other numbers
        (LOAD, 0, 0, NUMBER_AT),
    ]
    free = [rule for rule in rules["syscalls"] if "args" not in rule and _verdict(rule) == ALLOW]
    for first, last in _ranges(numbers[name] for rule in free for name in rule["names"] if name in numbers):
        program += [(AT_LEAST, 0, 2, first), (GREATER, 1, 0, last), (RETURN, 0, 0, ALLOW)]
    for rule in rules["syscalls"]:
        if rule not in free:
            for number in sorted(numbers[name] for name in rule["names"] if name in numbers):
                program += _rule(number, rule)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in [*program, refuse])


def _rule(number: int, rule: dict[str, Any]) -> list[Instruction]:
    """Return what checks one call with its arguments, and falls through if they are others."""
    checks: list[tuple[Instruction, ...]] = []
    for argument in rule.get("args", ()):
        mask, value = (1 << 64) - 1, argument["value"]
        if argument["op"] == "SCMP_CMP_MASKED_EQ":
            mask, value = argument["value"], argument["valueTwo"]
        elif argument["op"] != "SCMP_CMP_EQ":
            raise ValueError(f"unknown comparison {argument['op']}")
        for half in (0, 32):
            at = ARGUMENTS_AT + 8 * argument["index"] + half // 8
            bits = mask >> half & 0xFFFFFFFF
            checks.append(((LOAD, 0, 0, at), (AND, 0, 0, bits), (EQUAL, 0, 0, value >> half & 0xFFFFFFFF)))
    body: list[Instruction] = []
    left = 3 * len(checks) + 1
    for *before, (code, _, _, value) in checks:
        left -= 3
        body += [*before, (code, 0, left, value)]
    body.append((RETURN, 0, 0, _verdict(rule)))
    return [(LOAD, 0, 0, NUMBER_AT), (EQUAL, 0, len(body), number), *body]


def _verdict(rule: dict[str, Any]) -> int:
    if rule["action"] == "SCMP_ACT_ALLOW":
        return ALLOW
    if rule["action"] == "SCMP_ACT_ERRNO":
        return ERRNO | int(rule["errnoRet"])
    raise ValueError(f"unknown action {rule['action']}")


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return them as (first, last) of each unbroken run: two comparisons for many calls."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
