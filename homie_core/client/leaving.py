"""What would leave this machine, byte by byte, for whoever wants to see it first."""

from collections.abc import Iterable
from dataclasses import dataclass

from homie_core.model.control import Plan
from homie_core.model.job import FileRef


@dataclass(frozen=True)
class Leaving:
    """One thing that would leave this machine."""

    what: str
    size: int
    """Bytes, without what carries them: HTTP, WebSocket, TLS."""


def leaving_with(plan: Plan) -> list[Leaving]:
    """Return what leaves for a request: the message that asks, and the files."""
    return [Leaving("the request: what is asked for, arguments, names and digests of files", plan.offer)] + [
        Leaving(file.name if size else f"{file.name} (the same as another file)", size)
        for file, size in _sent_once(plan.files)
    ]


def where_in_words(plan: Plan) -> list[str]:
    """Return who would take it and why, and who would not, a line each."""
    best, *others = plan.takes
    lines = [f"to {best.peer}: {best.why}"]
    lines += [f"or, if it says no, to {other.peer}: {other.why}" for other in others]
    return lines + [f"not to {peer.peer}: {peer.why}" for peer in plan.cannot]


def in_words(lines: list[str], leaves: Iterable[Leaving]) -> str:
    """Return these lines about where it would go, and what would leave this machine."""
    listed = [*leaves]
    listed.append(Leaving("together", sum(each.size for each in listed)))
    sizes = [f"{each.size:,} bytes".replace(",", " ") for each in listed]
    width = max(map(len, sizes))
    rows = [f"  {size:>{width}}  {each.what}" for size, each in zip(sizes, listed, strict=True)]
    return printable([*lines, "what would leave this machine:", *rows])


def printable(lines: Iterable[str]) -> str:
    """Return the lines with nothing in them that could move a terminal: peers' reasons may be any text."""
    text = "\n".join(lines)
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in text.splitlines())


def _sent_once(files: Iterable[FileRef]) -> Iterable[tuple[FileRef, int]]:
    """Yield each file with the bytes that are sent for it: none if another one has the same content."""
    known = set()
    for file in files:
        yield file, 0 if file.digest in known else file.size
        known.add(file.digest)
