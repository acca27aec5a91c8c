"""Whom tests become to see what Homie is without root."""

import atexit
import functools
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
UID = 1000
"""Of nobody in particular: it need not have a name, nor a home."""
NEWCOMER = "newcomer"


def python(uid: int = UID) -> list[str]:
    """Return the words that run, as this user, a Python like ours; ours may lie in a private home.

    So may this very checkout: then, in a mount namespace of its own, it is bound where everybody can go.
    """
    like_ours = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    interpreter = like_ours if Path(like_ours).exists() else sys._base_executable
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", interpreter]
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


@functools.cache
def _public() -> Path:
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (ROOT, *ROOT.parents)):
        return ROOT
    folder = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    atexit.register(folder.rmdir)
    folder.chmod(0o755)
    return folder


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
