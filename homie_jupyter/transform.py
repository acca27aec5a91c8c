"""`%%homie` at the top of a cell becomes an `await`: the one form in which the stop button works, and in which the
notebook hears clicks while the cell runs."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

NAME = "homie_magics"
"""Where the shell keeps the magics for what cells are rewritten to."""

_CELL = re.compile(r"%%homie(?:[ \t]+(.*))?\Z")
_ATTACH = re.compile(r"%homie[ \t]+attach\b(.*)\Z")


def await_homie(lines: list[str]) -> list[str]:
    """Return the cell's lines, rewritten if it begins with `%%homie`, or is `%homie attach`."""
    at = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    first, rest = "".join(lines[at : at + 1]).rstrip(), "".join(lines[at + 1 :])
    if match := _CELL.match(first):
        return [f"await get_ipython().{NAME}.run_cell({match[1] or ''!r}, {rest!r})\n"]
    if (match := _ATTACH.match(first)) and not rest.strip():
        return [f"await get_ipython().{NAME}.attach({match[1]!r})\n"]
    return lines


def install(shell: "InteractiveShell") -> None:
    """Rewrite cells from now on."""
    transforms = shell.input_transformer_manager.cleanup_transforms
    if await_homie not in transforms:
        transforms.insert(0, await_homie)


def remove(shell: "InteractiveShell") -> None:
    """Leave cells alone again."""
    transforms = shell.input_transformer_manager.cleanup_transforms
    if await_homie in transforms:
        transforms.remove(await_homie)
