"""What the command line, the Python API and the magics cost before they do anything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pairs import Measure, Result, compare, milliseconds

HOMIE = Path(sys.executable).with_name("homie")
IPYTHON = "from IPython.core.interactiveshell import InteractiveShell; InteractiveShell.instance()"


def measure(repeat: int) -> Iterator[Result]:
    """Compare with an interpreter, or an IPython, that starts and ends."""

    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def homie_help() -> None:
        subprocess.run([HOMIE, "--help"], check=True, stdout=subprocess.DEVNULL, env=env)

    def python(code: str) -> Measure:
        return milliseconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, env=env))

    yield compare("homie --help", milliseconds(homie_help), python("pass"), repeat, beside="python -c pass")
    name = "import homie_core, and homie_core.run (aim: 150 ms more)"
    yield compare(
        name, python("import homie_core; homie_core.run"), python("pass"), repeat, beside="python -c pass"
    )
    name = "%load_ext homie_jupyter (aim: 150 ms more)"
    loads = f"{IPYTHON}.run_line_magic('load_ext', 'homie_jupyter')"
    yield compare(name, python(loads), python(IPYTHON), repeat, beside="IPython without")
