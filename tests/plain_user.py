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
