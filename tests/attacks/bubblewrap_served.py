"""A process that runs attacks in real bubblewrap sandboxes, so that it can be root or a plain user.

A request is a line `[["lock", ...], "attack"]`: the sandbox lacks these locks. The answer is a line too: `through`
or `stopped`. `["read-only"]` is answered by the mounts that nobody would notice to be writable, as JSON;
`["arguments"]` by those of a sandbox.
"""

import asyncio
import ctypes
import json
import os
import secrets
import socket
import sys
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from attack_scripts import ATTACKS, BUBBLEWRAP_ATTACKS, SMALL, limits_for
from bubblewrap_locks import LOCKS, Confinement, parse, writable

from homie_core.sandbox.base import Box
from homie_core.sandbox.bubblewrap import Bubblewrap

RUNNER = "homie_core/runner/__main__.py"
SCRIPTS = {**ATTACKS, **BUBBLEWRAP_ATTACKS}
CREATE, OPEN_TO_ALL = 0o1000, 0o666


@dataclass(frozen=True)
class Exposed:
    """What the host has that a job must not reach."""

    port: int
    """Of a listener on loopback."""
    shared_memory: int
    """The key of a segment that everybody may use."""
    control_groups: str
    """The host's namespace of control groups."""
    key: str
    """The name of a key in the daemon's session keyring."""
    secret: str
    """Part of the daemon's environment."""


class Attacked:
    """A prepared backend and a host with something to lose; `close` it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._backend = Bubblewrap(folder / "sandboxes")
        self._environment = folder / "environment"
        self._environment.mkdir()
        self._environment.chmod(0o777)  # so that only the sandbox keeps a job from changing it
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._libc = ctypes.CDLL(None, use_errno=True)
        memory_key = secrets.randbelow(1 << 30) + 1
        self._memory = self._libc.shmget(memory_key, 4096, CREATE | OPEN_TO_ALL)
        assert self._memory >= 0
        secret = secrets.token_hex(8)
        os.environ["HOMIE_TEST_SECRET"] = secret
        self._exposed = Exposed(
            port=self._listener.getsockname()[1],
            shared_memory=memory_key,
            control_groups=str(Path("/proc/self/ns/cgroup").readlink()),
            key=self._key(),
            secret=secret,
        )

    async def prepare(self) -> None:
        await self._backend.prepare(lambda said: None)

    def close(self) -> None:
        self._listener.close()
        self._libc.shmctl(self._memory, 0, None)

    async def answer(self, request: list[Any]) -> str:
        match request:
            case ["read-only"]:
                return json.dumps(await self.unnoticed())
            case ["arguments"]:
                return json.dumps(await self.arguments())
            case [locks, attack]:
                return await self.attack(attack, tuple(locks))
        raise ValueError(request)

    async def attack(self, name: str, change: tuple[str, ...] = (), open_mount: str = "") -> str:
        """Run it without these locks."""
        box = self._box()
        sandbox = await self._backend.create(box)
        confinement = Confinement(*parse(sandbox._arguments), sandbox._launcher.seccomp, limits_for(name))
        for lock in change:
            LOCKS[lock].take_away(confinement)
        if open_mount:
            writable(open_mount)(confinement)
        end = next(at for at, word in enumerate(confinement.command) if word.endswith(RUNNER))
        script = f"import sys\nsys.stdin.readline()\n{SCRIPTS[name]}"  # it waits until its limits hold
        command = [*confinement.command[:end], "-c", script, json.dumps(asdict(self._exposed))]
        options = [word for option in confinement.options for word in option]
        sandbox._arguments = [*options, "--", *command]
        sandbox._launcher = replace(sandbox._launcher, seccomp=confinement.seccomp)
        if not confinement.watched:
            sandbox._watch = _look_away  # type: ignore[method-assign]
        try:
            reader, writer = await sandbox.start()
            await sandbox.limit(confinement.limits)
            writer.write(b"\n")
            async with asyncio.timeout(SMALL.timeout):
                said = (await reader.read()).decode().strip()
            end_of_it = await sandbox.end()
        finally:
            await sandbox.remove()
        if said not in ("through", "stopped") and not end_of_it.out_of_memory:
            raise AssertionError(f"{name} without {change}: {end_of_it} {said}")
        return said or "stopped"

    async def unnoticed(self) -> list[str]:
        """Return the read-only mounts that may be writable without an attack that finds it."""
        sandbox = await self._backend.create(self._box())
        options, _ = parse(sandbox._arguments)
        await sandbox.remove()
        targets = [
            option[2] for option in options if option[0].startswith("--ro-bind") and Path(option[1]).exists()
        ]
        assert await self.attack("find_a_writable_mount") == "stopped"
        found = [await self.attack("find_a_writable_mount", open_mount=target) for target in targets]
        return [target for target, seen in zip(targets, found, strict=True) if seen == "stopped"]

    async def arguments(self) -> list[str]:
        sandbox = await self._backend.create(self._box())
        await sandbox.remove()
        return sandbox._arguments

    def _box(self) -> Box:
        job = secrets.token_hex(6)
        box = Box("0" * 64, job, SMALL, self._folder / job, (self._environment,))
        for place in (box.work, box.spool):
            place.mkdir(parents=True)
            os.chown(place, self._backend.uid, self._backend.gid)
        return box

    def _key(self) -> str:
        """Return the name of a new key in a new session keyring."""
        name, session = f"key-{secrets.token_hex(4)}", ctypes.c_int(-3)
        join, add = {"x86_64": (250, 248), "aarch64": (219, 217)}[os.uname().machine]
        assert self._libc.syscall(join, 1, None) >= 0
        assert self._libc.syscall(add, b"user", name.encode(), b"x", 1, session) >= 0
        return name


async def _look_away(pid: int) -> None:
    """Be a watchdog that sleeps."""


async def serve(folder: Path) -> None:
    attacked = Attacked(folder)
    try:
        await attacked.prepare()
        for line in iter(sys.stdin.readline, ""):  # one at a time
            try:
                answer = await attacked.answer(json.loads(line))
            except Exception:  # whatever it is, the tests that follow want their answers
                answer = json.dumps(traceback.format_exc())
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()
    finally:
        attacked.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
