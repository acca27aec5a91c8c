"""Jobs of mine that nobody waits for: which one is meant, what it has put out, its files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from homie_core.client.control import Client
from homie_core.model.control import Delivered, JobEvent, JobView, News
from homie_core.model.errors import HomieError
from homie_core.model.event import Output
from homie_core.model.job import Kind
from homie_core.model.names import JobId


def results_of(job: JobId) -> Path:
    """Return the folder that a job's files come into if nobody says another."""
    return Path("homie-results") / job


def script(client: Client, start: str) -> JobView:
    """Return the script of mine whose job's id begins so. Raises HomieError."""
    view = client.job(start)
    if view.kind is Kind.SESSION:
        raise HomieError(f"{view.id} is the session {view.title} on {view.peer}: its notebook shows its output")
    return view


def printed(client: Client, job: JobId) -> Iterator[tuple[int, bytes]]:
    """Yield what a job of mine has put out so far: standard output (1) or error (2), and bytes."""
    for news in client.past(job):
        if isinstance(news, JobEvent) and isinstance(news.record.event, Output):
            yield news.record.event.stream, news.record.event.data


def fetched(client: Client, view: JobView, folder: Path | None, tell: Callable[[News], None]) -> Delivered:
    """Bring the files of a job that has ended into this folder, or its own, and return what came.

    `tell` hears the progress. What was brought to its own folder before is not brought there again.
    """
    if folder is None and view.results and Path(view.results).is_dir():
        raise HomieError(f"the files of job {view.id} are in {view.results} already; name another folder")
    for news in client.get(view.id, (folder or results_of(view.id)).absolute()):
        if isinstance(news, Delivered):
            return news
        tell(news)
    raise HomieError(f"the files of job {view.id} did not come")
