"""`%%homie` at the top of a cell becomes an `await`: the one form in which the stop button works, and in which the
notebook hears clicks while the cell runs."""

import re
from typing import Any

NAME = "homie_magics"
"""Where the shell keeps the magics for what cells are rewritten to."""

LOCAL = "--local"
"""Leaves the cell to this kernel, as it is."""

HERE = "%%local"
"""On top of a cell: it runs here, even if others go to a peer."""
_STAYS = re.compile(r"%homie\b|%(?:re|un)?load_ext\b|%config\b|(?:await )?get_ipython\(\)\." + NAME)
"""Beginnings of cells that are about this kernel."""

_CELL = re.compile(r"%%homie(?:[ \t]+(.*))?\Z")
_ATTACH = re.compile(r"%homie[ \t]+attach\b(.*)\Z")


class Transform:
    """Rewrites the cells of one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.always: str | None = None
        """Options with which every cell goes to a peer; None: those do that say so."""

    def __call__(self, lines: list[str]) -> list[str]:
        """Return the cell's lines, rewritten if it goes to a peer, or is `%homie attach`."""
        rewritten = await_homie(lines, self.always)
        return rewritten if rewritten is lines or self._is_whole(lines) else lines

    def install(self) -> None:
        """Rewrite cells from now on."""
        self._shell.input_transformer_manager.cleanup_transforms.insert(0, self)

    def remove(self) -> None:
        """Leave cells alone again."""
        self._shell.input_transformer_manager.cleanup_transforms.remove(self)

    def _is_whole(self, lines: list[str]) -> bool:
        """Whether these lines are all of a cell, and not what another magic (`%%time`) runs inside it."""
        kernel = getattr(self._shell, "kernel", None)
        content = kernel.get_parent("shell").get("content", {}) if kernel else {}
        if content.get("silent"):  # a front end asks something for itself
            return False
        code = content.get("code")
        return code is None or str(code).strip() == "".join(lines).strip()


def await_homie(lines: list[str], always: str | None = None) -> list[str]:
    """Return what a cell of these lines becomes; the very same list if it is none of ours.

    `always`: options with which cells go to a peer that do not say where they run.
    """
    at = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    first, rest = "".join(lines[at : at + 1]).rstrip(), "".join(lines[at + 1 :])
    if first == HERE:
        return [*lines[:at], "\n", *lines[at + 1 :]]
    match = _CELL.match(first)
    if match and LOCAL in (match[1] or "").split():
        return [*lines[:at], f"get_ipython().{NAME}.runs_here({match[1]!r})\n", *lines[at + 1 :]]
    if match:
        return [f"await get_ipython().{NAME}.run_cell({match[1] or ''!r}, {rest!r})\n"]
    if (match := _ATTACH.match(first)) and not rest.strip():
        return [f"await get_ipython().{NAME}.attach({match[1]!r})\n"]
    if always is not None and first and not _STAYS.match(first):
        return [f"await get_ipython().{NAME}.run_cell({always!r}, {''.join(lines)!r})\n"]
    return lines
