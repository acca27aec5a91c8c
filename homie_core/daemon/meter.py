"""Progress of a transfer, counted by the bytes and shown a few times a second."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

from homie_core.model.control import Transfer

PERIOD = 0.1
"""Seconds between two reports."""

T = TypeVar("T")


@dataclass
class Meter:
    """Bytes of a transfer; shown when it takes long enough to be worth it."""

    up: bool
    done: int = 0
    total: int = 0

    def add(self, size: int) -> None:
        self.done += size

    def show(self) -> Transfer:
        return Transfer(up=self.up, done=min(self.done, self.total), total=self.total)


async def watch(task: "asyncio.Task[T]", meter: Meter) -> AsyncIterator[Transfer]:
    """Yield the progress of a transfer while it goes on; short ones pass in silence."""
    shown = -1
    while not task.done():
        await asyncio.wait({task}, timeout=PERIOD)
        if meter.done != shown and meter.total and (shown >= 0 or not task.done()):
            shown = meter.done
            yield meter.show()
