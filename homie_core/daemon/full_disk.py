"""What must be written down, and waits until a full disk has room again."""

import asyncio
import logging
from collections.abc import Callable

from homie_core.model.errors import CannotWrite
from homie_core.model.names import JobId

log = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds between two looks whether there is room again."""


async def when_room(job: JobId, write: Callable[[], None]) -> None:
    """Write down something of a job as soon as there is room."""
    while True:
        try:
            return write()
        except CannotWrite as error:
            log.warning("job %s waits for room: %s", job, error)
        await asyncio.sleep(LOOK)
