"""Environments: resolved, ready-made, read-only sets of packages, mounted into sandboxes. No image is ever built.

Only ready-made packages (wheels) are taken, for the image's Python and not for ours: installing them copies
files and runs nothing of theirs.
"""

import asyncio
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from homie_core.model.errors import SandboxError
from homie_core.sandbox.base import Interpreter

LAYOUT = 1
"""Part of every name: a change of how environments are made makes new ones."""

MANYLINUX = (17, 28, *range(31, 41))
"""Minor versions of glibc that uv knows as platforms."""

UV = (sys.executable, "-P", "-m", "uv")
"""It looks for its program itself, with modules that nothing else here needs."""

Compile = Callable[[Path], Awaitable[None]]


def _say_nothing(phrase: str) -> None:
    pass


class Environments:
    """The environments below one folder. `compile` makes bytecode, in a sandbox; without it, imports are slow."""

    def __init__(self, folder: Path, uv: str | None = None, compile: Compile | None = None) -> None:
        self._folder = folder
        self._uv = uv
        self.compile = compile
        self._making: dict[str, asyncio.Lock] = {}
        for left in folder.glob("building-*"):  # by a daemon that was killed
            shutil.rmtree(left, ignore_errors=True)

    async def ensure(
        self,
        requirements: tuple[str, ...],
        interpreter: Interpreter,
        report: Callable[[str], None] = _say_nothing,
    ) -> Path:
        """Return the environment for these requirements, made if it is new. Raises SandboxError.

        Once made it is found again without network, and its versions stay as they are.
        """
        known = self._known(requirements, interpreter)
        async with self._making.setdefault(known.name, asyncio.Lock()):
            if found := await asyncio.to_thread(_made, self._folder, known):
                return found
            report(f"getting {_shown(requirements)}")
            return await self._make(requirements, interpreter.version, _platform(interpreter), known)

    async def has(self, requirements: tuple[str, ...], interpreter: Interpreter) -> bool:
        """Return whether the environment for these requirements is made already."""
        return await asyncio.to_thread(_made, self._folder, self._known(requirements, interpreter)) is not None

    def _known(self, requirements: tuple[str, ...], interpreter: Interpreter) -> Path:
        """Return the file that says which environment was made for these requirements."""
        platform = _platform(interpreter)
        asked = "\n".join((*sorted(requirements), interpreter.version, platform))
        return self._folder / f"asked-{_name(asked)}"

    async def _make(self, requirements: tuple[str, ...], version: str, platform: str, known: Path) -> Path:
        target = ("--python-version", version, "--python-platform", platform, "--only-binary", ":all:")
        building = self._folder / f"building-{uuid.uuid4().hex}"
        packages, lock_file = building / "packages", building / "lock.txt"
        await asyncio.to_thread(packages.mkdir, parents=True)
        try:
            wanted = "\n".join(requirements).encode()
            quiet = ("--no-header", "--no-annotate", "--generate-hashes")
            lock = await self._run("pip", "compile", "-", *quiet, *target, given=wanted)
            await asyncio.to_thread(lock_file.write_bytes, lock)
            # Copies, since links would let a change here reach into uv's cache.
            exactly = ("--no-deps", "--require-hashes", "--link-mode", "copy", "--target", str(packages))
            await self._run("pip", "install", "-r", str(lock_file), *exactly, *target)
            if self.compile:
                await self.compile(packages)
            ready = self._folder / _name(f"{lock.decode()}\n{version}\n{platform}")
            await asyncio.to_thread(_publish, packages, ready, known)
        finally:
            await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
        return ready

    async def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        own = ("--python", sys.executable, "--no-config", "--no-progress")
        command = (*((self._uv,) if self._uv else UV), *arguments, *own)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            output, errors = await process.communicate(given)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            why = errors.decode(errors="replace").strip()[-1500:]
            raise SandboxError(f"packages cannot be made ready: {why}")
        return output


def _platform(interpreter: Interpreter) -> str:
    """Return uv's name for the newest platform that this Python can use."""
    minor = int(interpreter.glibc.split(".")[1])
    known = max((version for version in MANYLINUX if version <= minor), default=None)
    if known is None:
        raise SandboxError(f"the image's glibc {interpreter.glibc} is too old for today's packages")
    return f"{interpreter.machine}-manylinux_2_{known}"


def _name(content: str) -> str:
    return hashlib.sha256(f"{LAYOUT}\n{content}".encode()).hexdigest()[:32]


def _shown(requirements: tuple[str, ...]) -> str:
    first = ", ".join(requirements[:3])
    return f"{first} and {len(requirements) - 3} more" if len(requirements) > 3 else first


def _made(folder: Path, known: Path) -> Path | None:
    """Return the environment that was made for this request before."""
    try:
        ready = folder / known.read_text()
    except FileNotFoundError:
        return None
    return ready if ready.is_dir() else None


def _publish(packages: Path, ready: Path, known: Path) -> None:
    """Make it read-only and give it its name, at once; the same one may have been made for another request."""
    for where, _, names in os.walk(packages, topdown=False):
        for name in names:
            (Path(where) / name).chmod(0o444)
        Path(where).chmod(0o755)  # closed below, once renamed: a closed folder of ours cannot be moved
    if not ready.is_dir():
        packages.rename(ready)
    for where, _, _ in os.walk(ready):
        Path(where).chmod(0o555)
    written = known.with_name(f"{known.name}.{uuid.uuid4().hex}")
    written.write_text(ready.name)
    written.replace(known)
