"""Every lock of a bubblewrap sandbox is there for a reason: without it, a named attack gets through."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import plain_user
import pytest
from attack_scripts import SMALL
from bubblewrap_locks import BOTH, LOCKS, NEEDED_BY_OTHERS, NOT_LOCKS, PLAIN, ROOT, Confinement, parse

SERVED = Path(__file__).with_name("bubblewrap_served.py")
INHERITED = 4
"""A group that the daemon is in (Debian: adm)."""

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="becomes another user"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86_64"),
]


class Served:
    """The other end of `bubblewrap_served.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, *request: Any) -> str:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, self._process.communicate(timeout=10)[1][-3000:]
        return answer


@contextmanager
def served(user: str) -> Iterator[Served]:
    """Start it; as root, with what a daemon may have: a group, and a capability that programs inherit."""
    command, script = ["setpriv", "--inh-caps=+chown", "--", sys.executable], SERVED
    groups, path = [INHERITED], str(plain_user.ROOT)
    if user == PLAIN:
        command, script = plain_user.python(), plain_user.seen(SERVED)
        groups, path = [], plain_user.search_path()
    with plain_user.folder_of(plain_user.UID if user == PLAIN else 0) as folder:
        folder.chmod(0o755)
        process = subprocess.Popen(
            [*command, script, folder],
            cwd="/",
            extra_groups=groups,
            env={"PYTHONPATH": path, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Served(process)
        finally:
            process.communicate(timeout=30)  # the end of its input is its end


@pytest.fixture(scope="module")
def as_root() -> Iterator[Served]:
    with served(ROOT) as one:
        yield one


@pytest.fixture(scope="module")
def as_plain_user() -> Iterator[Served]:
    with served(PLAIN) as one:
        yield one


@pytest.fixture(params=BOTH)
def someone(request: pytest.FixtureRequest) -> tuple[str, Served]:
    name = "as_root" if request.param == ROOT else "as_plain_user"
    return request.param, request.getfixturevalue(name)


@pytest.mark.parametrize(
    ("lock", "user"),
    [
        pytest.param(name, user, id=f"{name}, {user}")
        for name, lock in LOCKS.items()
        for user in lock.whose
        if name != "/proc/keys" or Path(name).exists()
    ],
)
def test_without_the_lock_its_attack_gets_through(request: pytest.FixtureRequest, lock: str, user: str) -> None:
    there: Served = request.getfixturevalue("as_root" if user == ROOT else "as_plain_user")
    attack, behind = LOCKS[lock].attack, LOCKS[lock].behind
    assert there.ask([], attack) == "stopped", "with all its locks"
    if behind:
        assert there.ask([behind], attack) == "stopped", "it is the second lock"
    assert there.ask([lock, *([behind] if behind else [])], attack) == "through"


def test_what_is_bound_in_to_be_read_cannot_be_written(someone: tuple[str, Served]) -> None:
    assert json.loads(someone[1].ask("read-only")) == []


def test_no_argument_is_without_a_mutation(someone: tuple[str, Served]) -> None:
    user, there = someone
    arguments = json.loads(there.ask("arguments"))
    options, command = parse(arguments)
    left = [option for option in options if option[0] not in NOT_LOCKS and not option[0].startswith("--ro-bind")]
    words = [word for word in command if word.startswith("-")]
    for lock in LOCKS.values():
        changed = Confinement(*parse(arguments), b"", SMALL)
        with suppress(ValueError):  # an argument of the other user's
            lock.take_away(changed)
        left = [option for option in left if option in changed.options]
        words = [word for word in words if word in changed.command]
    assert set(left) == ({*NEEDED_BY_OTHERS} if user == PLAIN else set())
    assert set(words) == {"-c", "--", "-I", "-S"}
