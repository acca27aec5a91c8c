"""Starting bubblewrap, and waiting for it."""

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass

import psutil

from homie_core.model.errors import SandboxError
from homie_core.sandbox import process_tree


class Spawned:
    """A running bubblewrap: it waits for process 1 of the sandbox, which is another process."""

    def __init__(self, process: asyncio.subprocess.Process, status: int, pid: int) -> None:
        self.pid = pid
        """Process 1 of the sandbox; 0 if bubblewrap failed before there was one."""
        self.started = (process_tree.started_at(pid) if pid else None) or ""
        self._process = process
        self._status = status
        """Stays open: bubblewrap still writes to it at the end."""

    def kill(self) -> None:
        """End all processes of the sandbox; harmless if they have ended."""
        if self.started:
            process_tree.kill(self.pid, self.started)

    def runs(self) -> bool:
        """Whether process 1 of the sandbox is there."""
        return process_tree.started_at(self.pid) == self.started if self.started else False

    async def wait(self) -> int:
        """Wait for the end; return what a shell would report of process 1."""
        code = await self._process.wait()
        if self._status >= 0:
            os.close(self._status)
            self._status = -1
        return code if code >= 0 else 128 - code


class Found:
    """A sandbox that another process started, by its process 1."""

    def __init__(self, pid: int, started: str) -> None:
        self.pid = pid
        self.started = started

    def kill(self) -> None:
        """End all processes of the sandbox; harmless if they have ended."""
        process_tree.kill(self.pid, self.started)

    def runs(self) -> bool:
        """Whether process 1 of the sandbox is there."""
        return process_tree.started_at(self.pid) == self.started

    async def wait(self) -> None:
        """Wait for the end; how it ended only its parent was told."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.runs():
                ended, loop = asyncio.Event(), asyncio.get_running_loop()
                loop.add_reader(handle, ended.set)
                try:
                    await ended.wait()
                finally:
                    loop.remove_reader(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Launcher:
    """The bubblewrap of this machine, with the system calls that jobs may make."""

    bwrap: str
    seccomp: bytes

    async def spawn(self, arguments: list[str], fds: tuple[int, int, int]) -> Spawned:
        """Start it on these standard streams; return once process 1 of the sandbox exists. Raises SandboxError."""
        starting = asyncio.create_task(self._spawn(arguments, fds), name="start bubblewrap")
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # what has been started must be ended by somebody
            with contextlib.suppress(SandboxError):
                spawned = await starting
                spawned.kill()
                await spawned.wait()
            raise

    async def _spawn(self, arguments: list[str], fds: tuple[int, int, int]) -> Spawned:
        heard, told = os.pipe()
        calls = os.memfd_create("seccomp")
        try:
            os.write(calls, self.seccomp)
            os.lseek(calls, 0, os.SEEK_SET)
            own = (self.bwrap, "--seccomp", str(calls), "--json-status-fd", str(told))
            process = await asyncio.create_subprocess_exec(
                *(*own, *arguments),
                stdin=fds[0],
                stdout=fds[1],
                stderr=fds[2],
                cwd="/",
                pass_fds=(calls, told),
                start_new_session=True,
            )
        except OSError as error:
            os.close(heard)
            raise SandboxError(f"bubblewrap cannot be started: {error}") from error
        finally:
            os.close(calls)
            os.close(told)
        return Spawned(process, heard, await asyncio.to_thread(_child, heard))


def _child(status: int) -> int:
    """Return the number of process 1 of the sandbox; 0 if there is none. Blocking."""
    said = b""
    while not said.endswith(b"\n"):
        data = os.read(status, 4096)
        if not data:
            return 0
        said += data
    return int(json.loads(said.splitlines()[0])["child-pid"])


def kill_spawned(folder: str) -> None:
    """Kill what was started for the box in this folder, by the arguments that it was given."""
    for process in psutil.process_iter(["cmdline"]):
        if f"{folder}/work" in (process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in (process, *process.children(recursive=True)):
                    each.kill()
