"""Sandboxes that are containers of an engine on this machine that speaks Docker's API."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Holds
from homie_core.sandbox.base import Box, End, Interpreter
from homie_core.sandbox.dialect import DOCKER, dialect_of
from homie_core.sandbox.docker_sandbox import DockerSandbox
from homie_core.sandbox.engine import Engine, NoContainer
from homie_core.sandbox.image import PROBE, PROBE_MEMORY, Probed, fit, limited, refuse_runtime, refuse_unfit
from homie_core.sandbox.owner import hand_over, rootless, user_here, user_inside
from homie_core.sandbox.piped_sandbox import PipedSandbox
from homie_core.sandbox.pipes import Pipes
from homie_core.sandbox.profile import (
    JOB_LABEL,
    NODE_LABEL,
    Profile,
    User,
    compile_profile,
    etc_files,
    job_profile,
    probe_profile,
)
from homie_core.sandbox.pull import pull

PACKAGE = Path(__file__).parent
SECCOMP = PACKAGE / "seccomp.json"
PROBE_TIMEOUT = 60.0
COMPILE_TIMEOUT = 600.0


@dataclass(frozen=True)
class Tried:
    """What a first container showed of an image, and of what the engine makes of limits and users."""

    interpreter: Interpreter
    limited: bool
    here: User
    """Whom a job's files belong to on this machine."""


