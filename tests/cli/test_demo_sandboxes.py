"""`homie demo` and a pair on machines without an engine."""

import os
import subprocess
import sys
from pathlib import Path

import plain_user
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


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_plain_users_daemon_hosts_for_roots(tmp_path: Path) -> None:
    script, hog = tmp_path / "hello.py", tmp_path / "hog.py"
    script.write_text("import os; open('made.txt', 'w').write('by desk'); print(os.getuid())\n")
    hog.write_text("import time; x = b'x' * (400 << 20); time.sleep(60)\n")
    with Pair(desk_uid=plain_user.UID, sandbox="bubblewrap", sandbox_pool="0", container_memory_limit="200m") as pair:
        done = pair.laptop.homie("run", "-n", "desk", "-o", tmp_path / "out", script)
        broken = pair.laptop.homie("run", "-n", "desk", "-o", tmp_path / "out2", hog, check=False)
        who = pair.desk.homie("whoami").stdout
        assert pair.desk.processes()[0].uids().real == plain_user.UID
    assert done.stdout == f"{plain_user.UID}\n"
    assert (tmp_path / "out" / "made.txt").read_text() == "by desk"
    assert broken.returncode == 137
    assert "memory" in broken.stderr
    assert "limits     memory soft, processes exact, cpu not, disk soft" in who


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
