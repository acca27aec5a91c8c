"""Long-running work: named, held, and never failing in silence."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from homie_core.model.errors import HomieError

log = logging.getLogger(__name__)


class Tasks:
    """The tasks of one owner; ended together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run the coroutine as a task of this name; an error nobody awaits is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def settle(self, patience: float) -> None:
        """Let all tasks come to their end by themselves, for some seconds; then cancel them."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=patience)
        await self.cancel()

    async def cancel(self) -> None:
        """End all tasks now."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or not (error := task.exception()):
            return
        if isinstance(error, HomieError):
            log.info("%s: %s", task.get_name(), error)
        else:
            log.error("%s failed", task.get_name(), exc_info=error)
