"""Bringing the files of a job here, with progress."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from homie_core.daemon.meter import Meter, watch
from homie_core.model.control import Delivered, Transfer
from homie_core.model.event import Collected
from homie_core.model.names import JobId
from homie_core.net.link import Link
from homie_core.store.incoming import Delivery


async def deliver(
    link: Link, job: JobId, collected: Collected, delivery: Delivery
) -> AsyncIterator[Transfer | Delivered]:
    """Bring the files that were collected of a job; what has come already is not fetched again.

    Yields the progress and, last, what is here now.
    """
    files = [file for file in collected.files if file.name not in delivery.taken]
    meter = Meter(up=False, total=sum(file.size for file in files))

    async def download() -> None:
        for file in files:
            with delivery.receive(file) as incoming:
                await link.download(job, file, incoming, meter.add)

    async for progress in watched(download(), meter, f"deliver {job}"):
        yield progress
    notes = (*delivery.notes, *collected.skipped)
    yield Delivered(folder=str(delivery.folder), files=tuple(delivery.files), notes=notes)


async def watched(transfer: Coroutine[Any, Any, None], meter: Meter, name: str) -> AsyncIterator[Transfer]:
    """Yield the progress of a transfer; whoever stops reading ends it."""
    task = asyncio.create_task(transfer, name=name)
    try:
        async for progress in watch(task, meter):
            yield progress
        task.result()
    finally:
        task.cancel()
