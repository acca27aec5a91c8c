"""A user of this machine without any rights, with numbers of his own to map: made for a test, gone after it.

    with PlainUser() as user:
        user.python(SOURCE, "argument")       # runs as him, in a Python like ours, with Homie on its path

Needs root, useradd and newuidmap.
"""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil
from podman_lab import scratch, wait_until

TESTS = Path(__file__).parent


def missing_plain_user() -> str:
    """Return why there can be none here; empty if there can."""
    if os.getuid() != 0:
        return "only root makes users"
    missing = [tool for tool in ("useradd", "userdel", "newuidmap") if not shutil.which(tool)]
    return f"there is no {' and no '.join(missing)}; scripts/test installs them" if missing else ""


class PlainUser:
    """`folder` is his home, private to him."""

    def __init__(self) -> None:
        self.name = f"homie-t{os.getpid()}"
        self._scratch = scratch("hu-")

    def __enter__(self) -> Self:
        self.folder = self._scratch.__enter__()
        # Another worker may be making its own: the files of users are locked for a moment.
        wait_until(lambda: self._told("useradd", "--home-dir", str(self.folder), self.name), "no user can be made")
        found = pwd.getpwnam(self.name)
        self.uid, self.gid = found.pw_uid, found.pw_gid
        os.chown(self.folder, self.uid, self.gid)
        return self

    def __exit__(self, *error: Any) -> None:
        for process in self.processes():
            process.kill()
        wait_until(lambda: not self.processes(), "his processes do not end")
        wait_until(lambda: self._told("userdel", self.name), "the user cannot be removed")
        self._scratch.__exit__(*error)

    @property
    def env(self) -> Mapping[str, str]:
        """His environment."""
        return {
            "HOME": str(self.folder),
            "USER": self.name,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_RUNTIME_DIR": str(self.folder),
            "PYTHONPATH": f"{sysconfig.get_path('purelib')}:{TESTS.parent}:{TESTS / 'sandbox'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str, env: Mapping[str, str] | None = None, patience: float = 120) -> str:
        """Run a command as him, to its end; return what it printed."""
        done = subprocess.run(
            command, user=self.uid, group=self.gid, extra_groups=[], cwd="/", env={**self.env, **(env or {})},
            capture_output=True, text=True, timeout=patience, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    def python(self, source: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a Python program as him; ours may lie in a private home."""
        version = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
        python = version if Path(version).exists() else sys._base_executable
        return self.run(python, "-c", source, *arguments, env=env)

    def processes(self) -> list[psutil.Process]:
        """Return what runs as him, or as one of his mapped users, and was not only left for its parent."""
        mine = []
        for process in psutil.process_iter(["uids", "status"]):
            uids, status = process.info["uids"], process.info["status"]
            if uids and uids.real == self.uid and status != psutil.STATUS_ZOMBIE:
                mine.append(process)
        return mine

    def _told(self, *command: str) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
