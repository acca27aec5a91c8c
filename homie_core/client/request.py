"""From a script or session and the files named with it to a request, checked before anything is sent."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from homie_core.client.files import Chosen, chosen
from homie_core.client.files.choose import Note
from homie_core.model import wire
from homie_core.model.control import FetchRequest, PutRequest, RunRequest, Source
from homie_core.model.errors import CannotSend
from homie_core.model.job import Ask, Kind
from homie_core.model.names import JobId

T = TypeVar("T", RunRequest, PutRequest, FetchRequest)


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
    retry: int = 0,
    note: Note = lambda _: None,
) -> RunRequest:
    """Return the request to run a local script with these files, folders and patterns beside it.

    Where they land: `client.files.chosen`; `note` hears what is left out. Raises CannotSend or UnsafeName.
    """
    files_there = chosen(files, note, script)
    return fitting(
        RunRequest(
            id=job,
            kind=Kind.SCRIPT,
            entry=files_there[0].name,
            files=_sources(files_there),
            results=str(results.absolute()),
            args=tuple(args),
            ask=ask or Ask(),
            node=node,
            retry=retry,
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
    note: Note = lambda _: None,
) -> RunRequest:
    """Return the request to open a session with these files in it; else as for a script."""
    return fitting(
        RunRequest(
            id=job,
            kind=Kind.SESSION,
            files=_sources(chosen(files, note)),
            results=str(results.absolute()),
            title=title,
            ask=ask or Ask(),
            node=node,
        )
    )


def request_to_put(files: Iterable[str], note: Note = lambda _: None) -> PutRequest | None:
    """Return the request to send these files to a session; None if there are none."""
    sources = _sources(chosen(files, note))
    return fitting(PutRequest(files=sources)) if sources else None


def _sources(files: Iterable[Chosen]) -> tuple[Source, ...]:
    return tuple(Source(name=file.name, path=str(file.path.absolute())) for file in files)


def fitting(request: T) -> T:
    """Return the request. Raises CannotSend if it is too long for one message."""
    if len(wire.encode(request)) > wire.MAX_MESSAGE:
        raise CannotSend("the names of the files and the arguments are too long taken together")
    return request
