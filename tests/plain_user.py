"""Whom tests become to see what Homie is without root.

Some need a number only: `python()` runs as UID, `folder_of()` is that user's. Who maps users needs a name and
numbers to map, made for a test, gone after it:

    with PlainUser() as user:
        user.python(SOURCE, "argument")

Needs root; PlainUser needs useradd and newuidmap, too.
"""

import atexit
import functools
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
from podman_lab import scratch
from waiting import wait_until

ROOT = Path(__file__).parents[1]
UID = 60_600
"""Of nobody in particular: it need not have a name, nor a home. More than `useradd` gives to anybody: when a
PlainUser goes, all that runs as him is ended, also what another worker's tests run."""
NEWCOMER = "newcomer"


def become(uid: int, gid: int | None = None) -> list[str]:
    """Return what to put before a command so that it runs as this user."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid if gid is None else gid}", "--clear-groups", "--"]


def python(uid: int = UID, gid: int | None = None) -> list[str]:
    """Return the words that run, as this user, a Python like ours; ours may lie in a private home.

    So may this very checkout: then, in a mount namespace of its own, it is bound where everybody can go.
    """
    like_ours = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    interpreter = like_ours if Path(like_ours).exists() else sys._base_executable
    command = [*become(uid, gid), interpreter]
    if _public() == ROOT:
        return command
    bind = 'mount --bind "$0" "$1" && shift && cd / && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", bind, str(ROOT), str(_public()), *command]


def seen(path: Path) -> Path:
    """Return where that Python finds a file of this checkout."""
    return _public() / path.relative_to(ROOT)


def search_path() -> str:
    """Return the PYTHONPATH with which that Python finds Homie and what it needs."""
    packages = Path(sysconfig.get_path("purelib"))
    return f"{seen(packages) if packages.is_relative_to(ROOT) else packages}:{_public()}"


def on_a_bare_machine(folder: Path, uid: int) -> list[str]:
    """Return what to put before a command so that it sees no container engine, and is this user, made for it.

    In a mount namespace of its own /run is empty, and /etc/passwd has a line more; neither changes outside.
    """
    line = f"{NEWCOMER}:x:{uid}:{uid}::{folder}:/bin/sh\n"
    known = folder / "passwd"
    known.write_text(Path("/etc/passwd").read_text() + (line if uid else ""))
    known.chmod(0o644)
    enter = 'mount -t tmpfs none /run && mount --bind "$0" /etc/passwd && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", enter, str(known), *become(uid)]


@contextmanager
def folder_of(uid: int = UID) -> Iterator[Path]:
    """A folder of this user alone, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    os.chown(folder, uid, uid)
    try:
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
        shutil.rmtree(folder)


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
        self._site = self.folder / "site"
        # The runner must lie where an engine outside of his mounts sees it, too.
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "homie_core", self._site / "homie_core", ignore=compiled)
        shutil.copy(ROOT / "tests/sandbox/sandbox_lab.py", self._site)
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
            "PYTHONPATH": f"{self._site}:{search_path()}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command as him, to its end; return what it printed."""
        return self._run([*become(self.uid, self.gid), *command], env)

    def python(self, source: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a Python program as him."""
        return self._run([*python(self.uid, self.gid), "-c", source, *arguments], env)

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

    def _run(self, command: list[str], env: Mapping[str, str] | None) -> str:
        done = subprocess.run(
            command,
            cwd="/", env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout


@functools.cache
def _public() -> Path:
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (ROOT, *ROOT.parents)):
        return ROOT
    folder = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    atexit.register(folder.rmdir)
    folder.chmod(0o755)
    return folder
