"""Sandboxes that are containers of a Docker engine on this machine."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId
from homie_core.sandbox.base import Box, End, Interpreter
from homie_core.sandbox.engine import Engine, NoContainer
from homie_core.sandbox.image import PROBE, PROBE_MEMORY, Probed, fit, refuse_unfit
from homie_core.sandbox.profile import (
    JOB_LABEL,
    NODE_LABEL,
    Profile,
    User,
    compile_profile,
    confinement,
    etc_files,
    job_profile,
)
from homie_core.sandbox.pull import pull

PACKAGE = Path(__file__).parent
JOB_UID = 10001
"""Whom jobs are when the daemon is root: nobody else on the machine."""

PROBE_TIMEOUT = 60.0
COMPILE_TIMEOUT = 600.0


class Docker:
    """The backend: one engine, one image."""

    def __init__(self, image: str, url: str | None = None, runtime: str = "") -> None:
        self.image = image
        self.identity = ""
        """Image and runtime, as a changed one is told from an unchanged one."""
        self._runtime = runtime
        self.name = f"docker ({image})"
        root = os.getuid() == 0
        self.uid = JOB_UID if root else os.getuid()
        self.gid = JOB_UID if root else os.getgid()
        self._url = url
        self._connected: Engine | None = None
        self._seccomp = (PACKAGE / "seccomp.json").read_text()
        self._interpreters: dict[str, Interpreter] = {}

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Find the engine, get the image, see that its limits hold; say which Python jobs will have."""
        engine = self._connected = self._connected or await Engine.connect(self._url)
        refuse_unfit(await engine.call(engine.client.info))
        version = await engine.call(engine.client.version)
        self.name = f"docker {version['Version']} ({self.image})"
        try:
            found = await engine.call(engine.client.inspect_image, self.image)
        except NoContainer:
            await pull(engine.url, self.image, report)
            found = await engine.call(engine.client.inspect_image, self.image)
        self.identity = f"{found['Id']} {self._runtime}"
        if found["Id"] not in self._interpreters:
            report(f"trying {self.image}")
            self._interpreters[found["Id"]] = await self._probe()
        return self._interpreters[found["Id"]]

    async def create(self, box: Box) -> "DockerSandbox":
        """Make the container of one job."""
        user = User(self.uid, self.gid)
        await asyncio.to_thread(_write_etc, box.folder / "etc", user)
        profile = job_profile(box, self.image, user, PACKAGE.parents[1], self._seccomp)
        return DockerSandbox(self._engine, await self._make(profile))

    async def compile(self, folder: Path) -> None:
        """Compile a folder of packages for the image's Python, inside: neither side runs any of it."""
        owner = await asyncio.to_thread(folder.stat)
        profile = compile_profile(folder, self.image, User(owner.st_uid, owner.st_gid), self._seccomp)
        # Packages ship files that are no valid Python of this version: that is not our trouble.
        await self._run(profile, COMPILE_TIMEOUT)

    async def sweep(self, node: PeerId, keep: frozenset[JobId]) -> int:
        """Remove this node's containers, except those of these jobs."""
        engine = self._engine
        mine = {"label": [f"{NODE_LABEL}={node}"]}
        found = await engine.call(engine.client.containers, all=True, filters=mine)
        left = [one["Id"] for one in found if one["Labels"].get(JOB_LABEL) not in keep]
        for container in left:
            await DockerSandbox(engine, container).remove()
        return len(left)

    async def close(self) -> None:
        """Nothing is kept open between two calls."""

    @property
    def _engine(self) -> Engine:
        if self._connected is None:
            raise SandboxError("the Docker engine has not been prepared")
        return self._connected

    async def _make(self, profile: Profile) -> str:
        engine = self._engine
        host = engine.client.create_host_config(**profile.host, runtime=self._runtime or None)
        call = engine.call(engine.client.create_container, **profile.container, host_config=host)
        creating = asyncio.create_task(call, name="create container")
        try:
            made = await asyncio.shield(creating)
        except asyncio.CancelledError:  # the engine goes on regardless: wait for what it makes, and remove it
            made = await creating
            await DockerSandbox(engine, made["Id"]).remove()
            raise
        return str(made["Id"])

    async def _run(self, profile: Profile, patience: float) -> tuple[End, bytes]:
        """Run a container of our own to its end; return how it ended and what it printed."""
        sandbox = DockerSandbox(self._engine, await self._make(profile))
        try:
            async with asyncio.timeout(patience):
                reader, _ = await sandbox.start()
                output = await reader.read(1 << 16)
                return await sandbox.end(), output
        except TimeoutError as error:
            raise SandboxError(f"a container of {self.image} did not end within {patience:.0f} s") from error
        finally:
            await asyncio.shield(sandbox.remove())

    async def _probe(self) -> Interpreter:
        limits = Limits(cpus=1, memory=PROBE_MEMORY, timeout=PROBE_TIMEOUT, tmp=1 << 20)
        confined = confinement(self.image, User(self.uid, self.gid), limits, self._seccomp)
        command = {"entrypoint": ["python3", "-I", "-S", "-c", PROBE]}
        try:
            end, output = await self._run(Profile({**confined.container, **command}, confined.host), PROBE_TIMEOUT)
            if end.exit_code != 0:
                raise SandboxError(end.detail or f"it ended with {end.exit_code}")
            return fit(msgspec.json.decode(output, type=Probed))
        except (SandboxError, msgspec.DecodeError) as error:
            raise SandboxError(
                f"jobs cannot run in {self.image}: {error}; set container_base_image to an image "
                "with Python 3.11 or newer on glibc, such as python:3.12-slim"
            ) from error


class DockerSandbox:
    """One container."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container
        self._writer: asyncio.StreamWriter | None = None
        self._errors = bytearray()

    async def start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start it; attached before, so that nothing is missed."""
        streams = await self.attach()
        try:
            await self._engine.call(self._engine.client.start, self._container)
        except BaseException:
            streams[1].close()
            raise
        return streams

    async def attach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new stream to its runner, which may have been running for long."""
        attached, writer = await self._engine.attach(self._container)
        if self._writer:
            self._writer.close()
        self._writer, self._errors = writer, attached.errors
        return attached.reader, writer

    async def limit(self, limits: Limits) -> None:
        """Apply other limits for cores, memory and processes."""
        engine = self._engine
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
        detail = self._errors.decode(errors="replace").strip()
        try:
            found = await self._engine.call(self._engine.client.inspect_container, self._container)
        except SandboxError:
            return End(exit_code=None, detail=detail)
        state = found["State"]
        if state["Running"]:
            return End(exit_code=None, detail="the Docker engine stopped answering")
        return End(exit_code=state["ExitCode"], out_of_memory=bool(state["OOMKilled"]), detail=detail)

    async def remove(self) -> None:
        """Remove it, running or not, with its volumes."""
        if self._writer:
            self._writer.close()
        with contextlib.suppress(NoContainer):  # it is gone, or its removal is under way
            await self._engine.call(self._engine.client.remove_container, self._container, v=True, force=True)


def _write_etc(folder: Path, user: User) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in etc_files(user).items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)
