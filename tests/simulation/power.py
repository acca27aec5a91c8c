"""The one gate through which a life acts on the world: files, journal, sandboxes, network.

At each effect a life may end (before it, after it, or in the midst of a write), and a full disk says no. The real
code is not changed for this: what it calls in `os` is, while a simulation runs.
"""

import contextlib
import errno
import os
import random
import secrets
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clocks import Clock
from swaps import swapped
from virtual import LIFE, Life, Loop, PowerCut

FILES = ("mkdir", "rmdir", "unlink", "remove", "rename", "replace", "link", "ftruncate", "write", "pwrite")
GROWS = {"mkdir", "replace", "link", "write", "pwrite", "open"}
"""What needs room on a disk."""
CHATTER = {"datagram", "request"}
"""What happens all the time, and is not counted: lives end at what has to do with jobs."""


class NodeLife(Life):
    """A life on a machine: with its wall clock and its disk."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        wall: Callable[[], float],
        is_full: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        super().__init__(name, clock)
        self.wall, self.is_full, self.random = wall, is_full, rng
        self.trace: Callable[[str], None] = lambda what: None


def effect(what: str, act: Callable[[], Any] = lambda: None, part: Callable[[float], Any] | None = None) -> Any:
    """Let the life that runs have this effect, unless it has ended or ends with it. `part` does a share of it."""
    life = LIFE.get()
    if life is None:
        return act()
    if not life.alive:
        raise PowerCut
    if what not in CHATTER:
        life.effects += 1
    if life.effects != life.dies_at:
        return act()
    assert isinstance(life, NodeLife)
    share = life.random.choice((0.0, 1.0, life.random.random() if part else 1.0))
    if share == 1.0:
        act()
    elif share and part:
        part(share)
    life.trace(f"dies at {what} ({share:.2f})")
    life.end()
    raise PowerCut


def _full(what: str) -> None:
    life = LIFE.get()
    if isinstance(life, NodeLife) and life.is_full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what)


@contextlib.contextmanager
def simulated(loop: Loop, seed: int) -> Iterator[None]:
    """Let all clocks, all chance and all effects on files be the simulation's."""
    rng = random.Random(f"chance {seed}")
    connect = sqlite3.connect

    def wall() -> float:
        life = LIFE.get()
        return life.wall() if isinstance(life, NodeLife) else 1.7e9 + loop.now

    changes = {
        (time, "monotonic"): loop.time,
        (time, "time"): wall,
        (time, "clock_gettime"): lambda clock: loop.boottime(),
        (secrets, "token_hex"): lambda size=32: f"{rng.getrandbits(8 * size):0{2 * size}x}",
        (uuid, "uuid4"): lambda: uuid.UUID(int=rng.getrandbits(128)),
        (random, "uniform"): rng.uniform,
        (os, "open"): _gated_open(os.open),
        (Path, "write_bytes"): _gated_write(Path.write_bytes),
        (sqlite3, "connect"): lambda *args, **options: Database(connect(*args, **options)),
        **{(os, name): _gated(name, getattr(os, name)) for name in FILES},
    }
    with swapped(changes):
        yield


def _gated(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        if LIFE.get() is None:
            return real(*args, **options)
        if name in GROWS:
            _full(name)
        part = None
        if name in ("write", "pwrite"):

            def part(share: float) -> Any:
                return real(args[0], args[1][: int(share * len(args[1]))], *args[2:])

        return effect(name, lambda: real(*args, **options), part)

    return call


def _gated_open(real: Callable[..., int]) -> Callable[..., int]:
    def call(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if not flags & os.O_CREAT or LIFE.get() is None:
            return real(path, flags, *args, **options)
        if options or not Path(path).exists():
            _full("open")
        return effect("open", lambda: real(path, flags, *args, **options))

    return call


def _gated_write(real: Callable[[Path, bytes], int]) -> Callable[[Path, bytes], int]:
    def call(path: Path, data: bytes) -> int:
        if LIFE.get() is not None:
            _full("write")
        return effect(
            "write_bytes", lambda: real(path, data), lambda share: real(path, data[: int(share * len(data))])
        )

    return call


class Database:
    """A journal's database: what is committed is an effect."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def execute(self, statement: str, *args: Any) -> Any:
        verb = statement.split()[0]
        if verb not in ("INSERT", "UPDATE", "DELETE"):
            return self._real.execute(statement, *args)
        try:
            _full("journal")
        except OSError as error:
            raise sqlite3.OperationalError("database or disk is full") from error
        return effect(f"journal {verb}", lambda: self._real.execute(statement, *args))

    def executescript(self, script: str) -> Any:
        return effect("journal made", lambda: self._real.executescript(script))

    def close(self) -> None:
        self._real.close()

    @property
    def total_changes(self) -> int:
        return self._real.total_changes
