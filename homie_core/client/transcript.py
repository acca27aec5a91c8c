"""What a job prints, kept within bounds for whoever reads it, now or later."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

MAX_KEPT = 4 << 20
"""Characters that are kept; more drops the beginning."""


class Transcript:
    """Text that grows until it is ended. Iterate over it (`for`, `async for`) to read it as it comes."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._size = self._dropped = 0
        self._ended = False
        self._more = threading.Condition()

    @property
    def text(self) -> str:
        """All that is kept so far."""
        with self._more:
            return "".join(self._kept)

    def add(self, text: str) -> None:
        """Append a piece; any thread."""
        with self._more:
            self._kept.append(text)
            self._size += len(text)
            while self._size > MAX_KEPT and len(self._kept) > 1:
                self._size -= len(self._kept.pop(0))
                self._dropped += 1
            self._more.notify_all()

    def end(self) -> None:
        """There will be no more."""
        with self._more:
            self._ended = True
            self._more.notify_all()

    def __iter__(self) -> Iterator[str]:
        at = 0
        while found := self._after(at):
            at, text = found
            yield text

    async def __aiter__(self) -> AsyncIterator[str]:
        at = 0
        while found := await asyncio.to_thread(self._after, at):
            at, text = found
            yield text

    def _after(self, at: int) -> tuple[int, str] | None:
        """Wait for the pieces from number `at` on; return the next number and them, None after the last one."""
        with self._more:
            while True:
                if (index := max(0, at - self._dropped)) < len(self._kept):
                    return self._dropped + len(self._kept), "".join(self._kept[index:])
                if self._ended:
                    return None
                self._more.wait()
