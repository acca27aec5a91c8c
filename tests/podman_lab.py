"""A Podman of the tests' own: its storage lies in a folder of theirs, never in this machine's.

    with PodmanLab(folder) as lab:        # with the base image in it
        Podman("homie-base:bookworm", lab.folder / "home")      # starts its engine itself: the environment says where

Needs root, podman and the base image as a tarball (`python scripts/base_image.py`).
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from conftest import BASE_IMAGE

TARBALL = Path("/var/cache/homie/homie-base-bookworm.tar")
NOWHERE = "unix:///nonexistent/podman.sock"


def missing_podman() -> str:
    """Return why tests with Podman cannot run here; empty if they can."""
    if os.getuid() != 0:
        return "only root makes a Podman of its own here"
    if not shutil.which("podman"):
        return "there is no podman; scripts/test installs it"
    return "" if TARBALL.exists() else f"there is no {TARBALL}; run `python scripts/base_image.py`"


class PodmanLab:
    """Storage and configuration in one folder; `env` makes every podman started with it use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: Mapping[str, str] = {
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
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/root"\nrunroot = "{self.folder}/run"\n'
        )
        self.run("import", "-q", str(TARBALL), BASE_IMAGE)
        return self

    def __exit__(self, *_: object) -> None:
        self.run("rm", "--all", "--force")
        subprocess.run(["umount", "--lazy", self.folder / "root" / "overlay"], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *arguments: str) -> str:
        """Run a command of podman in this storage."""
        done = subprocess.run(
            ["podman", *arguments],
            env={**os.environ, **self.env}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout
