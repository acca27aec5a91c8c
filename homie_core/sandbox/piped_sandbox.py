"""A container of an engine that attaches to its streams once only: its runner is spoken to over named pipes."""

import asyncio

from homie_core.model.errors import SandboxError
from homie_core.sandbox.docker_sandbox import DockerSandbox
from homie_core.sandbox.engine import Engine
from homie_core.sandbox.link import ANSWER_TIMEOUT
from homie_core.sandbox.pipes import NobodyThere, Pipes

LOOK_EVERY = 0.005
"""Seconds between two looks whether a runner has opened its ends: a job waits for it."""


class PipedSandbox(DockerSandbox):
    """One container, with the pipes that were made for it."""

    def __init__(self, engine: Engine, container: str, pipes: Pipes, watched: int | None = None) -> None:
        super().__init__(engine, container, watched)
        self._pipes = pipes

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start it; return when its runner is there."""
        self._listen()
        await self._engine.call(self._engine.client.start, self._container)
        await self.hold()
        return await self.attach()

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to its runner; one that has just been started is waited for."""
        ended = asyncio.create_task(self._engine.wait(self._container), name=f"end of {self._container[:12]}")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                while not ended.done():
                    try:
                        return await self._pipes.connect()
                    except NobodyThere:
                        await asyncio.sleep(LOOK_EVERY)
        except OSError as error:  # TimeoutError is one
            raise SandboxError(f"the runner in the sandbox cannot be reached: {error}") from error
        finally:
            ended.cancel()
        raise SandboxError(f"the runner in the sandbox has ended: {self.last_words() or 'nobody knows why'}")

    async def find(self) -> None:
        """Take up one that an earlier life of the daemon started; it may have ended since."""
        self._listen()
        await super().find()

    def last_words(self) -> str:
        """Return what the runner said last on its standard error, so far."""
        return self._pipes.last_words()

    def hang_up(self) -> None:
        """Hear and say nothing more."""
        self._pipes.close()

    def _listen(self) -> None:
        try:
            self._pipes.listen()
        except OSError as error:
            raise SandboxError(f"there is no way to the runner in the sandbox: {error}") from error
