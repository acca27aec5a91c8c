"""How a call fails here as it failed there."""

from typing import Any

from homie_core.client.safe_text import SafeText

MAX_TEXT = 100_000
"""Characters of a traceback that are kept."""
OURS = "_homie_call"
"""The name by which the code that calls a function knows it: in a frame that says nothing to anybody."""


class RemoteError(Exception):
    """The code failed on its peer; `str` of it is what failed, where, and the traceback there.

    `ename` is the name of the exception's class, `evalue` its text, `traceback` the text of its traceback;
    `item` is the item of a `map` that it belongs to, else None.
    """

    def __init__(self, ename: str, evalue: str, traceback: str, peer: str, item: str | None = None) -> None:
        super().__init__(ename, evalue, traceback, peer, item)
        self.ename, self.evalue, self.traceback, self.peer, self.item = ename, evalue, traceback, peer, item

    def __str__(self) -> str:
        place = f"on {self.peer}" if self.item is None else f"on {self.peer}, for {self.item}"
        what = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        return f"{what} ({place})\n\n{self.traceback}".rstrip()


def error_from(content: dict[str, Any], peer: str, item: str | None = None) -> RemoteError:
    """Return the error that a peer tells, with its texts made harmless."""
    lines = content.get("traceback")
    text = "\n".join(str(line) for line in lines if OURS not in str(line)) if isinstance(lines, list) else ""
    return RemoteError(
        _harmless(content.get("ename") or "Error", 200),
        _harmless(content.get("evalue") or "", 10_000),
        _harmless(text, MAX_TEXT),
        peer,
        item,
    )


def _harmless(text: object, longest: int) -> str:
    return SafeText(colours=False).feed(str(text)[:longest].encode(errors="replace"))
