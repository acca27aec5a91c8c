"""What one front end tells a session: kept until its host has taken it, so that a broken link loses nothing."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator

from homie_core.model.session import Input, Taken, Told

MAX_KEPT = 32
"""Inputs that are kept; whoever has more to say waits until the host has taken some."""


class Outbox:
    """A queue with one writer, read again from its oldest entry over each new connection."""

    def __init__(self) -> None:
        self._origin = secrets.token_hex(8)
        self._number = 0
        self._kept: deque[Input] = deque()
        self._changed = asyncio.Event()

    async def say(self, what: Told) -> None:
        """Put in what is to be told next."""
        while len(self._kept) >= MAX_KEPT:
            await self._change()
        self._number += 1
        self._kept.append(Input(origin=self._origin, number=self._number, what=what))
        self._notify()

    def taken(self, taken: Taken) -> None:
        """The host has what this says; nobody else's numbers mean anything here."""
        if taken.origin == self._origin:
            while self._kept and self._kept[0].number <= taken.number:
                self._kept.popleft()
            self._notify()

    async def sending(self) -> AsyncIterator[Input]:
        """Yield all that is kept, then what comes, each once."""
        sent = 0
        while True:
            for said in [said for said in self._kept if said.number > sent]:
                yield said
                sent = said.number
            if self._number <= sent or not self._kept:
                await self._change()

    async def _change(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
