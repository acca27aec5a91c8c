"""Sizes and durations as people write them: `4g`, `8G`, `512MiB`, `90`, `10m`, `1h30m`."""

import re

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*\Z", re.IGNORECASE | re.ASCII)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DURATION = re.compile(
    r"^\s*(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+(?:\.\d+)?)s?)?\s*\Z", re.IGNORECASE | re.ASCII
)


def parse_size(text: str | int) -> int:
    """Return bytes; units are powers of 1024 as in Docker (`4g` is 4 GiB). Raises ValueError."""
    match = _SIZE.match(str(text))
    if not match:
        raise ValueError(f"{str(text)[:40]!r} is no size; write for example 512m, 4g or 1.5G")
    return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def parse_duration(text: str | float) -> float:
    """Return seconds from `90`, `10m`, `1h30m`, `2d`. Raises ValueError."""
    match = _DURATION.match(str(text))
    if not match or not any(match.groups()):
        raise ValueError(f"{str(text)[:40]!r} is no duration; write for example 90, 10m or 1h30m")
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def show_size(size: float) -> str:
    """Return bytes for people, to two or three digits: `512 B`, `9.5 GB`, `16 GB` (powers of 1024)."""
    if size < 1024:
        return f"{size:.0f} B"
    power = min(4, (int(size).bit_length() - 1) // 10)
    size /= 1024**power
    return f"{size:.1f} {' KMGT'[power]}B" if size < 10 else f"{size:.0f} {' KMGT'[power]}B"


def show_duration(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
