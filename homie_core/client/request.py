"""From a script or session and the files named with it to a request, checked before anything is sent."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from homie_core.model import wire
from homie_core.model.control import PutRequest, RunRequest, Source
from homie_core.model.errors import CannotSend
from homie_core.model.job import MAX_FILES, Ask, Kind
from homie_core.model.names import FileName, JobId, safe_file_name

NOT_SENT = frozenset({".git", ".ipynb_checkpoints", ".venv", "__pycache__", "homie-results"})
"""Folders that are left out when a folder is sent: they are never a script's input."""


T = TypeVar("T", RunRequest, PutRequest)


def new_job_id() -> JobId:
    """Return a fresh id for a job."""
    return JobId(os.urandom(6).hex())


def request_for_script(
    script: str,
    args: Sequence[str] = (),
    files: Iterable[str] = (),
    *,
    results: Path,
    job: JobId,
    ask: Ask | None = None,
    node: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> RunRequest:
    """Return the request to run a local script with these files and folders beside it.

    The script lands at its base name. A file lands where the script finds it by the name that it was given
    here: at its relative path if that leads below the current directory, else at its base name. `note`
    hears what is left out of a folder. Raises CannotSend or UnsafeName.
    """
    entry = safe_file_name(Path(script).name)
    found = _found({entry: _regular(Path(script))}, files, note)
    return _fitting(
        RunRequest(
            id=job,
            kind=Kind.SCRIPT,
            entry=entry,
            files=_sources(found),
            results=str(results.absolute()),
            args=tuple(args),
            ask=ask or Ask(),
            node=node,
        )
    )


def request_for_session(
    title: str,
    files: Iterable[str] = (),
    *,
    results: Path,
    job: JobId,
    ask: Ask | None = None,
    node: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> RunRequest:
    """Return the request to open a session with these files and folders in it; else as for a script."""
    return _fitting(
        RunRequest(
            id=job,
            kind=Kind.SESSION,
            files=_sources(_found({}, files, note)),
            results=str(results.absolute()),
            title=title,
            ask=ask or Ask(),
            node=node,
        )
    )


def request_to_put(files: Iterable[str], note: Callable[[str], None] = lambda _: None) -> PutRequest | None:
    """Return the request to send these files and folders to a session; None if there are none."""
    sources = _sources(_found({}, files, note))
    return _fitting(PutRequest(files=sources)) if sources else None


def _found(found: dict[FileName, Path], files: Iterable[str], note: Callable[[str], None]) -> dict[FileName, Path]:
    """Return these and all files that were named, by their names there."""
    for given in files:
        for name, path in _expand(given, note):
            if found.setdefault(name, path) != path and not found[name].samefile(path):
                raise CannotSend(
                    f"{found[name]} and {path} would both be {name} on the other side; "
                    "rename one, or give it as a relative path below this folder"
                )
            if len(found) > MAX_FILES:
                raise CannotSend(f"more than {MAX_FILES} files; pack them into an archive first")
    for name in found:
        _no_file_is_a_folder(name, found)
    return found


def _sources(found: dict[FileName, Path]) -> tuple[Source, ...]:
    return tuple(Source(name=name, path=str(path.absolute())) for name, path in found.items())


def _fitting(request: T) -> T:
    if len(wire.encode(request)) > wire.MAX_MESSAGE:
        raise CannotSend("the names of the files and the arguments are too long taken together")
    return request


def _expand(given: str, note: Callable[[str], None]) -> Iterator[tuple[FileName, Path]]:
    path = Path(given)
    name = _name_there(path)
    if path.is_dir():
        yield from _below(path, name, note)
    else:
        yield safe_file_name(name), _regular(path)


def _name_there(path: Path) -> str:
    """The name on the other side; empty for the current directory itself."""
    # normpath, not resolve: a link below this folder keeps the name that it has here
    relative = Path(os.path.normpath(path))
    if relative.is_absolute() or relative.parts[:1] == ("..",):
        return path.resolve().name if path.name in ("", "..") else path.name
    return "" if relative == Path() else relative.as_posix()


def _below(folder: Path, name: str, note: Callable[[str], None]) -> Iterator[tuple[FileName, Path]]:
    top = folder.resolve()

    def unreadable(error: OSError) -> None:
        raise CannotSend(f"{error.filename}: {error.strerror}") from error

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
                yield safe_file_name(f"{name}/{below}" if name else below), _regular(path)


def _regular(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CannotSend(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise CannotSend(f"{path} is a folder, not a script")
    if not stat.S_ISREG(mode):
        raise CannotSend(f"{path} is no regular file")
    if not os.access(path, os.R_OK):
        raise CannotSend(f"{path} cannot be read by you")
    return path


def _no_file_is_a_folder(name: FileName, found: dict[FileName, Path]) -> None:
    at = name.find("/")
    while at != -1:
        if FileName(name[:at]) in found:
            raise CannotSend(f"{found[FileName(name[:at])]} would be in the way of {found[name]}")
        at = name.find("/", at + 1)
