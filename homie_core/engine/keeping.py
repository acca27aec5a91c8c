"""What a host keeps of jobs that have ended: as much of it as its owner gives disk for."""

from collections.abc import Iterable
from dataclasses import dataclass

from homie_core.model.names import JobId


@dataclass(frozen=True)
class Kept:
    """What is kept of a job that has ended."""

    job: JobId
    ended: float
    """Wall time, seconds."""
    size: int
    """Bytes of disk."""
    wanted: bool = False
    """Whether it is being fetched."""


def surplus(kept: Iterable[Kept], limit: int) -> list[JobId]:
    """Return which are dropped so that all others together fit into the limit, in bytes: those that ended first.

    Never the one that ended last, however large it is, nor what is being fetched.
    """
    oldest_first = sorted(kept, key=lambda each: each.ended)
    over = sum(each.size for each in oldest_first) - limit
    dropped = []
    for each in oldest_first[:-1]:
        if over <= 0:
            break
        if not each.wanted:
            dropped.append(each.job)
            over -= each.size
    return dropped
