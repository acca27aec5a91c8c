"""Whom tests become to see what Homie is without root."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
UID = 1000
"""Of nobody in particular: it need not have a name, nor a home."""
NEWCOMER = "newcomer"


def everybodys_python() -> str:
    """Return a Python like ours that another user can run: ours may lie in a private home."""
    version = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    return version if Path(version).exists() else sys._base_executable


def search_path() -> str:
    """Return the PYTHONPATH with which that Python finds Homie and what it needs."""
    return f"{sysconfig.get_path('purelib')}:{ROOT}"


def become(uid: int = UID) -> dict[str, Any]:
    """Return the arguments by which a subprocess is this user, far from our own folders and environment."""
    return {"user": uid, "group": uid, "extra_groups": [], "cwd": "/"}


def on_a_bare_machine(folder: Path, uid: int) -> list[str]:
    """Return what to put before a command so that it sees no container engine, and is this user, made for it.

    In a mount namespace of its own /run is empty, and /etc/passwd has a line more; neither changes outside.
    """
    line = f"{NEWCOMER}:x:{uid}:{uid}::{folder}:/bin/sh\n"
    known = folder / "passwd"
    known.write_text(Path("/etc/passwd").read_text() + (line if uid else ""))
    known.chmod(0o644)
    enter = (
        'mount -t tmpfs none /run && mount --bind "$0" /etc/passwd && '
        f'exec setpriv --reuid={uid} --regid={uid} --clear-groups -- "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", enter, str(known)]


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
