"""Which graphics cards a job gets, and what to say of those that it cannot get."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from homie_core.model.gpu import GpuAsk, short_name
from homie_core.model.peer import Gpu
from homie_core.model.quantity import show_size


def pick(cards: Iterable[Gpu], ask: GpuAsk) -> tuple[Gpu, ...]:
    """Return the cards that a job gets now; none if fewer that fit are free than it asks for.

    Who says how much memory gets the smallest that have it, so that larger ones are left for those who need
    them; who does not, those with the most memory free. Cards whose memory others use come last.
    """
    free = sorted(ask.free(cards), key=lambda card: _order(card, ask))
    return tuple(free[: ask.count]) if len(free) >= ask.count else ()


def suits(cards: Iterable[Gpu], ask: GpuAsk) -> tuple[bool, int, int]:
    """Return how well what a job would get now suits it, for comparing hosts: smaller is better."""
    return max((_order(card, ask) for card in pick(cards, ask)), default=(True, 0, 0))


def lack(cards: Sequence[Gpu], ask: GpuAsk) -> str:
    """Return why these cards are none that the job could ever get, in words; empty if some are."""
    fit = sum(ask.fits(card) for card in cards)
    if fit >= ask.count:
        return ""
    if not cards:
        return "has no GPU"
    if not fit:
        return f"has no {ask.kind}, but {_listed(cards)}"
    return f"has {replace(ask, count=fit).words}, not {ask.count}"


def _order(card: Gpu, ask: GpuAsk) -> tuple[bool, int, int]:
    return (not ask.has_room(card), card.vram_total if ask.vram else 0, -card.vram_free)


def _listed(cards: Sequence[Gpu]) -> str:
    return ", ".join(f"{short_name(card.name)} ({show_size(card.vram_total)})" for card in cards)
