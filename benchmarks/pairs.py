"""Two ways to do the same thing, measured in turn, so that whatever else the machine does hits both alike."""

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

Measure = Callable[[], float]
"""Does the thing once and returns how much of its unit that took or gave."""


@dataclass(frozen=True)
class Comparison:
    """What was measured; the n-th value of one side was measured right beside the n-th of the other."""

    name: str
    theirs_name: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours divided by theirs, for each repetition: the figure that another machine can confirm."""
        return tuple(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return everything measured, with the ratios."""
        return asdict(self) | {"ratios": self.ratios, "ratio": median(self.ratios)}


@dataclass(frozen=True)
class Skipped:
    """What could not be measured here, and why."""

    name: str
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "skipped": self.why}


Result = Comparison | Skipped


def compare(
    name: str, ours: Measure, theirs: Measure, repeat: int, *, beside: str, unit: str = "ms", warm_up: int = 1
) -> Comparison:
    """Measure both in turn, each first as often as second; `warm_up` rounds more do not count.

    `beside` names what is compared with.
    """
    if repeat < 1:
        raise ValueError(f"repeat is {repeat}; at least once")
    our_values, their_values = [], []
    for number in range(-warm_up, repeat):
        gc.collect()
        if number % 2:
            our_value, their_value = ours(), theirs()
        else:
            their_value, our_value = theirs(), ours()
        if number >= 0:
            our_values.append(our_value)
            their_values.append(their_value)
    return Comparison(name, beside, unit, tuple(our_values), tuple(their_values))


def milliseconds(action: Callable[[], object]) -> Measure:
    """Return a measure of how long the action takes."""

    def measure() -> float:
        started = time.perf_counter()
        action()
        return (time.perf_counter() - started) * 1000

    return measure


def megabytes_per_second(size: int, action: Callable[[], object]) -> Measure:
    """Return a measure of how fast the action moves `size` bytes (MB: 1,000,000 bytes)."""
    took = milliseconds(action)
    return lambda: size / 1000 / took()


def table(results: Iterable[Result]) -> str:
    """Return the results for people: median, and in brackets smallest to largest."""
    header = ("", "unit", "homie", "beside", "", "ratio")
    rows = [header]
    skipped = []
    for result in results:
        if isinstance(result, Skipped):
            skipped.append(f"not measured: {result.name}: {result.why}")
            continue
        ours, theirs, ratios = (spread(values) for values in (result.ours, result.theirs, result.ratios))
        rows.append((result.name, result.unit, ours, theirs, result.theirs_name, ratios))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in [*(lines if len(rows) > 1 else []), *skipped])


def spread(values: Sequence[float]) -> str:
    """Return median and range, with three digits that mean something: `143 (130-220)`."""
    return f"{_short(median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"
