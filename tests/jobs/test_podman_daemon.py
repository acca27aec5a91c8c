"""A whole daemon that lends Podman's sandboxes: it starts Podman's engine itself, and takes it along."""

from pathlib import Path

import psutil
import pytest
from pair import Pair
from podman_lab import PodmanLab, missing_podman, scratch, wait_until

pytestmark = pytest.mark.docker


def engines(socket: Path) -> list[psutil.Process]:
    found = ((process, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    return [process for process, command in found if f"unix://{socket}" in command]


def test_a_job_on_podman_and_no_engine_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if missing := missing_podman():
        pytest.skip(missing)
    with scratch("hp-") as folder, PodmanLab(folder) as lab:
        monkeypatch.delenv("CONTAINER_HOST")
        for name, value in lab.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "job.py").write_text(
            "open('out.txt', 'w').write('1')\nprint('hello from podman')\nraise SystemExit(3)"
        )
        with Pair(desk={"sandbox": "podman", "sandbox_pool": "0"}) as pair:
            socket = pair.desk.home / "podman.sock"
            assert len(engines(socket)) == 1
            done = pair.laptop.homie("run", "-n", "desk", "job.py", check=False)
            assert (done.returncode, done.stdout) == (3, "hello from podman\n"), done.stderr
            assert [path.name for path in tmp_path.glob("homie-results/*/*")] == ["out.txt"]
            said = pair.desk.homie("whoami").stdout
            assert "podman 4" in said or "podman 5" in said
            assert "memory exact, processes exact, cpu exact, disk exact" in said
            pair.desk.homie("down")
            wait_until(lambda: not engines(socket), "Podman's engine outlived the daemon")
        assert lab.run("ps", "--all", "--quiet") == "", "a sandbox was left"
