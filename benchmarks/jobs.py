"""One small job on a peer, from the command to its last line."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pair import IMAGE, Pair

from benchmarks.pairs import Result, Skipped, compare, milliseconds

CODE = "print(1)"
NAME = f"homie run: {CODE}"


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

        def docker_run() -> None:
            command = ["docker", "run", "--rm", "--network", "none", IMAGE, "python3", "-c", CODE]
            assert subprocess.run(command, check=True, capture_output=True).stdout == b"1\n"

        yield compare(NAME, milliseconds(homie_run), milliseconds(docker_run), repeat, beside="docker run")
