"""`homie run`, `attach` and `stop`: work for a friend's machine."""

from pathlib import Path

import click

from homie_core.cli.follow import follow
from homie_core.cli.parameters import CORES, DURATION, GPU, JOB, NODE, SIZE, VRAM, TakesGpu
from homie_core.cli.render import hint, say
from homie_core.cli.screen import Screen
from homie_core.client import Client, ensure_daemon, new_job_id, request_for_script, wait_for_peers
from homie_core.client.leaving import in_words, leaving_with, where_in_words
from homie_core.home import home
from homie_core.model.errors import HomieError
from homie_core.model.gpu import GpuAsk, with_vram
from homie_core.model.job import Ask
from homie_core.model.names import JobId


@click.command(cls=TakesGpu, context_settings={"allow_interspersed_args": False})
@click.option("-n", "--node", metavar="NAME", type=NODE, help="Run on this machine, not on the best one.")
@click.option(
    "--gpu",
    type=GPU,
    metavar="[=SPEC]",
    help="Run with a graphics card; =SPEC: how many (2), which (RTX3080), how large (24G), or A100:2,40G.",
)
@click.option("--vram", type=VRAM, help="Run with a graphics card of so much memory, for example 24G.")
@click.option(
    "-f", "--file", "files", multiple=True, metavar="GLOB", type=click.Path(),
    help="Send this file, this folder or what matches this pattern too, such as 'data/*.csv' (again for more).",
)  # fmt: skip
@click.option("--cpus", type=CORES, help="Cores, for example 2 or 0.5.")
@click.option("--ram", type=SIZE, help="Memory, for example 8G or 512M.")
@click.option("--timeout", type=DURATION, help="Running time at most, for example 90, 10m or 2h.")
@click.option(
    "-o", "--output", "results", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files that come back (default: homie-results/JOB).",
)  # fmt: skip
@click.option(
    "--retry", metavar="N", type=click.IntRange(0, 10), default=0,
    help="If the machine is lost, start again on another one, N times at most; meanwhile this one must be on.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say which machine, why, and what would leave this one.")
@click.argument("script", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(
    node: str | None,
    gpu: GpuAsk | None,
    vram: int | None,
    files: tuple[str, ...],
    cpus: float | None,
    ram: int | None,
    timeout: float | None,
    results: Path | None,
    retry: int,
    dry_run: bool,
    script: str,
    args: tuple[str, ...],
) -> int:
    """Run a Python SCRIPT on a friend's machine.

    Options come before SCRIPT; everything after it belongs to the script. What it prints appears here, the
    files it writes come back, and its exit status is the exit status. Ctrl-C stops it.

    A file below the current folder keeps its relative path there, so the script opens it by the same name. Quote
    patterns, or the shell takes them: `*`, `?` and `[..]` stand for parts of a name, `**` for any folders.
    """
    job = new_job_id()
    request = request_for_script(
        script,
        args,
        files,
        results=results or _results_of(job),
        job=job,
        ask=Ask(cpus=cpus, memory=ram, timeout=timeout, gpu=with_vram(gpu, vram)),
        node=node,
        retry=retry,
        note=lambda line: hint(f"homie: left out {line}"),
    )
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    if dry_run:
        plan = client.plan(request)
        say(in_words(where_in_words(plan), leaving_with(plan)))
        return 0
    return follow(client, job, client.run(request), Screen())


@click.command()
@click.argument("job", type=JOB)
@click.option(
    "-o", "--output", "results", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files that come back (default: homie-results/JOB).",
)  # fmt: skip
def attach(job: str, results: Path | None) -> int:
    """Show a job of mine again from its start, and wait for its end.

    JOB is its id or the beginning of it; `homie jobs` lists them.
    """
    client, _ = ensure_daemon(home())
    whole = _whole_id(client, job)
    return follow(client, whole, client.follow(whole, 0, (results or _results_of(whole)).absolute()), Screen())


@click.command()
@click.argument("job", type=JOB)
def stop(job: str) -> None:
    """End a job of mine, wherever it runs."""
    client, _ = ensure_daemon(home())
    whole = _whole_id(client, job)
    client.stop(whole)
    hint(f"job {whole} is being stopped")


def _results_of(job: JobId) -> Path:
    return Path("homie-results") / job


def _whole_id(client: Client, start: str) -> JobId:
    if len(start) == 12:
        return JobId(start)
    found = [job.id for job in client.status().jobs if job.mine and job.id.startswith(start)]
    if len(found) != 1:
        which = "no job of yours begins" if not found else f"{len(found)} jobs of yours begin"
        raise HomieError(f"{which} with {start}; `homie jobs` lists them")
    return found[0]
