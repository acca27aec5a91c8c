"""What a host has to give, what a job takes of it, and what it lacks: nothing is held by two jobs."""

from dataclasses import dataclass
from typing import Self

from msgspec.structs import replace

from homie_core.engine import cards
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Limits
from homie_core.model.names import PeerId
from homie_core.model.peer import Gpu
from homie_core.model.quantity import show_size

Parts = tuple[float, ...]
"""How much of each resource of a host somebody holds; 1 is all of it."""
NOTHING: Parts = (0.0,) * 5


@dataclass(frozen=True)
class Claim:
    """What a job takes while it runs, and whose it is."""

    submitter: PeerId
    limits: Limits
    gpu: GpuAsk | None = None
    """The graphics cards that it asks for; which ones it gets is decided when it starts."""


@dataclass(frozen=True)
class Room:
    """So much is there; below zero where resting sessions' cores were lent twice."""

    cpus: float
    memory: int
    """Bytes."""
    disk: int
    """Bytes."""
    jobs: int
    cards: tuple[Gpu, ...]

    def lack(self, claim: Claim) -> str:
        """Return what is not there for this job, in words; empty if all is."""
        limits = claim.limits
        if self.jobs < 1:
            return "one of the jobs here to end"
        if limits.cpus > self.cpus + 1e-9:
            return f"{limits.cpus:g} cores ({max(0.0, self.cpus):g} free)"
        if limits.memory > self.memory:
            return f"{show_size(limits.memory)} of memory ({show_size(max(0, self.memory))} free)"
        if limits.disk > self.disk:
            return f"{show_size(limits.disk)} of disk ({show_size(max(0, self.disk))} free)"
        if claim.gpu and not cards.pick(self.cards, claim.gpu):
            return claim.gpu.words
        return ""

    def pick(self, claim: Claim) -> tuple[str, ...]:
        """Return the ids of the cards that this job gets."""
        return tuple(card.uuid for card in cards.pick(self.cards, claim.gpu)) if claim.gpu else ()

    def less(self, claim: Claim) -> Self:
        """Return what is left to others once this job has its share, or while it is kept for it.

        What waits for a card keeps every card that it could get.
        """
        limits, ask = claim.limits, claim.gpu
        taken = set(limits.gpus or self.pick(claim))
        if ask and not taken:
            taken = {card.uuid for card in self.cards if ask.fits(card)}
        return type(self)(
            cpus=self.cpus - limits.cpus,
            memory=self.memory - limits.memory,
            disk=self.disk - limits.disk,
            jobs=self.jobs - 1,
            cards=tuple(replace(card, taken=True) if card.uuid in taken else card for card in self.cards),
        )

    def parts(self, claim: Claim) -> Parts:
        """Return how much of all this a job takes."""
        limits, number = claim.limits, claim.gpu.count if claim.gpu else len(claim.limits.gpus)
        takes = (limits.cpus, limits.memory, limits.disk, 1, number)
        has = (self.cpus, self.memory, self.disk, self.jobs, len(self.cards))
        return tuple(part / whole if whole > 0 else 0.0 for part, whole in zip(takes, has, strict=True))


def added(parts: Parts, more: Parts) -> Parts:
    """Return both together."""
    return tuple(a + b for a, b in zip(parts, more, strict=True))
