"""What is kept here of jobs that have ended: for a week at most, and as much as the owner gives disk for."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from homie_core.daemon.hosted import Hosted
from homie_core.engine.keeping import Kept, surplus
from homie_core.model.names import JobId
from homie_core.model.quantity import show_size
from homie_core.store import workspace

KEEP = 7 * 86400.0
"""Seconds for which the events and files of an ended job are kept, unless its submitter has fetched them."""


@dataclass(frozen=True)
class Keeping:
    """Says what is kept no longer."""

    name: str
    """The host's."""
    limit: int
    """Bytes of disk for all ended jobs together."""

    async def over(self, jobs: Mapping[JobId, Hosted], wall: float) -> dict[JobId, str]:
        """Return which of these jobs go; with the reason, for who comes for it, if that is not its age."""
        for hosted in [hosted for hosted in jobs.values() if hosted.ended is not None and not hosted.running]:
            if hosted.size is None:
                hosted.size = await asyncio.to_thread(workspace.kept_size, hosted.folder)
        aged, kept, now = dict[JobId, str](), list[Kept](), time.monotonic()
        for job, hosted in jobs.items():
            if hosted.ended is None:
                continue
            if wall - hosted.ended > KEEP:
                aged[job] = ""
            elif hosted.size is not None:
                kept.append(Kept(job, hosted.ended, hosted.size, hosted.wanted(now)))
        return aged | {job: self._why(job) for job in surplus(kept, self.limit)}

    def _why(self, job: JobId) -> str:
        return (
            f"job {job} has ended, and its output and results were dropped to keep within {self.name}'s "
            f"kept_disk_limit ({show_size(self.limit)}), the oldest first. Run it again and fetch it sooner, or "
            f"ask the owner of {self.name} to raise the limit"
        )
