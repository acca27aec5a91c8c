"""Which graphics cards a job asks for: `--gpu`, `--gpu=2`, `--gpu=24G`, `--gpu=RTX3080`, `--gpu=A100:2,40G`."""

import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from homie_core.model.peer import Bytes, Gpu
from homie_core.model.quantity import parse_size, show_size
from homie_core.model.wire import Frozen

MAX_COUNT = 16
LEAST_VRAM = 16 << 20
"""Bytes; who asks for less has forgotten the unit."""
SOLD_AS = 0.92
"""A card has up to 8 % less memory than it is sold with (an L4: 22.5 of 24 GB), and counts as what it is sold as;
the next smaller one that is sold is never that near."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._/()+-]{0,79}"
_VRAM = re.compile(r"\d+(?:\.\d+)?\s*(?:[kmgt](?:i?b)?|b)", re.IGNORECASE | re.ASCII)
_NAMED = re.compile(rf"({_NAME}?)\s*(?::\s*(\d+))?", re.ASCII)
_MAKERS_WORDS = re.compile(r"\b(?:NVIDIA|GeForce|Graphics|GPU)\b\s*")
_NO_LETTERS = re.compile(r"[\W_]")


class GpuAsk(Frozen, frozen=True):
    """How many cards, and what each of them has to be."""

    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 1
    name: Annotated[str, Meta(pattern=rf"^(?:{_NAME})?\Z")] = ""
    """What a card's name contains, but for case, spaces and punctuation; empty: any."""
    vram: Bytes = 0
    """Bytes that each has in all, at least."""

    def fits(self, card: Gpu) -> bool:
        """Return whether this card is of the kind that is asked for, taken or not."""
        return _letters(self.name) in _letters(card.name) and card.vram_total >= SOLD_AS * self.vram

    def free(self, cards: Iterable[Gpu]) -> list[Gpu]:
        """Return those of the cards that fit and that no job has."""
        return [card for card in cards if self.fits(card) and not card.taken]

    def has_room(self, card: Gpu) -> bool:
        """Return whether nobody else uses the memory that is asked for of this card."""
        return card.vram_free >= SOLD_AS * self.vram

    def covers(self, other: "GpuAsk") -> bool:
        """Return whether who gets this has what the other asks for."""
        is_named = _letters(other.name) in _letters(self.name)
        return is_named and self.count >= other.count and self.vram >= other.vram

    @property
    def kind(self) -> str:
        """What one card has to be, in words: `A100 with 40 GB of VRAM`."""
        return f"{self.name or 'GPU'}{self._size}"

    @property
    def words(self) -> str:
        """Return it for people: `2 GPUs with 24 GB of VRAM`."""
        noun = self.name or ("GPU" if self.count == 1 else "GPUs")
        return f"{self.count} {noun}{self._size}"

    @property
    def _size(self) -> str:
        return f" with {show_size(self.vram)} of VRAM" if self.vram else ""

    def __str__(self) -> str:
        """Return what `parse_gpu` understands as this."""
        parts = [f"{self.name}:{self.count}"] if self.name else [str(self.count)]
        return ",".join([*parts, *([_spelled(self.vram)] if self.vram else [])])


def parse_gpu(text: str) -> GpuAsk:
    """Return what `--gpu=` asks for: count, name, name:count, VRAM, or several with commas. Raises ValueError."""
    said: dict[str, int | str] = {}
    for part in text.split(","):
        for what, value in _read(part.strip(), text).items():
            if what in said:
                raise ValueError(f"{text[:60]!r} says the {what} twice; write for example A100:2,40G")
            said[what] = value
    return GpuAsk(count=int(said.get("count", 1)), name=str(said.get("name", "")), vram=int(said.get("VRAM", 0)))


def parse_vram(text: str | int) -> int:
    """Return bytes of video memory. Raises ValueError."""
    vram = parse_size(text)
    if not LEAST_VRAM <= vram < 1 << 60:
        raise ValueError(f"{str(text)[:40]!r} is no memory of a graphics card; write for example 24G")
    return vram


def with_vram(ask: GpuAsk | None, vram: int | None) -> GpuAsk | None:
    """Return the cards that `--gpu` and `--vram` (bytes) ask for together: VRAM alone asks for one card."""
    if vram is None:
        return ask
    ask = ask or GpuAsk()
    return replace(ask, vram=max(ask.vram, vram))


def short_name(card: str) -> str:
    """Return a card's name without its maker's words: RTX 3080."""
    return _MAKERS_WORDS.sub("", card).strip() or card


def _read(part: str, text: str) -> dict[str, int | str]:
    if _VRAM.fullmatch(part):
        return {"VRAM": parse_vram(part)}
    if part.isdecimal() and len(part) < 3:  # 3080 is no number of cards
        return {"count": _count(part)}
    match = _NAMED.fullmatch(part)
    if not part or not match or not match[1]:
        raise ValueError(
            f"{text[:60]!r} names no graphics card; write how many (2), which (RTX3080), "
            "how large (24G), or all of it (A100:2,40G)"
        )
    name = {"name": match[1].strip()}
    return {**name, "count": _count(match[2])} if match[2] else name


def _count(digits: str) -> int:
    count = int(digits[:9])
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"{digits[:40]} graphics cards cannot be had: 1 to {MAX_COUNT}")
    return count


def _letters(name: str) -> str:
    return _NO_LETTERS.sub("", name).casefold()


def _spelled(size: int) -> str:
    unit, letter = next(
        (unit, letter) for unit, letter in ((30, "G"), (20, "M"), (10, "K"), (0, "b")) if not size % (1 << unit)
    )
    return f"{size >> unit}{letter}"
