"""A Podman of the tests' own: its storage lies in a folder of theirs, never in this machine's.

    with PodmanLab(folder) as lab:                       # with the base image in it
        Podman(IMAGE, folder, url=lab.start())      # ended with the lab

Needs root, podman and the base image as a tarball (`python scripts/base_image.py`).
"""

import os
import shutil
import socket as sockets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from waiting import wait_until

if TYPE_CHECKING:
    from plain_user import PlainUser

IMAGE = os.environ.get("HOMIE_TEST_IMAGE", "homie-base:bookworm")
UNIFIED = "/sys/fs/cgroup/unified"
TARBALL = Path("/var/cache/homie/homie-base-bookworm.tar")


def missing_podman() -> str:
    """Return why tests with Podman cannot run here; empty if they can."""
    if os.getuid() != 0:
        return "only root makes a Podman of its own here"
    if not shutil.which("podman"):
        return "there is no podman; scripts/test installs it"
    return "" if TARBALL.exists() else f"there is no {TARBALL}; run `python scripts/base_image.py`"


def answers(path: Path) -> bool:
    """Return whether somebody listens at this socket."""
    with sockets.socket(sockets.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder in memory, with a short path: images are thousands of files, gone at once with it. Needs root."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=711", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


class PodmanLab:
    """Storage and configuration in one folder; `env` makes every podman that is started with it use them."""

    def __init__(self, folder: Path, user: "PlainUser | None" = None) -> None:
        self.folder = folder
        self._user = user
        self._engines: list[subprocess.Popen[bytes]] = []
        theirs = user.env if user else os.environ
        self.env: Mapping[str, str] = {
            **{name: value for name, value in theirs.items() if name != "CONTAINER_HOST"},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __enter__(self) -> Self:
        # crun refuses machines whose control groups are of both versions.
        (self.folder / "containers.conf").write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'tmp_dir = "{self.folder}/tmp"\nlock_type = "file"\n'
        )
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/root"\n'
            f'rootless_storage_path = "{self.folder}/root"\nrunroot = "{self.folder}/run"\n'
        )
        self.run("import", "-q", str(TARBALL), IMAGE)
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            engine.terminate()
            engine.wait(20)
        self.run("rm", "--all", "--force")

    def start(self, runtime: str = "runc") -> str:
        """Start an engine with this runtime; return its address."""
        socket = self.folder / f"{runtime}-{len(self._engines)}.sock"
        serve = f"exec podman --runtime {runtime} system service --time=0 unix://{socket}"
        if (
            runtime == "crun"
        ):  # where version 2 of control groups is mounted beside version 1, it must not see that
            serve = f"! mountpoint -q {UNIFIED} || umount {UNIFIED}; {serve}"
        engine = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", serve] if runtime == "crun" else ["sh", "-c", serve],
            cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._engines.append(engine)
        wait_until(lambda: engine.poll() is not None or answers(socket), "podman's engine does not answer")
        assert engine.poll() is None, "podman's engine ended"
        return f"unix://{socket}"

    def lend(self, env: dict[str, str]) -> None:
        """Let what is started with this environment find no engine, but this storage for one of its own."""
        env.pop("CONTAINER_HOST", None)
        env |= {name: self.env[name] for name in ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")}

    def run(self, *arguments: str) -> str:
        """Run a command of podman in this storage."""
        if self._user:
            return self._user.run("podman", *arguments, env=self.env)
        done = subprocess.run(
            ["podman", *arguments],
            env=self.env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout
