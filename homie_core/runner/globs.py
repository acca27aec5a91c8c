"""Patterns of files, the same here and there: `*`, `?` and `[..]` within a name, `**` for any folders between.

As in a shell, what begins with a dot is only found by a pattern that does so too.
"""

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

MAX_DEPTH = 32
"""Folders within folders; nothing is looked for further down."""

Look = Callable[[str], Iterable[tuple[str, bool]]]
"""Returns what is in a folder: names, and whether each is a folder that may be looked into."""


def is_glob(text: str) -> bool:
    """Return whether this is a pattern, and not just a name."""
    return any(character in text for character in "*?[")


def matching(parts: Sequence[str], look: Look, top: str = "") -> Iterator[str]:
    """Yield the paths, from `top` on, of what this pattern (its parts between slashes) means.

    A folder that matches is yielded, not what is in it. A pattern with several `**` may yield a path twice.
    """
    return _matching(tuple(parts), look, top, MAX_DEPTH)


def _matching(parts: tuple[str, ...], look: Look, top: str, depth: int) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    anywhere = part == "**"
    if anywhere and rest:
        yield from _matching(rest, look, top, depth)
    for name, is_folder in look(top):
        path = os.path.join(top, name)
        if anywhere and name.startswith("."):
            continue
        if anywhere and is_folder:
            if depth > 1:
                yield from _matching(parts, look, path, depth - 1)
        elif anywhere:
            if not rest:
                yield path
        elif _fits(name, part):
            if not rest:
                yield path
            elif is_folder and depth > 1:
                yield from _matching(rest, look, path, depth - 1)


def _fits(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return name == part or (is_glob(part) and fnmatch.fnmatchcase(name, part))
