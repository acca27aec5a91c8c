"""On which machine, and with how much of it; and who is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, Unpack

from homie_core.client import Client, ensure_daemon, wait_for_peers
from homie_core.home import home
from homie_core.model.gpu import GpuAsk, parse_gpu, parse_vram, with_vram
from homie_core.model.job import Ask
from homie_core.model.peer import Peer
from homie_core.model.quantity import parse_duration, parse_size

T = TypeVar("T")


class Options(TypedDict, total=False):
    """What every call may say; all of it may be left out."""

    node: str | None
    """Name of the machine, or the beginning of its id; left out: the best one that is free."""
    gpu: bool | int | str
    """Whether it needs a graphics card, how many, or which: `"RTX3080"`, `"24G"`, `"A100:2,40G"`."""
    vram: str | int | None
    """Memory that each card has at least, as `"24G"` or in bytes; alone it asks for one card."""
    cpus: float | None
    """Cores; left out: as many as a job may have there."""
    ram: str | int | None
    """Memory, as `"4g"` or in bytes; left out: as much as a job may have there."""
    timeout: str | float | None
    """Time that a call may run, as `"10m"` or in seconds; left out: as long as a job may run there."""


@dataclass(frozen=True)
class Where:
    """One machine or the best one, and what is asked of it."""

    node: str | None
    ask: Ask
    timeout: float | None


def where(**options: Unpack[Options]) -> Where:
    """Return what these options mean. Raises ValueError, or TypeError for one that there is not."""
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        raise TypeError(f"there is no option {unknown.pop()!r}; there are: {', '.join(Options.__annotations__)}")
    return Where(
        node=options.get("node"),
        ask=Ask(
            cpus=options.get("cpus"),
            memory=_read("ram", parse_size, options.get("ram")),
            gpu=with_vram(
                _read("gpu", _cards, options.get("gpu")), _read("vram", parse_vram, options.get("vram"))
            ),
        ),
        timeout=_read("timeout", parse_duration, options.get("timeout")),
    )


def _cards(gpu: bool | int | str) -> GpuAsk | None:
    return (GpuAsk() if gpu is True else parse_gpu(str(gpu))) if gpu else None


def _read(name: str, parse: Callable[[Any], T], value: object) -> T | None:
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def client() -> Client:
    """Return a client of my daemon, started if it does not run. Raises ConfigError, DaemonUnreachable."""
    found, started = ensure_daemon(home())
    if started:
        wait_for_peers(found)
    return found


def peers() -> tuple[Peer, ...]:
    """Return the machines of my group that are known, online or not."""
    return client().peers()
