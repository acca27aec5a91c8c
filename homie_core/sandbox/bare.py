"""No sandbox at all (`sandbox: none`): the runner as a plain child process, for a machine's own owner only."""

import asyncio
import contextlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId
from homie_core.sandbox.base import Box, End, Interpreter

PACKAGES = Path(__file__).parents[2]
GONE_WITHIN = 10.0
"""Seconds for killed processes to end."""


class Bare:
    """The backend: this user, this Python, this machine. Nothing is kept from a job."""

    def __init__(self) -> None:
        self.kind = "none"
        self.name = f"NO SANDBOX (python {platform.python_version()})"
        self.uid, self.gid = os.getuid(), os.getgid()
        self.cards = True

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Say which Python jobs will have."""
        name, version = platform.libc_ver()
        if name != "glibc":
            raise SandboxError("this machine has no glibc, which ready-made packages need; install Docker")
        return Interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine(), version)

    async def create(self, box: Box) -> "BareSandbox":
        """Make nothing: there is only the job's folder."""
        return BareSandbox(box)

    async def find(self, box: Box) -> "BareSandbox | None":
        """Find nothing, see `sweep`."""
        return None

    async def compile(self, folder: Path) -> None:
        """Leave it: Python compiles what it imports."""

    async def sweep(self, node: PeerId, keep: frozenset[JobId]) -> int:
        """Find nothing: a runner ends with the daemon that holds its standard input."""
        return 0

    async def close(self) -> None:
        """There is nothing to let go of."""


class BareSandbox:
    """One runner and its children."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: asyncio.Task[bytes] | None = None

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start the runner."""
        box = self._box
        runner = (sys.executable, "-P", "-m", "homie_core.sandbox.bare_runner")
        self._process = process = await asyncio.create_subprocess_exec(
            *(*runner, str(box.spool), str(box.work), *map(str, box.environments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=box.work,
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(PACKAGES)},
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._last_words = asyncio.create_task(process.stderr.read(), name=f"errors {box.job}")
        return process.stdout, process.stdin

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """There is one stream only."""
        raise SandboxError("without a sandbox nobody can connect to a job's runner again")

    async def runs(self) -> bool:
        """Whether the runner runs."""
        return self._process is not None and self._process.returncode is None

    async def limit(self, limits: Limits) -> None:
        """Hold nothing."""

    async def freeze(self, frozen: bool) -> None:
        """Stop what runs, or let it go on."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend() if frozen else process.resume()

    async def kill(self) -> None:
        """End the runner and what descends from it."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    async def end(self) -> End:
        """Wait until the runner has ended."""
        if self._process is None or self._last_words is None:
            return End(exit_code=None)
        code = await self._process.wait()
        detail = (await self._last_words).decode(errors="replace")[-2000:].strip()
        return End(exit_code=code if code >= 0 else 128 - code, detail=detail)

    async def remove(self) -> None:
        """End it, and wait until nothing of it runs; its folder is its host's."""
        family = self._family()
        await self.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_WITHIN):  # the kernel ends what was killed when it gets to it
                while any(map(_runs, family)):  # noqa: ASYNC110 - nothing tells when a grandchild is gone
                    await asyncio.sleep(0.01)
        if self._process:
            await self._process.wait()
            self._process = None
        if self._last_words:
            self._last_words.cancel()

    def _family(self) -> list[psutil.Process]:
        if self._process is None or self._process.returncode is not None:
            return []
        try:
            runner = psutil.Process(self._process.pid)
            return [runner, *runner.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
