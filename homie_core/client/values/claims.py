"""What a stranger claims of a value, and what is left of it."""

from collections.abc import Sequence
from typing import Any

from homie_core.model.errors import HomieError

Buffer = bytes | bytearray | memoryview


class Malformed(HomieError):
    """What came is not what it claims to be."""


def integer(claim: object, most: int, least: int = 0) -> int:
    """Return a whole number within bounds."""
    if type(claim) is not int or not least <= claim <= most:
        raise Malformed(f"a number that is none, or is not between {least} and {most}")
    return claim


def text(claim: object, most: int) -> str:
    """Return a text of at most so many characters."""
    if not isinstance(claim, str) or len(claim) > most:
        raise Malformed("a text that is none, or is too long")
    return claim


def buffer_at(buffers: Sequence[Buffer], claim: object) -> Buffer:
    """Return the buffer of this number."""
    return buffers[integer(claim, len(buffers) - 1)]


def shape_of(claim: object, size: int, item: int) -> tuple[int, ...]:
    """Return the shape of an array of items of so many bytes that fills so many bytes exactly."""
    if not isinstance(claim, list) or len(claim) > 64:
        raise Malformed("a shape that is none")
    shape = tuple(integer(length, 2**62) for length in claim)
    count = 1
    for length in shape:
        count *= length
    if count * item != size or (not item and count > 1_000_000):
        raise Malformed(f"{size} bytes for an array of shape {shape[:8]}")
    return shape


def library(name: str, what: str) -> Any:
    """Return a module that this value needs here. Raises HomieError with what to install."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        package = {"PIL.Image": "pillow"}.get(name, name.partition(".")[0])
        raise NotInstalled(f"{what} came, and {package} is not installed here: `pip install {package}`") from None


class NotInstalled(HomieError):
    """The value is sound, but its library is not here."""
