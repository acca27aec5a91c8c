"""Environments of packages that earlier nodes of tests have made, so that not each has to make them anew."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache" / "test" / "environments"
"""May be removed at any time."""


def give_environments(home: Path) -> None:
    """Let the node of this home have what earlier ones have made ready.

    By links to the folders: each holds thousands of files, and to make names for all and remove them again took
    longer than all else that a pair does.
    """
    given = _made(home / "environments")
    for entry in CACHE.glob("*"):
        if entry.is_dir() and not entry.name.startswith("building-"):
            (given / entry.name).symlink_to(entry)
        elif entry.is_file():
            shutil.copy2(entry, given)


def keep_environments(home: Path) -> None:
    """Let later ones have what this node has made ready and no earlier one has."""
    environments = home / "environments"
    if not environments.exists():
        return
    kept = _made(CACHE)
    # `asked-*`, the small files that name an environment, come after the environments: what is named is there.
    for entry in sorted(environments.iterdir(), key=lambda entry: entry.is_file()):
        if entry.name.startswith("building-") or (kept / entry.name).exists():
            continue
        building = Path(tempfile.mkdtemp(prefix="building-", dir=kept))
        copy = shutil.copytree if entry.is_dir() else shutil.copy2
        copy(entry, building / entry.name, **({"copy_function": _link} if entry.is_dir() else {}))
        with contextlib.suppress(OSError):  # another test process was quicker
            (building / entry.name).rename(kept / entry.name)
        remove_tree(building)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _link(source: str, target: str) -> None:
    """A second name instead of a copy where that can be: the files are read-only."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_tree(folder: Path) -> None:
    """Remove a tree with read-only folders in it."""
    for where, _, _ in os.walk(folder):
        Path(where).chmod(0o700)
    shutil.rmtree(folder)
