"""Runs one notebook cell: `python3 -P cell.py CELL`, with IPython on PYTHONPATH.

Started in advance, it has all imported and built when it hears, by the pipe HOMIE_GO, which cell it is.

IPython gives what a notebook's author expects: the last expression is shown, `await` works at top level, so
do `!ls` and magics. What the cell raises goes to the runner as data: it is shown where it belongs.
"""

import json
import os
import sys
import warnings
from types import TracebackType
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

MAX_LINE = 20_000
"""Characters kept of one traceback entry, or of an exception's text."""

MAX_REPORT = 200 << 10
"""Bytes of the whole report: what one record of the runner's can carry, with room for quoting."""

ExceptionTuple = tuple[type[BaseException], BaseException, TracebackType | None]


class _BareValue(DisplayHook):
    """Shows a value without `Out[1]:`, as a notebook's output does."""

    def write_output_prompt(self) -> None:
        self.prompt_end_newline = False


class _Shell(InteractiveShell):
    """One cell's shell; exceptions are kept as data."""

    displayhook_class = _BareValue
    system = InteractiveShell.system_raw  # our own stdout and stderr are pipes already: keep them apart

    def __init__(self, **options: Any) -> None:
        self.raised: dict[str, Any] | None = None
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def showtraceback(self, exc_tuple: ExceptionTuple | None = None, *args: Any, **options: Any) -> None:
        _, error, _ = exc_tuple or sys.exc_info()
        if isinstance(error, SystemExit):
            return
        super().showtraceback(exc_tuple, *args, **options)

    def show_usage_error(self, exc: BaseException) -> None:
        self._showtraceback(type(exc), exc, [f"{type(exc).__name__}: {exc}"])

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        try:
            text = str(evalue)
        except Exception as broken:  # an exception of the job's own making may do anything
            text = f"<its text raised {type(broken).__name__}>"
        self.raised = report(etype.__name__, text, "\n".join(stb).split("\n"))


def report(ename: str, evalue: str, traceback: list[str]) -> dict[str, Any]:
    """Return the exception as data of bounded size: of a long traceback, the first line and the last ones."""
    lines = [line[:MAX_LINE] for line in traceback]
    room = MAX_REPORT - 6 * MAX_LINE
    kept: list[str] = []
    for line in reversed(lines[1:]):
        room -= len(json.dumps(line)) + 2
        if room < 0 or len(kept) > 1000:
            kept.append("... (shortened)")
            break
        kept.append(line)
    return {"ename": ename[:200], "evalue": evalue[:MAX_LINE], "traceback": lines[:1] + kept[::-1]}


def main(path: str) -> int | str | None:
    """Run the cell; return what `sys.exit` takes."""
    report_fd = int(os.environ.pop("HOMIE_REPORT"))
    os.set_inheritable(report_fd, False)
    warnings.filterwarnings("ignore", message="To exit: use")
    config = Config()
    config.HistoryManager.enabled = False
    shell = _Shell.instance(config=config)
    if go := os.environ.pop("HOMIE_GO", ""):
        path = _wait(int(go))
    with open(path, encoding="utf-8") as file:
        source = file.read()
    sys.path.insert(0, "")  # only now: a file of the job's must not stand in for a module of ours
    result = shell.run_cell(source)  # type: ignore[no-untyped-call]
    error = result.error_before_exec or result.error_in_exec
    sys.stdout.flush()
    if isinstance(error, SystemExit):
        code: int | str | None = error.code
        return code
    if error is None:
        return 0
    with open(report_fd, "wb") as pipe:
        pipe.write(json.dumps(shell.raised or report(type(error).__name__, "", [])).encode())
    return 1


def _wait(go: int) -> str:
    """Return the cell's path once it is told; nobody tells when the sandbox is given up."""
    with open(go, "rb") as pipe:
        told = json.loads(pipe.read() or b"null")
    if told is None:
        sys.exit(0)
    os.environ.update(told["env"])
    return str(told["argument"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
