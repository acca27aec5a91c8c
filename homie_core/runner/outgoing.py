"""Files of a session that its submitter asked for by patterns: found after a cell, offered as parcels.

Such a parcel is a second name (a hard link) of the file itself, so nothing is copied, however large it is. Only
regular files are offered, and no link is followed out of the session's folder.
"""

import os
import stat
from typing import Any

from homie_core.runner.globs import MAX_DEPTH, matching
from homie_core.runner.parcel import PARCELS

MAX_FILES = 10_000
MAX_BYTES = 64 << 30
"""Bytes of all files together."""
MAX_NAMES = 2 << 20
"""Characters of all their names together."""
MAX_LOOKED = 1_000_000
"""Names looked at for one pattern."""
MAX_TOLD = 100
"""Things told of that are not offered."""
IGNORED = frozenset({PARCELS, "__pycache__", ".ipynb_checkpoints", ".cache"})
"""Folders that programs fill by the way, as for the files that come at a session's end."""


class _NotOffered(Exception):
    """Why this pattern, or this file, is not offered."""


class Outgoing:
    """What one cell offers of the files in a session's folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._looked = 0
        self._found: dict[str, str] = {}
        """Where the files really are, by their names."""
        self._left: dict[str, str] = {}

    def offer(self, globs: list[str]) -> dict[str, Any]:
        """Return `files` (name, size, executable, parcel); `misses` and `left`: why not, by pattern or name."""
        misses: dict[str, str] = {}
        for glob in globs:
            try:
                self._find(glob)
            except (_NotOffered, OSError) as error:
                misses[glob] = _in_words(error)
        files = []
        for name, path in self._found.items():
            try:
                files.append({"name": name, **self._parcel(path)})
            except OSError as error:
                misses[name] = _in_words(error)
        return {"files": files, "misses": _some(misses), "left": _some(self._left)}

    def _find(self, glob: str) -> None:
        """Add the files that a pattern means: all, or none."""
        self._looked = 0
        parts = [part for part in glob.split("/") if part not in ("", ".")]
        found: dict[str, str] = {}
        for match in matching(parts, self._look):
            for name in self._whole(match):
                if name not in found and (real := self._regular(name)):
                    found[name] = real
                    if len(found) > MAX_FILES:
                        raise _NotOffered(f"more than {MAX_FILES:,} files; pack them into an archive first")
        if not found:
            raise _NotOffered(f"no file matches; {self._what_is_there()}")
        together = self._found | found
        if len(together) > MAX_FILES or sum(map(len, together)) > MAX_NAMES:
            raise _NotOffered(f"with it, more than {MAX_FILES:,} files; pack them into an archive first")
        if sum(map(os.path.getsize, together.values())) > MAX_BYTES:
            raise _NotOffered(f"more than {MAX_BYTES >> 30} GB")
        self._found = together

    def _whole(self, path: str, depth: int = MAX_DEPTH) -> list[str]:
        """Return what a path means: itself, or all that is in a folder."""
        if not stat.S_ISDIR(os.lstat(os.path.join(self._folder, path)).st_mode):
            return [path]
        inner = [os.path.join(path, name) for name, _ in self._look(path)] if depth else []
        return [name for each in inner for name in self._whole(each, depth - 1)]

    def _look(self, path: str) -> list[tuple[str, bool]]:
        with os.scandir(os.path.join(self._folder, path)) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        self._looked += len(found)
        if self._looked > MAX_LOOKED:
            raise _NotOffered(f"more than {MAX_LOOKED:,} files and folders to look at; name a folder")
        return [(name, is_folder) for name, is_folder in found if not (is_folder and name in IGNORED)]

    def _regular(self, name: str) -> str | None:
        """Return where a file really is, below the session's folder; None, and note why, if it cannot go."""
        path = os.path.join(self._folder, name)
        try:
            real = os.path.realpath(path) if os.path.islink(path) else path
            mode = os.stat(real, follow_symlinks=False).st_mode
        except OSError as error:
            self._left[name] = _in_words(error)
            return None
        if real is not path and not real.startswith(f"{self._real}/"):
            self._left[name] = "a link that leads out of the session's folder"
        elif not stat.S_ISREG(mode):
            self._left[name] = "a link to a folder" if stat.S_ISDIR(mode) else "no regular file"
        elif not name.isprintable():
            self._left[name] = "its name cannot be printed"
        else:
            return real
        return None

    def _parcel(self, path: str) -> dict[str, Any]:
        folder = os.path.join(self._folder, PARCELS)
        os.makedirs(folder, 0o700, exist_ok=True)
        parcel = os.urandom(8).hex()
        os.link(path, os.path.join(folder, parcel), follow_symlinks=False)
        status = os.lstat(os.path.join(folder, parcel))
        executable = bool(status.st_mode & stat.S_IXUSR)
        return {"size": status.st_size, "executable": executable, "parcel": parcel}

    def _what_is_there(self) -> str:
        names = [name for name, _ in self._look("") if name.isprintable()]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return f"there are {', '.join(names[:8])}{more}" if names else "the session's folder is empty"


def _in_words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def _some(told: dict[str, str]) -> dict[str, str]:
    """Return the first of these, as they can be printed."""
    some = {ascii(name)[1:-1] if not name.isprintable() else name: told[name] for name in list(told)[:MAX_TOLD]}
    return some | ({"..": f"and {len(told) - MAX_TOLD} more"} if len(told) > MAX_TOLD else {})
