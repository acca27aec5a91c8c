"""`homie demo` and a pair on machines without an engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pair import Pair

NOWHERE = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def test_the_demo_needs_no_engine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "homie_core.cli", "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=NOWHERE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Jobs of others run in bubblewrap" in done.stdout
    assert (tmp_path / "homie-demo" / "model.json").is_file()


def test_a_pair_on_bubblewrap_says_what_holds(tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text("print('hello')\n")
    with Pair(sandbox="bubblewrap") as pair:
        assert pair.laptop.homie("run", "-n", "desk", script).stdout == "hello\n"
        who = pair.desk.homie("whoami").stdout
    assert "bubblewrap" in who
    assert "limits     memory " in who


def test_without_a_sandbox_jobs_run_and_capital_letters_say_so(tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text("import os; print(os.getcwd())\n")
    with Pair(sandbox="none") as pair:
        out = pair.laptop.homie("run", "-n", "desk", script).stdout
        who, log = pair.desk.homie("whoami").stdout, pair.desk.log()
    assert str(pair.desk.home) in out
    assert "NO ISOLATION" in who
    assert "NO ISOLATION" in log


@pytest.mark.docker
def test_where_nothing_isolates_the_way_out_is_said(tmp_path: Path, base_image: str) -> None:
    """Our own Python in an engine's default container, where bubblewrap may make no namespaces."""
    root, python = Path(__file__).parents[2], Path(sys.base_prefix).resolve()
    folders = [argument for path in {root, python, Path(sys.prefix)} for argument in ("-v", f"{path}:{path}:ro")]
    command = ["docker", "run", "--rm", "--network", "none", "-e", "HOME=/tmp", "-e", "PYTHONDONTWRITEBYTECODE=1"]
    command += [*folders, "-w", "/tmp", base_image, sys.executable, "-m", "homie_core.cli", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    for part in ("docker: there is no Docker engine", "namespace", "install and start an engine",
                 "allow user namespaces", "only submit jobs"):  # fmt: skip
        assert part in done.stderr