class Docker:
    """The backend: one engine, one image."""

    def __init__(self, image: str, url: str | None = None, runtime: str = "") -> None:
        self.kind = "docker"
        self.image = image
        self.identity = ""
        """Image and runtime, as a changed one is told from an unchanged one."""
        self.name = f"docker ({image})"
        self.uid, self.gid = os.getuid(), os.getgid()
        """Owner, on this machine, of the files that a job may write; true after `prepare`."""
        self._url = url
        self._runtime = runtime
        self._connected: Engine | None = None
        self._dialect = DOCKER
        self._inside = User(os.getuid(), os.getgid())
        self._tried: dict[str, Tried] = {}
        self._now: Tried | None = None

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Find the engine, get the image, see what holds in it; say which Python jobs will have."""
        engine = self._connected = self._connected or await Engine.connect(self._url)
        version = await engine.call(engine.client.version)
        info = await engine.call(engine.client.info)
        refuse_unfit(info)
        self._dialect = dialect_of(version)
        refuse_runtime(self._runtime, info, self._dialect)
        self._inside = user_inside(self._dialect, info, os.getuid(), os.getgid())
        alone = "rootless " if rootless(info) else ""
        self.name = f"{alone}{self._dialect.kind} {version['Version']} ({self.image})"
        try:
            found = await engine.call(engine.client.inspect_image, self.image)
        except NoContainer:
            await pull(engine.url, self.image, report)
            found = await engine.call(engine.client.inspect_image, self.image)
        self.identity = f"{found['Id']} {self._runtime} {self._inside}"
        if found["Id"] not in self._tried:
            report(f"trying {self.image}")
            tried = await self._probe()
            if not (tried.limited or rootless(info)):
                raise SandboxError(f"jobs cannot run in {self.image}: the engine did not limit its memory")
            self._tried[found["Id"]] = tried
        now = self._now = self._tried[found["Id"]]
        self.uid, self.gid = now.here.uid, now.here.gid
        return now.interpreter

    @property
    def cards(self) -> bool:
        """Whether this kind of engine gives graphics cards to its containers; true after `prepare`."""
        return self._dialect.cards

    def promises(self) -> dict[str, Holds]:
        """Return what is known of limits beside what the self-test sees; true after `prepare`."""
        if self._prepared.limited:
            return {}
        pids = Holds.EXACT if self._inside.namespace else Holds.NOT
        return {"memory": Holds.SOFT, "pids": pids, "cpu": Holds.NOT}

    async def create(self, box: Box) -> "DockerSandbox":
        """Make the container of one job."""
        if box.limits.gpus and not self.cards:
            raise SandboxError(
                f"sandboxes of {self._dialect.kind} get no graphics cards; install Docker to lend them"
            )
        await asyncio.to_thread(self._lay_out, box.folder)
        limited, runner = self._prepared.limited, PACKAGE.parents[1]
        profile = job_profile(box, self.image, self._inside, runner, self._seccomp, self._dialect, limited=limited)
        return self._sandbox(await self._make(profile), box)

    async def find(self, box: Box) -> DockerSandbox | None:
        """Find the container of a box by its labels."""
        engine = self._engine
        its = {"label": [f"{NODE_LABEL}={box.node}", f"{JOB_LABEL}={box.job}"]}
        found = await engine.call(engine.client.containers, all=True, filters=its)
        if not found:
            return None
        sandbox = self._sandbox(found[0]["Id"], box)
        await sandbox.find()
        return sandbox

    async def compile(self, folder: Path) -> None:
        """Compile a folder of packages for the image's Python, inside: neither side runs any of it."""
        status = await asyncio.to_thread(folder.stat)
        owner, here = User(status.st_uid, status.st_gid), self._prepared.here
        # Where users are mapped, its owner may be nobody inside: then it is lent to whom jobs are.
        mapped = (here.uid, here.gid) != (self._inside.uid, self._inside.gid)
        user = self._inside if mapped or self._inside.namespace else owner
        profile = compile_profile(folder, self.image, user, self._seccomp, self._dialect)
        try:
            if mapped:
                await asyncio.to_thread(hand_over, folder, here)
            # Packages ship files that are no valid Python of this version: that is not our trouble.
            await self._run(profile, COMPILE_TIMEOUT)
        finally:
            if mapped:
                await asyncio.to_thread(hand_over, folder, owner)

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
            raise SandboxError("the container engine has not been prepared")
        return self._connected

    @property
    def _prepared(self) -> Tried:
        if self._now is None:
            raise SandboxError("the container engine has not been prepared")
        return self._now

    @property
    def _seccomp(self) -> str:
        return str(SECCOMP) if self._dialect.seccomp_by_path else SECCOMP.read_text()

    def _sandbox(self, container: str, box: Box) -> DockerSandbox:
        watched = None if self._prepared.limited else box.limits.memory
        if self._dialect.reattaches:
            return DockerSandbox(self._engine, container, watched)
        return PipedSandbox(self._engine, container, Pipes(box.folder), watched)

    def _lay_out(self, folder: Path) -> None:
        _write_etc(folder / "etc", self._inside)
        if not self._dialect.reattaches:
            here = self._prepared.here
            Pipes(folder).make(here.uid, here.gid)

    async def _make(self, profile: Profile) -> str:
        engine = self._engine
        runtime = self._runtime if self._dialect.runtimes else ""
        own = {"runtime": runtime or None, "userns_mode": self._inside.namespace or None}
        host = engine.client.create_host_config(**profile.host, **own)
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

    async def _probe(self) -> Tried:
        limits = Limits(cpus=1, memory=PROBE_MEMORY, timeout=PROBE_TIMEOUT, tmp=1 << 20)
        with tempfile.TemporaryDirectory(prefix="homie-probe-", ignore_cleanup_errors=True) as closed:
            folder = Path(closed, "open")
            await asyncio.to_thread(_make_open, folder)
            profile = probe_profile(folder, self.image, self._inside, limits, self._seccomp, PROBE, self._dialect)
            try:
                end, output = await self._run(profile, PROBE_TIMEOUT)
                if end.exit_code != 0:
                    raise SandboxError(end.detail or f"it ended with {end.exit_code}")
                probed = msgspec.json.decode(output, type=Probed)
                here = await asyncio.to_thread(user_here, folder, os.getuid())
                return Tried(fit(probed), limited(probed), here)
            except (SandboxError, msgspec.DecodeError) as error:
                raise SandboxError(
                    f"jobs cannot run in {self.image}: {error}; set container_base_image to an image "
                    "with Python 3.11 or newer on glibc, such as python:3.12-slim"
                ) from error


def _write_etc(folder: Path, user: User) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in etc_files(user).items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)


def _make_open(folder: Path) -> None:
    """Make a folder that anybody who gets there may write to."""
    folder.mkdir()
    folder.chmod(0o777)
