"""How a cell fails here as it failed there."""

from collections.abc import Callable
from typing import Any

from IPython import get_ipython


class RemoteError(Exception):
    """The cell failed over there; its traceback is shown as if it had failed here."""

    def __init__(self, message: str, traceback: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self._traceback = traceback

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of the frames of this process, which say nothing."""
        return list(self._traceback) or [f"{type(self).__name__}: {self}"]


def error_from(content: dict[str, Any], harmless: Callable[[str], str]) -> Exception:
    """Return an exception that shows as the remote one did, under its name, its texts made harmless."""
    name = str(content.get("ename") or "Error")[:200]
    kind = type(name if name.isidentifier() else "RemoteError", (RemoteError,), {})
    lines = content.get("traceback")
    traceback = tuple(harmless(str(line)) for line in lines) if isinstance(lines, list) else ()
    error: Exception = kind(harmless(str(content.get("evalue") or "")), traceback)
    return error


class Failed(Exception):
    """The cell failed, and all there is to say about it has been shown (IPython's usage errors are such)."""


def raise_in_silence() -> None:
    """Let the cell be in error without showing anything more."""
    shell = get_ipython()
    if shell is not None:
        before = shell.custom_exceptions, shell.CustomTB

        def restore(*_: Any, **__: Any) -> None:
            shell.custom_exceptions, shell.CustomTB = before

        shell.custom_exceptions, shell.CustomTB = (Failed,), restore
    raise Failed
