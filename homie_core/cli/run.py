"""`homie run`: work for a friend's machine."""

from pathlib import Path

import click

from homie_core.cli.follow import follow
from homie_core.cli.parameters import CORES, DURATION, GPU, NODE, SIZE, VRAM, TakesGpu
from homie_core.cli.render import hint, say
from homie_core.cli.screen import Screen
from homie_core.client import ensure_daemon, new_job_id, request_for_script, wait_for_peers
from homie_core.client.jobs import results_of
from homie_core.client.leaving import in_words, leaving_with, where_in_words
from homie_core.home import home
from homie_core.model.gpu import GpuAsk, with_vram
from homie_core.model.job import Ask


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
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and do not wait; `homie jobs` lists it.")
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
    detach: bool,
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
    if detach and results:
        raise click.UsageError("-d does not wait for files; later, `homie get -o DIR JOB` brings them")
    job = new_job_id()
    request = request_for_script(
        script,
        args,
        files,
        results=results or results_of(job),
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
    screen = Screen()
    status = follow(client, job, client.run(request), screen, detach=detach)
    if detach and status == 0:
        say(job)
        screen.hint(f"see what it prints: `homie logs -f {job}`; wait for its end: `homie attach {job}`")
    return status
