"""Let names in modules and classes mean something else for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock


@contextlib.contextmanager
def swapped(changes: dict[tuple[Any, str], Any]) -> Iterator[None]:
    """Let each (owner, name) be this instead."""
    with contextlib.ExitStack() as stack:
        for (owner, name), value in changes.items():
            stack.enter_context(mock.patch.object(owner, name, value))
        yield
