"""Environments with a uv that only pretends, and one real one in a container."""

import asyncio
import stat
from pathlib import Path

import pytest
from sandbox_lab import Lab

from homie_core.model.errors import SandboxError
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.environments import Environments

PYTHON = Interpreter(version="3.11", machine="x86_64", glibc="2.36")

UV = """#!/bin/sh
echo "$@" >> {log}
case "$2" in
compile) cat; echo "# lock" ;;
install)
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/pkg" && echo "x = 1" > "$2/pkg/mod.py" ;;
esac
"""


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    path = tmp_path / "uv"
    path.write_text(UV.format(log=tmp_path / "log"))
    path.chmod(0o755)
    return path


def calls(uv: Path) -> list[list[str]]:
    log = uv.with_name("log")
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


async def test_made_once_and_found_again_by_a_later_daemon(uv: Path, tmp_path: Path) -> None:
    folder, said = tmp_path / "envs", list[str]()
    environments = Environments(folder, str(uv))
    first = await environments.ensure(("b>=1", "a"), PYTHON, said.append)
    assert (first / "pkg/mod.py").read_text() == "x = 1\n"
    assert await environments.ensure(("a", "b>=1"), PYTHON) == first
    uv.unlink()
    assert await Environments(folder, str(uv)).ensure(("a", "b>=1"), PYTHON) == first
    assert said == ["getting b>=1, a"]
    assert [call[:2] for call in calls(uv)] == [["pip", "compile"], ["pip", "install"]]
    assert sorted(path.name for path in folder.iterdir())[1:] == [first.name]


async def test_concurrent_calls_build_once(uv: Path, tmp_path: Path) -> None:
    environments = Environments(tmp_path / "envs", str(uv))
    paths = await asyncio.gather(*(environments.ensure(("a",), PYTHON) for _ in range(5)))
    assert len(set(paths)) == 1
    assert len(calls(uv)) == 2


async def test_another_python_gets_another_environment(uv: Path, tmp_path: Path) -> None:
    environments = Environments(tmp_path / "envs", str(uv))
    newer = Interpreter(version="3.12", machine="aarch64", glibc="2.41")
    assert await environments.ensure(("a",), PYTHON) != await environments.ensure(("a",), newer)
    for call in calls(uv)[2:]:
        assert call[call.index("--python-platform") + 1] == "aarch64-manylinux_2_40"
        assert call[call.index("--python-version") + 1] == "3.12"
        assert call[call.index("--only-binary") + 1] == ":all:"


async def test_read_only_and_compiled_before_it_is(uv: Path, tmp_path: Path) -> None:
    async def compile(folder: Path) -> None:
        (folder / "pkg/mod.pyc").write_bytes(b"code")

    environment = await Environments(tmp_path / "envs", str(uv), compile).ensure(("a",), PYTHON)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (environment, *environment.rglob("*"))}
    assert modes == {environment.name: 0o555, "pkg": 0o555, "mod.py": 0o444, "mod.pyc": 0o444}


async def test_failure_leaves_nothing_and_is_not_remembered(uv: Path, tmp_path: Path) -> None:
    working = uv.read_text()
    uv.write_text("#!/bin/sh\necho 'no solution: a needs b' >&2\nexit 1\n")
    environments = Environments(tmp_path / "envs", str(uv))
    with pytest.raises(SandboxError, match="no solution: a needs b"):
        await environments.ensure(("a",), PYTHON)
    assert list((tmp_path / "envs").iterdir()) == []
    uv.write_text(working)
    assert (await environments.ensure(("a",), PYTHON)).is_dir()


async def test_what_a_killed_daemon_left_is_removed(uv: Path, tmp_path: Path) -> None:
    left = tmp_path / "envs/building-1/packages"
    left.mkdir(parents=True)
    Environments(tmp_path / "envs", str(uv))
    assert not left.parent.exists()


async def test_too_old_an_image_is_said(uv: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"glibc 2\.12 is too old"):
        await Environments(tmp_path, str(uv)).ensure(("a",), Interpreter("3.11", "x86_64", "2.12"))


@pytest.mark.docker
async def test_real_packages_are_compiled_and_cannot_be_changed(notebook: Lab) -> None:
    assert notebook.environment
    assert list(notebook.environment.rglob("__pycache__/application.cpython-3*.pyc"))
    script = (
        "import sys; sys.path.insert(0, '/homie/env/0'); import IPython\n"
        "print(IPython.__file__.startswith('/homie/env/0/'))\nopen(IPython.__file__, 'a')"
    )
    result = await notebook.run(script)
    assert result.out == b"True\n"
    assert b"PermissionError" in result.err
    mounts = await notebook.run("print({l.split()[3][:3] for l in open('/proc/mounts') if '/homie/' in l})")
    assert mounts.out == b"{'ro,'}\n"
