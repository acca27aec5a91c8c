"""Which sandbox is taken; and no sandbox at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox_lab import Lab

from homie_core.config import Config
from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.peer import Holds
from homie_core.sandbox import choose as choosing
from homie_core.sandbox.bare import Bare
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.choose import candidates, choose
from homie_core.sandbox.selftest import Verdict

PYTHON = Interpreter("3.12", "x86_64", "2.36")


class Fake:
    """A backend that is ready, or says why not."""

    def __init__(self, name: str, trouble: str = "") -> None:
        self.name, self.trouble, self.closed = name, trouble, False

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        if self.trouble:
            raise SandboxError(self.trouble)
        return PYTHON

    async def close(self) -> None:
        self.closed = True


def makers(*fakes: Fake) -> Any:
    return {fake.name: lambda fake=fake: fake for fake in fakes}


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of backends that fail the self-test."""
    names: set[str] = set()

    async def verdict(backend: Fake, interpreter: Interpreter, home: Path) -> Verdict:
        bad = backend.name in names
        return Verdict(not bad, "a job is root" if bad else "", {"memory": Holds.EXACT})

    monkeypatch.setattr(choosing, "verdict", verdict)
    return names


async def test_the_first_that_is_ready_is_taken(leaky: set[str], tmp_path: Path) -> None:
    first, second = Fake("docker", "no engine"), Fake("bubblewrap")
    choice = await choose(makers(first, second), tmp_path, print)
    assert choice.backend is second  # type: ignore[comparison-overlap]
    assert (first.closed, second.closed) == (True, False)


async def test_one_that_does_not_isolate_is_not_used(
    leaky: set[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaky.add("docker")
    caplog.set_level("INFO")
    choice = await choose(makers(Fake("docker"), Fake("bubblewrap")), tmp_path, print)
    assert choice.backend.name == "bubblewrap"
    assert "docker is not used: it does not isolate: a job is root" in caplog.text


async def test_when_nothing_works_each_reason_and_three_ways_out_are_named(
    leaky: set[str], tmp_path: Path
) -> None:
    leaky.add("bubblewrap")
    with pytest.raises(SandboxError) as caught:
        await choose(makers(Fake("docker", "no engine"), Fake("bubblewrap")), tmp_path, print)
    for part in ("docker: no engine", "bubblewrap: it does not isolate", "install and start an engine",
                 "allow user namespaces", "only submit jobs"):  # fmt: skip
        assert part in str(caught.value)


def config(**settings: Any) -> Config:
    return Config(name="desk", group_secret="x", **settings)


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ("auto", ["docker", "podman", "bubblewrap"]),
        ("docker", ["docker"]),
        ("podman", ["podman"]),
        ("bubblewrap", ["bubblewrap"]),
    ],
)
def test_the_owners_wish(wish: str, names: list[str], tmp_path: Path) -> None:
    assert list(candidates(config(sandbox=wish), tmp_path)) == names


@pytest.mark.parametrize("listen", ["0.0.0.0", "192.168.1.7"])
def test_none_is_refused_where_others_can_connect(listen: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"NO ISOLATION.*config set listen 127.0.0.1"):
        candidates(config(sandbox="none", listen=listen), tmp_path)


async def test_none_says_so_in_capital_letters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    choice = await choose(candidates(config(sandbox="none", listen="127.0.0.1"), tmp_path), tmp_path, print)
    assert isinstance(choice.backend, Bare)
    assert not choice.verdict.isolated
    assert set(choice.verdict.holds.values()) == {Holds.NOT}
    assert "NO ISOLATION" in caplog.text


@pytest.fixture
def bare(tmp_path: Path) -> Lab:
    return Lab(Bare(), tmp_path)  # type: ignore[arg-type]


async def test_a_bare_job_runs_where_its_files_are(bare: Lab) -> None:
    result = await bare.run(
        "import os, sys; open('out.txt', 'w').write('1'); print(os.getcwd(), sys.argv[1:])", args=("/work/x",)
    )
    assert result.status == 0, result.err
    assert result.out.decode().strip().endswith(f"['{result.out.decode().split()[0]}/x']")
    assert result.collected
    assert "out.txt" in [file.name for file in result.collected.files]


def runs(process: psutil.Process) -> bool:
    """Whether it is more than an entry that nobody has asked for yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_killing_a_bare_job_ends_its_children(bare: Lab, tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    source = f"import subprocess; subprocess.run(['sh', '-c', 'echo on; exec sleep 60', '{mark}'])"
    sandbox, link = await bare.start(bare.box(source, Limits(cpus=1, memory=1 << 30, timeout=30)))
    async for _ in link:
        if b"on" in getattr(_.fact, "data", b""):
            break
    family = sandbox._family()  # type: ignore[attr-defined]
    assert len(family) >= 3
    await sandbox.remove()
    assert not [process for process in family if runs(process)]
    assert os.getpid() not in [process.pid for process in family]
