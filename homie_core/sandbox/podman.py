"""Podman: the same sandboxes as Docker's. Its engine is a service that seldom runs; then we start our own."""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from homie_core.model.errors import SandboxError
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.docker import Docker

log = logging.getLogger(__name__)

START_TIMEOUT = 20.0
END_TIMEOUT = 5.0
LOOK_EVERY = 0.05
PAUSE = 5.0
"""Seconds until a service that ended by itself is started again."""
MAX_WORDS = 500

NOT_INSTALLED = (
    "there is no Podman on this machine: install it (Debian, Ubuntu: `sudo apt install podman`; "
    "others: https://podman.io/docs/installation)"
)


class Podman(Docker):
    """The backend: Podman's engine at this address, where it usually is, or started in `folder`, and one image."""

    def __init__(self, image: str, folder: Path, url: str | None = None, runtime: str = "") -> None:
        super().__init__(image, url or os.environ.get("CONTAINER_HOST"), runtime)
        self.kind = "podman"
        self.name = f"podman ({image})"
        self._service = Service(folder, runtime)

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Find Podman's engine or start it; then as any other."""
        if self._url is None:
            # Only an engine of our own has the runtime that was asked for.
            self._url = (None if self._runtime else await _answering()) or await self._service.start()
        return await super().prepare(report)

    async def close(self) -> None:
        """Let go of the engine; end it if we started it."""
        await super().close()
        await self._service.end()


class Service:
    """Podman's engine as a child of this process: its sockets and words lie in `folder`; it ends with us."""

    def __init__(self, folder: Path, runtime: str = "") -> None:
        self._options = ("--runtime", runtime) if runtime else ()
        self._hint = f" (sandbox_runtime is {runtime}: is it installed?)" if runtime else ""
        self._socket = folder / "podman.sock"
        self._words = folder / "podman.log"
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Start it and keep it running; return its address. Raises SandboxError."""
        if not shutil.which("podman"):
            raise SandboxError(NOT_INSTALLED)
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.end())
            raise
        self._keeping = asyncio.create_task(self._keep(), name="keep podman running")
        return f"unix://{self._socket}"

    async def end(self) -> None:
        """End it; harmless if it does not run. Containers do not end with it."""
        if self._keeping:
            self._keeping.cancel()
            self._keeping = None
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
        self._socket.unlink(missing_ok=True)

    async def _start(self) -> None:
        self._socket.unlink(missing_ok=True)
        # Should this process be killed, the kernel ends the service.
        with_us = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
        with self._words.open("wb") as words:
            self._process = await asyncio.create_subprocess_exec(
                *with_us, "podman", *self._options, "system", "service", "--time=0", f"unix://{self._socket}",
                stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True,
                cwd=self._socket.parent,  # where conmon leaves a file when memory was used up
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await _answers(self._socket):
                    if self._process.returncode is not None:
                        why = f"Podman's engine does not start: {self._last_words()}"
                        raise SandboxError(why + self._hint)
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError as error:
            raise SandboxError(
                f"Podman's engine did not answer within {START_TIMEOUT:.0f} s: {self._last_words()}; try by hand: "
                "`podman system service --time=0`"
            ) from error

    async def _keep(self) -> None:
        while self._process:
            status = await self._process.wait()
            log.warning("Podman's engine ended with %d and is started again: %s", status, self._last_words())
            await asyncio.sleep(PAUSE)
            try:
                await self._start()
            except SandboxError as error:
                log.warning("%s", error)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._words.read_text(errors="replace").strip()[-MAX_WORDS:]
        return ""


def _usual_socket() -> Path:
    uid = os.getuid()
    runtime = "/run" if uid == 0 else os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{uid}")
    return Path(runtime, "podman", "podman.sock")


async def _answering() -> str | None:
    """Return the address of an engine that somebody else has started (or systemd does, when we connect)."""
    usual = _usual_socket()
    return f"unix://{usual}" if await _answers(usual) else None


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
