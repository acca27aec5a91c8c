"""One container of an engine that speaks Docker's API, as a sandbox."""

import asyncio
import contextlib

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.runner.frames import OUT_OF_MEMORY
from homie_core.sandbox import process_tree
from homie_core.sandbox.base import End
from homie_core.sandbox.engine import Engine, Gone, NoContainer

NO_DRIVER = "could not select device driver"
"""What an engine says that was not set up for graphics cards."""
LOOK_EVERY = 0.1
"""Seconds between two looks at a job whose memory no engine limits, or at one that cannot be removed yet."""
REMOVALS = 100
"""Times that an engine is asked to remove a container that is in a state in which it does not."""


class DockerSandbox:
    """One container. `watched` is the memory, in bytes, that it may use where its engine does not limit it."""

    def __init__(self, engine: Engine, container: str, watched: int | None = None) -> None:
        self._engine = engine
        self._container = container
        self._watched = watched
        self._watching: asyncio.Task[None] | None = None
        self._too_much = False
        self._writer: asyncio.StreamWriter | None = None
        self._errors = bytearray()

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start it; attached before, so that nothing is missed."""
        streams = await self.attach()
        try:
            await self._engine.call(self._engine.client.start, self._container)
            await self.hold()
        except BaseException as error:
            streams[1].close()
            if isinstance(error, SandboxError) and NO_DRIVER in str(error):
                raise SandboxError(f"{error}; on that machine the NVIDIA Container Toolkit is missing") from error
            raise
        return streams

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to its runner, which may have been running for long."""
        attached, writer = await self._engine.attach(self._container)
        if self._writer:
            self._writer.close()
        self._writer, self._errors = writer, attached.errors
        return attached.reader, writer

    async def runs(self) -> bool:
        """Ask the engine."""
        try:
            found = await self._engine.call(self._engine.client.inspect_container, self._container)
        except Gone:
            return False
        return bool(found["State"]["Running"])

    async def find(self) -> None:
        """Take up one that an earlier life of the daemon started; it may have ended since."""
        await self.hold()

    async def hold(self) -> None:
        """Hold the limits of what runs that its engine does not hold."""
        if self._watched is not None:
            found = await self._engine.call(self._engine.client.inspect_container, self._container)
            watch = self._watch(found["State"]["Pid"])
            self._watching = asyncio.create_task(watch, name=f"watch {self._container[:12]}")

    def last_words(self) -> str:
        """Return what the runner said last on its standard error, so far."""
        return self._errors.decode(errors="replace").strip()

    def hang_up(self) -> None:
        """Hear and say nothing more."""
        if self._writer:
            self._writer.close()

    async def limit(self, limits: Limits) -> None:
        """Apply other limits for cores, memory and processes."""
        engine = self._engine
        if self._watched is not None:
            self._watched = limits.memory
            return
        await engine.call(
            engine.client.update_container,
            self._container,
            mem_limit=limits.memory,
            memswap_limit=limits.memory,
            cpu_quota=max(1000, round(limits.cpus * 100_000)),
        )

    async def freeze(self, frozen: bool) -> None:
        """Stop it where it is, or let it go on."""
        client = self._engine.client
        await self._engine.call(client.pause if frozen else client.unpause, self._container)

    async def kill(self) -> None:
        """End all its processes now."""
        with contextlib.suppress(NoContainer):  # it has ended, or was never started
            await self._engine.call(self._engine.client.kill, self._container)

    async def end(self) -> End:
        """Wait until it has ended; an engine that is gone does not know how."""
        await self._engine.wait(self._container)
        detail = self.last_words()
        try:
            found = await self._engine.call(self._engine.client.inspect_container, self._container)
        except SandboxError:
            return End(exit_code=None, detail=detail)
        state = found["State"]
        if state["Running"]:
            return End(exit_code=None, detail="the container engine stopped answering")
        told = state["ExitCode"] == OUT_OF_MEMORY
        memory = bool(state["OOMKilled"]) or self._too_much or told
        return End(exit_code=0 if told else state["ExitCode"], out_of_memory=memory, detail=detail)

    async def remove(self) -> None:
        """Remove it, running or not, with its volumes. Raises SandboxError if its engine does not."""
        if self._watching:
            self._watching.cancel()
        self.hang_up()
        for left in reversed(range(REMOVALS)):
            try:
                await self._engine.call(self._engine.client.remove_container, self._container, v=True, force=True)
            except Gone:
                return
            except NoContainer:  # its removal is under way; or it begins, stops or is cleaned up, and Podman waits
                if not left:
                    raise
                await asyncio.sleep(LOOK_EVERY)
            else:
                return

    async def _watch(self, pid: int) -> None:
        """Kill the job once it uses more than it may; for a moment, it may."""
        began = await asyncio.to_thread(process_tree.started_at, pid)
        while began and self._watched is not None:
            used = await asyncio.to_thread(process_tree.memory, pid, self._watched)
            if began != await asyncio.to_thread(process_tree.started_at, pid):
                return
            if used > self._watched:
                self._too_much = True
                await self.kill()
                return
            await asyncio.sleep(LOOK_EVERY)
