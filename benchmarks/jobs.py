"""One small job on a peer, from the command to its last line."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pair import IMAGE, Node, Pair

from benchmarks.pairs import Result, Skipped, compare, milliseconds

CODE = "print(1)"
NAME = f"homie run: {CODE}"
REFILL = 3.0
"""Seconds in which a sandbox that was taken is replaced, and what waits has come to rest."""


def measure(repeat: int) -> Iterator[Result]:
    """Compare with a bare container on the same engine, which has neither peer, limits nor results."""
    if not shutil.which("docker"):
        yield Skipped(NAME, "no docker command to compare with")
        return
    with tempfile.TemporaryDirectory() as folder, Pair() as pair:
        script = Path(folder) / "hello.py"
        script.write_text(CODE)

        def homie_run() -> None:
            assert pair.laptop.homie("run", "-n", "desk", script, cwd=folder).stdout == "1\n"

        def from_the_pool() -> float:
            wait_for_pool(pair.desk)
            return milliseconds(homie_run)()

        def docker_run() -> None:
            command = ["docker", "run", "--rm", "--network", "none", IMAGE, "python3", "-c", CODE]
            assert subprocess.run(command, check=True, capture_output=True).stdout == b"1\n"

        yield compare(NAME, from_the_pool, milliseconds(docker_run), repeat, beside="docker run")


def wait_for_pool(node: Node) -> None:
    """Return when a sandbox waits there; a job that comes sooner pays for one of its own."""
    node.wait_until_warm()
    time.sleep(REFILL)
