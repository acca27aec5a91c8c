"""What other threads tell the main thread, in order."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homie_core.client.session import Header, Letter

if TYPE_CHECKING:
    from homie_jupyter.kernel.line import Line

ROOM = 64
"""Messages that wait to be published; whoever has more waits until there is room."""


@dataclass(frozen=True)
class Failed:
    """No session can be opened."""

    error: Exception


@dataclass(frozen=True)
class Opened:
    """A session is on its way."""

    line: "Line"


@dataclass(frozen=True)
class Ready:
    """A session has begun: it can be told things."""

    line: "Line"


@dataclass(frozen=True)
class Waits:
    """Why it has not begun yet, in words."""

    line: "Line"
    why: str


@dataclass(frozen=True)
class Begun:
    """A session runs this cell, under this number."""

    line: "Line"
    id: str
    number: int


@dataclass(frozen=True)
class About:
    """A letter for this request."""

    line: "Line"
    id: str
    letter: Letter


@dataclass(frozen=True)
class Gone:
    """Nothing more will be heard of it."""

    line: "Line"


@dataclass(frozen=True)
class Published:
    """Something for the front ends."""

    kind: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    header: Header
    buffers: list[bytes]


@dataclass(frozen=True)
class Signal:
    """The process was told to interrupt its cell, or to end."""

    end: bool


Item = Failed | Opened | Ready | Waits | Begun | About | Gone | Published | Signal


class Inbox:
    """Filled by any thread, emptied by the main thread, which `wake` lets look."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()  # may be put to in a signal handler
        self._room = threading.Semaphore(ROOM)

    def put(self, item: Item) -> None:
        """Put it in."""
        self._items.put(item)
        self._wake()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Wait for room for one `Published`, which must be put in within (never in the main thread)."""
        self._room.acquire()
        try:
            yield
        except BaseException:
            self._room.release()
            raise

    def take(self) -> Iterator[Item]:
        """Yield what is there."""
        while True:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, Published):
                self._room.release()
            yield item
