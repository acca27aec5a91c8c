"""The container engine is stopped, killed, started again while jobs run: they go on, or are lost, and said to be.

An engine of our own: data, socket and containers apart from this machine's.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pair import Pair
from podman_lab import answers
from waiting import wait_until

pytestmark = pytest.mark.docker

SCRIPT = """
import time
open("starts", "a").write("x")
for number in range(50):
    print(number, flush=True)
    time.sleep(0.1)
"""
ALL = "".join(f"{number}\n" for number in range(50))


class Dockerd:
    """A Docker engine; `live` keeps its containers running while it does not."""

    def __init__(self, folder: Path, live: bool) -> None:
        self.live, self._socket = live, folder / "docker.sock"
        self.url = f"unix://{self._socket}"
        self._folder = folder
        self._command = [
            # In a network of its own: without a bridge, it would take this machine's docker0 away.
            *(
                "unshare",
                "--net",
                "dockerd",
                "--data-root",
                folder / "data",
                "--exec-root",
                folder / "exec",
                "-H",
                self.url,
            ),
            *("--pidfile", folder / "pid", "--bridge=none", "--iptables=false", "--ip-forward=false"),
            *(["--live-restore"] if live else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        ended = self._process.poll
        wait_until(lambda: ended() is not None or answers(self._socket), "dockerd does not listen", 40)
        asked = ["docker", "-H", self.url, "version"]  # who listens takes requests, and answers once it is ready
        done = subprocess.run(asked, capture_output=True, timeout=40, check=False)
        assert done.returncode == 0, (self._folder / "log").read_text()[-2000:]

    def end(self, how: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(how)
        self._process.wait(30)
        # Of a killed engine these stay, and its containerd, which dies with it, may be a zombie for a while.
        for name in ("pid", "exec/containerd/containerd.pid"):
            (self._folder / name).unlink(missing_ok=True)

    def load(self, image: str) -> None:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", self.url, "load", "-q"], stdin=saved.stdout, check=True, timeout=120)

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            subprocess.run(
                f"docker -H {self.url} ps -aq | xargs -r docker -H {self.url} rm -f", shell=True, check=False
            )
            self.end(signal.SIGTERM)
        for process in psutil.process_iter(["cmdline"]):  # containerd and its shims, of a killed engine
            if str(self._folder) in " ".join(process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        for partition in reversed(psutil.disk_partitions(all=True)):
            if Path(partition.mountpoint).is_relative_to(self._folder):
                subprocess.run(["umount", "--lazy", partition.mountpoint], check=False)


@contextlib.contextmanager
def killed_in_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


@pytest.fixture(scope="module", params=[True, False], ids=["live-restore", "plain"])
def dockerd(request: pytest.FixtureRequest, base_image: str) -> Iterator[Dockerd]:
    with tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        dockerd = Dockerd(Path(folder), request.param)
        try:
            dockerd.start()
            dockerd.load(base_image)
            yield dockerd
        finally:
            dockerd.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_job_goes_on_or_is_lost_with_its_engine(dockerd: Dockerd, how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    pair = Pair(desk={"sandbox": "docker", "sandbox_pool": "0"})
    pair.desk.env["DOCKER_HOST"] = dockerd.url
    with pair, pair.laptop.popen("run", "-o", "out", "script.py", **streams) as job, killed_in_the_end(job):
        assert job.stdout.readline() == "0\n"
        dockerd.end(how)
        if dockerd.live:
            wait_until(lambda: "is not reached" in pair.desk.log(), "desk does not see that its engine is away")
        dockerd.start()
        out, err = job.communicate(timeout=90)
        if dockerd.live:
            assert (f"0\n{out}", job.returncode) == (ALL, 0), err
            assert (tmp_path / "out/starts").read_text() == "x"
        else:
            assert ALL.startswith(f"0\n{out}")
            assert "lost" in err
            assert "engine" in err
            assert "memory" not in err
            assert job.returncode == 1
        os.environ["DOCKER_HOST"] = dockerd.url
        try:
            pair.desk.end()
        finally:
            del os.environ["DOCKER_HOST"]
