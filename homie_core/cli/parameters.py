"""Kinds of arguments: sizes, durations, cards, job ids and node names, checked where they are typed."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from homie_core.model.gpu import parse_gpu, parse_vram
from homie_core.model.job import MAX_TIMEOUT
from homie_core.model.quantity import parse_duration, parse_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from homie_core.client import Client

T = TypeVar("T")


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """An argument read by a function that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TakesGpu(click.Command):
    """A command whose `--gpu` may stand alone: it never takes the next word, which may be a script."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [each for each in self.params if isinstance(each, click.Option)]
        valued = {name for each in options if not each.is_flag for name in each.opts}
        words, at = [*args], 0
        while at < len(words) and words[at].startswith("-") and words[at] != "--":
            if words[at] == "--gpu":
                words[at] = "--gpu=1"
            at += 2 if words[at] in valued else 1
        return super().parse_args(ctx, words)


class JobStart(click.ParamType):  # type: ignore[type-arg]
    """A job's id or the beginning of it; the shell completes ids of my jobs."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(r"[0-9a-f]{1,12}", value):
            self.fail(f"{value[:40]!r} is no job id (or the beginning of one): 12 digits and letters a to f")
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(view.id, help=f"{view.title} on {view.peer}")
            for view in _known(lambda client: client.jobs(ended=True))
            if view.mine and view.id.startswith(incomplete)
        ]


class NodeName(click.ParamType):  # type: ignore[type-arg]
    """A peer's name or the beginning of its id; the shell completes names of peers."""

    name = "node"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        names = sorted(peer.name for peer in _known(lambda client: client.peers()))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _known(ask: "Callable[[Client], tuple[T, ...]]") -> tuple[T, ...]:
    """Return what the daemon knows; nothing if it does not say: who types a command has no use for a message."""
    from homie_core.client import Client
    from homie_core.home import home
    from homie_core.model.errors import HomieError

    try:
        return ask(Client(home(), timeout=3.0))
    except HomieError:
        return ()


def _cores(text: str) -> float:
    try:
        cores = float(text)
    except ValueError:
        cores = 0.0
    if not 0 < cores <= 4096:
        raise ValueError(f"{text[:40]!r} is no number of cores; write for example 2 or 0.5")
    return cores


def _memory(text: str) -> int:
    size = parse_size(text)
    if not 16 << 20 <= size < 1 << 60:
        raise ValueError(f"{text[:40]!r} is not between 16M and 1048576T")
    return size


def _running_time(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError(f"{text[:40]!r} is not between 1 second and 30 days")
    return seconds


CORES = Parsed("number", _cores)
SIZE = Parsed("size", _memory)
DURATION = Parsed("time", _running_time)
GPU = Parsed("cards", parse_gpu)
VRAM = Parsed("size", parse_vram)
JOB = JobStart()
NODE = NodeName()
