"""Jobs that nobody waits for: scripts sent with `homie run -d`, or left to themselves, from here or a shell."""

from pathlib import Path

from homie_core.api.asking import client
from homie_core.client.jobs import fetched, printed, script
from homie_core.model.control import JobView


def jobs(*, ended: bool = False) -> list[JobView]:
    """Return my jobs that are under way or whose end nobody has seen, the newest first; `ended`: all of them.

    Raises DaemonUnreachable.
    """
    return [view for view in client().jobs(ended=ended) if view.mine]


def logs(job: str) -> str:
    """Return what a script has put out so far, its errors among it; `job` is its id or the beginning of it.

    Raises HomieError if there is no such job, or its host cannot be reached or has dropped it.
    """
    here = client()
    lines: list[bytes] = []
    begun: dict[int, list[bytes]] = {1: [], 2: []}
    for stream, data in printed(here, script(here, job).id):
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines += [*begun[stream], whole, end]
            begun[stream] = [rest]
        else:
            begun[stream].append(rest)
    return b"".join((*lines, *begun[1], *begun[2])).decode(errors="replace")


def get(job: str, folder: str | Path | None = None) -> list[Path]:
    """Bring the files of a job that has ended into this folder (default: homie-results/JOB) and return them.

    Nothing is overwritten. Raises HomieError if it has not ended, or its host has dropped it.
    """
    here = client()
    came = fetched(here, here.job(job), Path(folder) if folder else None, lambda news: None)
    return [Path(came.folder, name) for name in came.files]


def cancel(job: str) -> None:
    """End a job, wherever it runs. Raises HomieError if there is none, or its host cannot be reached."""
    here = client()
    here.stop(here.job(job).id)
