"""`homie jobs`, `logs`, `attach`, `get` and `cancel`: jobs of mine, whether somebody waits for them or not."""

import json
from pathlib import Path

import click
import msgspec

from homie_core.cli.follow import follow, look, show_delivered
from homie_core.cli.parameters import JOB
from homie_core.cli.peers import say_damage
from homie_core.cli.render import hint, say, table
from homie_core.cli.screen import Screen
from homie_core.client import Client, ensure_daemon
from homie_core.client.jobs import fetched, results_of, script
from homie_core.client.words import standing
from homie_core.home import home
from homie_core.model.control import JobView, News, Transfer
from homie_core.model.errors import HomieError
from homie_core.model.quantity import show_duration, show_size

_FOLDER = click.option(
    "-o", "--output", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files that come back (default: homie-results/JOB).",
)  # fmt: skip


@click.command()
@click.option("-a", "--all", "ended", is_flag=True, help="Also those whose end was seen.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def jobs(ended: bool, as_json: bool) -> None:
    """List the jobs that I sent or that run here.

    Those that are under way, and those that have ended without anybody having seen it.
    """
    client = _client()
    known = client.jobs(ended=ended)
    if as_json:
        say(json.dumps(msgspec.to_builtins(known)))
    elif known:
        say(jobs_table(known))
    else:
        hint("No jobs." if ended else "No jobs are under way; `homie jobs -a` lists those that were.")
    say_damage(client.status())


@click.command()
@click.option("-f", "--follow", "on", is_flag=True, help="Go on until it ends; Ctrl-C leaves it to itself.")
@click.argument("job", type=JOB)
def logs(on: bool, job: str) -> None:
    """Show what a job of mine has put out.

    JOB is its id or the beginning of it; `homie jobs -a` lists them.
    """
    client = _client()
    view, screen = script(client, job), Screen()
    screen.belongs_to(view.peer)
    look(client.follow(view.id, 0, None) if on else client.past(view.id), screen)


@click.command()
@click.argument("job", type=JOB)
@_FOLDER
def attach(job: str, folder: Path | None) -> int:
    """Show a job of mine again from its start, and wait for its end.

    JOB is its id or the beginning of it; `homie jobs` lists them. Its files come, its exit status is the exit
    status, and Ctrl-C stops it.
    """
    client = _client()
    id = client.job(job).id
    return follow(client, id, client.follow(id, 0, (folder or results_of(id)).absolute()), Screen())


@click.command()
@click.argument("job", type=JOB)
@_FOLDER
def get(job: str, folder: Path | None) -> None:
    """Bring the files of a job of mine that has ended.

    JOB is its id or the beginning of it; `homie jobs -a` lists them.
    """
    client, screen = _client(), Screen()
    view = client.job(job)

    def moved(news: News) -> None:
        if isinstance(news, Transfer):
            screen.progress(f"{show_size(news.done)} of {show_size(news.total)} from {view.peer}")

    try:
        came = fetched(client, view, folder, moved)
        show_delivered(came, screen)
        if not came.files:
            screen.say(f"job {view.id} has left no files")
    finally:
        screen.close()


@click.command()
@click.argument("jobs", metavar="JOB...", type=JOB, nargs=-1, required=True)
def cancel(jobs: tuple[str, ...]) -> int:
    """End jobs of mine, wherever they run.

    JOB is a job's id or the beginning of it; `homie jobs` lists them.
    """
    client, status = _client(), 0
    for job in jobs:
        try:
            view = client.job(job)
            client.stop(view.id)
        except HomieError as error:
            hint(f"homie: {job}: {error}")
            status = 1
        else:
            hint(f"job {view.id} ({view.title} on {view.peer}) is being stopped")
    return status


def jobs_table(known: tuple[JobView, ...]) -> str:
    """Return the jobs for people."""
    head = ("JOB", "WHAT", "WHERE", "STATE", "SINCE")
    return table(
        head,
        [
            (job.id, job.title, f"on {job.peer}" if job.mine else f"for {job.peer}", standing(job),
             show_duration(job.age))
            for job in known
        ],
    )  # fmt: skip


def _client() -> Client:
    client, _ = ensure_daemon(home())
    return client
