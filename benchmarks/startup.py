"""What the command line costs before it does anything."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pairs import Result, compare, milliseconds

HOMIE = Path(sys.executable).with_name("homie")


def measure(repeat: int) -> Iterator[Result]:
    """Compare with an interpreter that starts and ends."""

    def homie_help() -> None:
        subprocess.run([HOMIE, "--help"], check=True, stdout=subprocess.DEVNULL)

    def python() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    yield compare("homie --help", milliseconds(homie_help), milliseconds(python), repeat, beside="python -c pass")
