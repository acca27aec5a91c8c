"""`homie demo` and a pair on machines without an engine."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import plain_user
import pytest
from pair import Pair

from homie_core.sandbox.bubblewrap.machine import CONTAINER

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
    with Pair(
        desk_uid=plain_user.UID, sandbox="bubblewrap", sandbox_pool="0", container_memory_limit="200m"
    ) as pair:
        done = pair.laptop.homie("run", "-n", "desk", "-o", tmp_path / "out", script)
        broken = pair.laptop.homie("run", "-n", "desk", "-o", tmp_path / "out2", hog, check=False)
        who = pair.desk.homie("whoami").stdout
        [desk] = pair.laptop.peers()
        assert pair.desk.processes()[0].uids().real == plain_user.UID
    assert done.stdout == f"{plain_user.UID}\n"
    assert (tmp_path / "out" / "made.txt").read_text() == "by desk"
    assert broken.returncode == 137
    assert "memory" in broken.stderr
    assert "limits     memory soft, processes exact, cpu not, disk soft" in who
    assert desk["limits"] == {"memory": "soft", "processes": "exact", "cpu": "not", "disk": "soft"}


def test_without_a_sandbox_jobs_run_and_capital_letters_say_so(tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text("import os; print(os.getcwd())\n")
    with Pair(sandbox="none") as pair:
        out = pair.laptop.homie("run", "-n", "desk", script).stdout
        who, log = pair.desk.homie("whoami").stdout, pair.desk.log()
    assert str(pair.desk.home) in out
    assert "NO ISOLATION" in who
    assert "NO ISOLATION" in log


def in_a_container(image: str, *options: str | Path, python: str | Path, script: str) -> str:
    """Run a shell script in an engine's container; `homie` in it is this Homie. Return all it says."""
    root, packages = Path(__file__).parents[2], sysconfig.get_path("purelib")
    mounts = [argument for path in {root, Path(sys.prefix)} for argument in ("-v", f"{path}:{path}:ro")]
    values = ["HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={packages}:{root}"]
    command = ["docker", "run", "--rm", "--network", "none", "-w", "/tmp", *mounts, *options]
    command += [argument for value in values for argument in ("-e", value)]
    define = f'homie() {{ {python} -m homie_core.cli "$@"; }}\n'
    done = subprocess.run(
        [*command, image, "sh", "-c", define + script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.docker
@pytest.mark.parametrize(
    "script",
    [
        "! homie demo",
        "homie setup --name desk --new-group --yes && homie config set listen 127.0.0.1 && homie up && homie down",
    ],
    ids=["demo", "up"],
)
def test_where_nothing_isolates_the_three_ways_out_are_said(base_image: str, script: str) -> None:
    """In a default, unprivileged container bubblewrap may make no namespaces."""
    python = Path(sys.base_prefix).resolve()
    said = in_a_container(base_image, "-v", f"{python}:{python}:ro", python=sys.executable, script=script)
    for part in ("docker: there is no Docker engine", "it can isolate nothing here (Creating new namespace failed",
                 "Three ways out: install and start an engine", "or allow user namespaces", "or only submit jobs",
                 "homie config set sharing false"):  # fmt: skip
        assert part in said
    assert said.count("Three ways out") == said.count("no sandbox works on this machine") == 1


@pytest.mark.docker
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="our packages in the Python of the base image")
def test_a_container_that_is_started_as_the_message_says_can_isolate(base_image: str) -> None:
    options = re.findall(r"--security-opt \S+?(?=[ `])", CONTAINER)
    assert len(options) == 2
    words = [word for option in options for word in option.split()]
    said = in_a_container(base_image, "-u", "1000", *words, python="python3", script="homie demo")
    assert "Jobs of others run in bubblewrap" in said
    assert "The model that desk trained is here" in said
