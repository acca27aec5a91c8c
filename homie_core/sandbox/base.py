"""What every kind of sandbox is to the rest of Homie."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId

WORK = "/work"
"""Where a job finds its files, inside."""
SPOOL = "/spool"
"""Where the runner keeps what it has not yet handed over, inside."""
RUNNER = "/homie/runner"
"""Where the runner lies, inside, read-only."""
PIPES = "/homie/pipes"
"""Where a runner that is spoken to over named pipes finds them, inside."""
ENVIRONMENTS = "/homie/env"
"""Environments are mounted as /homie/env/0, /homie/env/1, ..., read-only."""


@dataclass(frozen=True)
class Box:
    """All that a sandbox for one job is made of."""

    node: PeerId
    job: JobId
    limits: Limits
    folder: Path
    """A folder of this job alone, on the host; holds `work/` and `spool/`, both made by `lay_out`."""
    environments: tuple[Path, ...] = ()

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"


@dataclass(frozen=True)
class End:
    """What the engine says of a sandbox that is no more."""

    exit_code: int | None
    """None: the engine does not know it any more."""
    out_of_memory: bool = False
    detail: str = ""
    """The runner's last words, if it crashed."""


@dataclass(frozen=True)
class Interpreter:
    """The Python inside: what environments must be built for."""

    version: str
    """`3.12`"""
    machine: str
    """`x86_64`"""
    glibc: str
    """`2.36`"""


class Sandbox(Protocol):
    """One isolation for one job: made, started once, ended, removed."""

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start the runner; return the duplex byte stream to it. When that ends, `runs` tells whether it broke."""

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to its runner, which may have been running for long. Raises SandboxError."""

    async def runs(self) -> bool:
        """Whether it has been started and has not ended. Raises SandboxError while nobody can say."""

    async def limit(self, limits: Limits) -> None:
        """Apply other limits than those it was made with (cores, memory, processes) to what runs already."""

    async def freeze(self, frozen: bool) -> None:
        """Stop all its processes where they are, or let them go on."""

    async def kill(self) -> None:
        """End all its processes now; harmless if they have ended."""

    async def end(self) -> End:
        """Wait until it has ended; say how."""

    async def remove(self) -> None:
        """Leave nothing of it behind; harmless if nothing is left."""


class Backend(Protocol):
    """One way to make sandboxes on this machine."""

    kind: str
    """`docker`, `podman`, `bubblewrap` or `none`."""
    name: str
    """For people: `docker 28.2 (python:3.12-slim)`."""
    uid: int
    """Owner, on the host, of the files that a job may write."""
    gid: int

    @property
    def cards(self) -> bool:
        """Whether a sandbox can be given graphics cards."""

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Get ready (pull an image, say); tell progress in short phrases. Raises SandboxError."""

    async def create(self, box: Box) -> Sandbox:
        """Make, but do not start, the sandbox. Raises SandboxError."""

    async def find(self, box: Box) -> Sandbox | None:
        """Return the sandbox that an earlier life of this node started; None if there is none any more."""

    async def compile(self, folder: Path) -> None:
        """Compile a folder of packages for the Python inside."""

    async def sweep(self, node: PeerId, keep: frozenset[JobId]) -> int:
        """Remove what an earlier life of this node left behind; return how many."""

    async def close(self) -> None:
        """Let go of the engine's connection."""
