"""Text for terminals: what is safe to print, tables, bars, colours."""

import os
import sys
from collections.abc import Sequence

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"


def clean(text: str) -> str:
    """Return text from elsewhere on one line and without anything that a terminal obeys."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def colours(fd: int) -> bool:
    """Return whether colours are wanted there: a terminal, and no NO_COLOR (https://no-color.org)."""
    return os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, code: str, fd: int = 1) -> str:
    """Return the text in a colour, if colours are wanted there."""
    return f"\x1b[{code}m{text}\x1b[0m" if colours(fd) else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns, numbers by the width of their text; the cells are cleaned."""
    lines = [list(head), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([style(shown[0], BOLD), *shown[1:]])


def bar(fraction: float, width: int = 10) -> str:
    """Return a bar for a value from 0 to 1."""
    full = round(max(0.0, min(1.0, fraction)) * width)
    return "█" * full + "░" * (width - full)


def say(line: str = "") -> None:
    """Print a line of an answer to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def hint(line: str) -> None:
    """Print a line about the answer to standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
