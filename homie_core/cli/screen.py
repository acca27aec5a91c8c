"""Where a run shows itself: the job's bytes on standard output and error, Homie's own lines on the latter.

A stream that is a pipe or a file gets the job's bytes exactly. On a terminal each line says whose it is, and
the text is made safe. Homie's status lines appear on terminals only; results and ill fortune always.
"""

import os
import select

from homie_core.cli.render import DIM, clean, colours, style
from homie_core.client.safe_text import Lines, SafeText


class Screen:
    """Both streams of one run."""

    def __init__(self, stdout: int = 1, stderr: int = 2) -> None:
        self._fds = {1: stdout, 2: stderr}
        self._terminal = {stream: os.isatty(fd) for stream, fd in self._fds.items()}
        self._safe = {stream: SafeText(colours(fd)) for stream, fd in self._fds.items()}
        self._lines: dict[int, Lines] = {}
        self._progress = False
        self.belongs_to("job")

    def belongs_to(self, peer: str) -> None:
        """Name the peer that the job's lines come from."""
        self._lines = {stream: Lines(style(f"{clean(peer)} |", DIM, fd) + " ") for stream, fd in self._fds.items()}

    def output(self, stream: int, data: bytes) -> None:
        """Show what the job wrote to its standard output (1) or error (2)."""
        if not self._terminal[stream]:
            write_all(self._fds[stream], data)
            return
        self._make_room(stream)
        self._write(stream, self._lines[stream].feed(self._safe[stream].feed(data)))

    def say(self, line: str) -> None:
        """Show a line of Homie's that must be seen."""
        self._make_room()
        self._write(2, f"{style('homie:', DIM, self._fds[2])} {clean(line)}\n")

    def hint(self, line: str) -> None:
        """Show a line of Homie's to a person who watches."""
        if self._terminal[2]:
            self.say(line)

    def progress(self, line: str) -> None:
        """Show a line that the next one replaces to a person who watches."""
        if self._terminal[2]:
            if not self._progress:
                self._make_room()
            self._write(2, f"\r\x1b[K{style('homie:', DIM, self._fds[2])} {clean(line)[:70]}")
            self._progress = True

    def close(self) -> None:
        """Leave the terminal at the start of a fresh line, in its own colours."""
        self._make_room()

    def _make_room(self, stream: int | None = None) -> None:
        """End the line that somebody else is in the middle of."""
        if self._progress:
            self._write(2, "\r\x1b[K")
            self._progress = False
        for other, lines in self._lines.items():
            if other != stream and (end := lines.close()):
                self._write(other, end)

    def _write(self, stream: int, text: str) -> None:
        if text:
            write_all(self._fds[stream], text.encode(errors="replace"))


def write_all(fd: int, data: bytes) -> None:
    """Write everything, unbuffered, also to a terminal that somebody has made non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
