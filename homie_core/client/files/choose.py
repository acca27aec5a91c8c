"""Which files names, folders and patterns mean, and under which names they go; nothing is read or sent here."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from homie_core.model.errors import CannotSend
from homie_core.model.job import MAX_FILES
from homie_core.model.names import FileName, safe_file_name
from homie_core.runner.globs import is_glob, matching

NOT_SENT = frozenset({".git", ".ipynb_checkpoints", ".venv", "__pycache__", "homie-results"})
"""Folders that are left out of folders and not found by patterns: they are never a script's input."""

Note = Callable[[str], None]
"""Hears what is left out, and why."""


class Chosen(NamedTuple):
    """A file that is to go."""

    name: FileName
    """Where it lands there, below the job's folder."""
    path: Path
    """Where it is here."""
    size: int
    """Bytes."""


def chosen(given: Iterable[str], note: Note = lambda _: None, script: str | None = None) -> tuple[Chosen, ...]:
    """Return the files that these names, folders and patterns mean; the script, if there is one, first.

    The script lands at its base name. A file lands where it is found by the name that it was given here: at its
    relative path if that leads below the current directory, else at its base name. A folder goes whole, but for
    NOT_SENT. What exists by the name that was given is no pattern. Raises CannotSend or UnsafeName.
    """
    found: dict[FileName, Chosen] = {}
    if script is not None:
        first = _file(Path(script).name, Path(script))
        found[first.name] = first
    for each in given:
        for file in _meant(each, note):
            other = found.setdefault(file.name, file)
            if other.path != file.path and not other.path.samefile(file.path):
                raise CannotSend(
                    f"{other.path} and {file.path} would both be {file.name} on the other side; "
                    "rename one, or give it as a relative path below this folder"
                )
            if len(found) > MAX_FILES:
                raise CannotSend(f"more than {MAX_FILES} files; pack them into an archive first")
    for name in found:
        _no_file_is_a_folder(name, found)
    return tuple(found.values())


def _meant(given: str, note: Note) -> Iterator[Chosen]:
    path = Path(given)
    if is_glob(given) and not os.path.lexists(path):
        yield from _matching(given, note)
    elif path.is_dir():
        yield from _below(path, _name_there(path), note)
    else:
        yield _file(_name_there(path), path)


def _matching(pattern: str, note: Note) -> Iterator[Chosen]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if is_glob(part))
    base = Path(*parts[:fixed])
    some = False
    for match in matching(parts[fixed:], _look, str(base) if fixed else ""):
        path = Path(match)
        if path.is_symlink() and path.is_dir():
            note(f"{path}: a link to a folder; give it with -f of its own")
        elif path.is_symlink() and not path.resolve().is_relative_to(base.resolve()):
            note(f"{path}: a link that leads out of {base}; give it with -f of its own")
        elif path.is_dir():
            for file in _below(path, _name_there(path), note):
                some = True
                yield file
        elif path.is_file():
            some = True
            yield _file(_name_there(path), path)
        else:
            note(f"{path}: no regular file")
    if not some:
        raise CannotSend(f"no file matches {pattern}: {_what_is_there(base)}")


def _what_is_there(base: Path) -> str:
    if not base.is_dir():
        return f"there is no folder {base}"
    names = [name if name.isprintable() else ascii(name) for name, _ in _look(str(base))]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    some = f"there are {', '.join(names[:8])}{more}" if names else "there is nothing"
    return f"in {base.resolve()} {some}; `**/` before a name looks in all folders below"


def _look(folder: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(folder or ".") as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(error) from error
    return sorted((name, is_folder) for name, is_folder in found if not (is_folder and name in NOT_SENT))


def _name_there(path: Path) -> str:
    """The name on the other side; empty for the current directory itself."""
    # normpath, not resolve: a link below this folder keeps the name that it has here
    relative = Path(os.path.normpath(path))
    if relative.is_absolute() or relative.parts[:1] == ("..",):
        return path.resolve().name if path.name in ("", "..") else path.name
    return "" if relative == Path() else relative.as_posix()


def _below(folder: Path, name: str, note: Note) -> Iterator[Chosen]:
    top = folder.resolve()

    def unreadable(error: OSError) -> None:
        raise _unreadable(error) from error

    for here, folders, files in os.walk(folder, onerror=unreadable):
        for each in sorted(folders):
            if (Path(here) / each).is_symlink():
                note(f"{Path(here) / each}: a link to a folder; give it with -f of its own")
        folders[:] = sorted(set(folders) - NOT_SENT)
        for each in sorted(files):
            path = Path(here) / each
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                note(f"{path}: a link that leads out of {folder}; give it with -f of its own")
            elif not path.is_file():
                note(f"{path}: no regular file")
            else:
                below = path.relative_to(folder).as_posix()
                yield _file(f"{name}/{below}" if name else below, path)


def _file(name: str, path: Path) -> Chosen:
    try:
        status = path.stat()
    except OSError as error:
        raise CannotSend(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise CannotSend(f"{path} is a folder, not a script")
    if not stat.S_ISREG(status.st_mode):
        raise CannotSend(f"{path} is no regular file")
    if not os.access(path, os.R_OK):
        raise CannotSend(f"{path} cannot be read by you")
    return Chosen(safe_file_name(name), path, status.st_size)


def _unreadable(error: OSError) -> CannotSend:
    return CannotSend(f"{error.filename}: {error.strerror}")


def _no_file_is_a_folder(name: FileName, found: dict[FileName, Chosen]) -> None:
    at = name.find("/")
    while at != -1:
        if other := found.get(FileName(name[:at])):
            raise CannotSend(f"{other.path} would be in the way of {found[name].path}")
        at = name.find("/", at + 1)
