"""JSON and text of a peer: right types, bounded, and such that Jupyter can send it on."""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

from homie_core.client.safe_text import SafeText

MAX_DEPTH = 60
MAX_NODES = 2_000_000
MAX_KEY = 1000
MAX_INTEGER = 1 << 1000
"""Python refuses to write longer numbers."""

DROP = object()
"""What `Member` returns for a member that must not stay."""
Member = Callable[[str, Any], Any]
"""Called with each key and value of an object; returns the value to keep (it is looked at in turn), or DROP."""


class Malformed(ValueError):
    """It is not what its type says."""


def text(value: object) -> str:
    """Return a string that is whole Unicode; raise Malformed for anything else."""
    if not isinstance(value, str):
        raise Malformed("no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def plain(value: object) -> str:
    """Return text that moves no terminal: it may colour itself, no more."""
    return SafeText().feed(text(value).encode())


def image(value: object, mime: str) -> str:
    """Return the base64 of a picture that begins as its type says; raise Malformed otherwise."""
    packed = "".join(text(value).split())
    try:
        head = base64.b64decode(packed[:32], validate=True)
        binascii.a2b_base64(packed, strict_mode=True)
    except ValueError as error:
        raise Malformed(f"no base64: {error}") from None
    if not any(head.startswith(magic) for magic in _MAGIC[mime]):
        raise Malformed(f"no {mime}")
    return packed


def json(value: object, member: Member | None = None) -> Any:
    """Return a copy of a JSON value; raise Malformed if it is none, too deep, or too large."""
    return _Copy(member).of(value, 0)


class _Copy:
    def __init__(self, member: Member | None) -> None:
        self._member = member
        self._left = MAX_NODES

    def of(self, value: object, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise Malformed("too deep or too large")
        match value:
            case str():
                return text(value)
            case None | bool():
                return value
            case int() if -MAX_INTEGER < value < MAX_INTEGER:
                return value
            case float():
                return value if math.isfinite(value) else None
            case list() | tuple():
                return [self.of(each, depth + 1) for each in value]
            case dict():
                return dict(self._members(value, depth))
        raise Malformed("no JSON")

    def _members(self, value: dict[Any, Any], depth: int) -> Any:
        for key, each in value.items():
            if not isinstance(key, str) or len(key) > MAX_KEY:
                raise Malformed("a key that is none")
            kept = self._member(key, each) if self._member else each
            if kept is not DROP:
                yield text(key), self.of(kept, depth + 1)


_MAGIC = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
