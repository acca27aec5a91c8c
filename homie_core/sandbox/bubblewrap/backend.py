"""Bubblewrap as a kind of sandbox: tried out, sandboxes made and swept."""

import asyncio
import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Holds
from homie_core.sandbox import process_tree
from homie_core.sandbox.base import ENVIRONMENTS, Box, Interpreter
from homie_core.sandbox.bubblewrap import cgroups
from homie_core.sandbox.bubblewrap.arguments import Host, job_arguments, python_arguments
from homie_core.sandbox.bubblewrap.launcher import Launcher, kill_spawned
from homie_core.sandbox.bubblewrap.machine import describe, explain, find_bwrap, switches
from homie_core.sandbox.bubblewrap.records import read, records
from homie_core.sandbox.bubblewrap.sandbox import BubblewrapSandbox
from homie_core.sandbox.bubblewrap.syscalls import compile_seccomp
from homie_core.sandbox.profile import User

PACKAGE = Path(__file__).parents[1]
JOB_UID = 10001
"""Whom jobs are when the daemon is root: nobody else on the machine."""

PROBE_TIMEOUT = 60.0
COMPILE_TIMEOUT = 600.0
PROBE = """
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
try: libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError): libc = ""
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "machine": os.uname().machine, "libc": libc or "",
    "prefix": sys.prefix, "uid": os.getuid(),
    "confined": [status[name].strip() for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapBnd")]}))
"""
CONFINED = ("1", "2", "0" * 16, "0" * 16)


class Probed(msgspec.Struct, frozen=True):
    """What the interpreter says about itself and its confinement."""

    version: str
    machine: str
    libc: str
    prefix: str
    uid: int
    confined: tuple[str, str, str, str]


class Bubblewrap:
    """The backend: no engine, the host's own Python. `folder`, private, keeps a record of each sandbox."""

    def __init__(self, folder: Path, use_cgroups: bool = True) -> None:
        root = os.getuid() == 0
        self.kind = "bubblewrap"
        self.name = "bubblewrap"
        self.cards = False
        self.uid = JOB_UID if root else os.getuid()
        self.gid = JOB_UID if root else os.getgid()
        self._folder = folder
        self._use_cgroups = use_cgroups
        self._tree: cgroups.Tree | None = None
        self._ready: tuple[Launcher, Host] | None = None

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        """Try a sandbox, see that it confines; say which Python jobs will have."""
        root = os.getuid() == 0
        if missing := [name for name in ("setpriv", "prlimit") if not shutil.which(name)]:
            raise SandboxError(f"bubblewrap needs {' and '.join(missing)} here: install util-linux")
        seccomp = compile_seccomp((PACKAGE / "seccomp.json").read_text(), os.uname().machine)
        launcher = Launcher(await asyncio.to_thread(find_bwrap), seccomp)
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        if self._use_cgroups:
            self._tree = await asyncio.to_thread(cgroups.usable)
        host = await asyncio.to_thread(describe, User(self.uid, self.gid), root, self._tree is not None)
        report("trying bubblewrap")
        limits = Limits(cpus=1, memory=128 << 20, timeout=PROBE_TIMEOUT, tmp=1 << 20)
        arguments = python_arguments(host, limits, "-c", PROBE)
        code, output, errors = await _run(launcher, arguments, PROBE_TIMEOUT)
        if code != 0:
            forbidden = {} if root else switches()  # root's sandboxes have no user namespace
            raise SandboxError(explain(errors.decode(errors="replace"), forbidden))
        interpreter = _fit(output, host)
        self._ready = launcher, host
        self.name = f"bubblewrap (python {interpreter.version})"
        return interpreter

    def promises(self) -> dict[str, Holds]:
        """Return how memory, pids, cpu and disk hold here; true after `prepare`."""
        if self._tree:
            return {**dict.fromkeys(cgroups.CONTROLLERS, Holds.EXACT), "disk": Holds.NOT}
        pids = Holds.NOT if os.getuid() == 0 else Holds.EXACT
        return {"memory": Holds.SOFT, "pids": pids, "cpu": Holds.NOT, "disk": Holds.NOT}

    async def create(self, box: Box) -> BubblewrapSandbox:
        """Make what the sandbox of one job needs; none of its processes exists yet."""
        launcher, host = self._prepared
        if box.limits.gpus:
            raise SandboxError("sandboxes of bubblewrap get no graphics cards; install Docker to lend them")
        arguments = job_arguments(box, host, PACKAGE.parents[1])
        called = _called(box.node, box.job)
        group = self._tree.group(called) if self._tree else None
        sandbox = BubblewrapSandbox(launcher, arguments, box, self._folder / f"{called}.json", group)
        try:
            await asyncio.to_thread(sandbox.lay_out, host.user)
        except OSError as error:
            await sandbox.remove()
            raise SandboxError(f"the sandbox of job {box.job} cannot be made: {error}") from error
        return sandbox

    async def find(self, box: Box) -> BubblewrapSandbox | None:
        """Find what its record tells of."""
        launcher, host = self._prepared
        called = _called(box.node, box.job)
        path = self._folder / f"{called}.json"
        record = await asyncio.to_thread(read, path)
        if record is None or record.node != box.node or not record.started:
            return None
        group = self._tree.group(called) if self._tree else None
        sandbox = BubblewrapSandbox(launcher, job_arguments(box, host, PACKAGE.parents[1]), box, path, group)
        await sandbox.find(record)
        return sandbox

    async def compile(self, folder: Path) -> None:
        """Compile a folder of packages for this Python, inside: neither side runs any of it."""
        launcher, host = self._prepared
        owner = await asyncio.to_thread(folder.stat)
        limits = Limits(cpus=1, memory=1 << 30, timeout=COMPILE_TIMEOUT, tmp=16 << 20)
        compiling = ("-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", f"{ENVIRONMENTS}/0")
        owned = dataclasses.replace(host, user=User(owner.st_uid, owner.st_gid))
        # Packages ship files that are no valid Python of this version: that is not our trouble.
        await _run(launcher, python_arguments(owned, limits, *compiling, writable=folder), COMPILE_TIMEOUT)

    async def sweep(self, node: PeerId, keep: frozenset[JobId]) -> int:
        """End what an earlier life of this node left behind, except these jobs; return how many."""
        return await asyncio.to_thread(_sweep, self._folder, self._tree, node, keep)

    async def close(self) -> None:
        """There is no engine to let go of."""

    @property
    def _prepared(self) -> tuple[Launcher, Host]:
        if self._ready is None:
            raise SandboxError("bubblewrap has not been prepared")
        return self._ready


async def _run(launcher: Launcher, arguments: list[str], patience: float) -> tuple[int, bytes, bytes]:
    """Run a program of our own to its end; return its status, what it printed and its last words."""
    fds = os.open(os.devnull, os.O_RDONLY), os.memfd_create("output"), os.memfd_create("errors")
    try:
        spawned = await launcher.spawn(arguments, fds)
        try:
            async with asyncio.timeout(patience):
                code = await spawned.wait()
        except TimeoutError as error:
            raise SandboxError(f"a sandbox of bubblewrap did not end within {patience:.0f} s") from error
        finally:
            spawned.kill()
            await asyncio.shield(spawned.wait())
        return code, os.pread(fds[1], 1 << 16, 0), os.pread(fds[2], 1 << 13, 0)
    finally:
        for fd in fds:
            os.close(fd)


def _fit(output: bytes, host: Host) -> Interpreter:
    """Return the Python inside if it is ours, and confined; raise SandboxError with the reason."""
    try:
        probed = msgspec.json.decode(output, type=Probed)
    except msgspec.DecodeError as error:
        raise SandboxError(f"the Python in bubblewrap's sandbox answers nonsense: {error}") from error
    name, _, libc = probed.libc.partition(" ")
    if name != "glibc":
        raise SandboxError("this machine has no glibc, which ready-made packages need; install Docker or Podman")
    if probed.confined != CONFINED or probed.uid != host.user.uid:
        raise SandboxError("bubblewrap does not take a job's privileges away here; install Docker or Podman")
    if probed.prefix != host.prefix:
        raise SandboxError(
            f"this Python lies in {host.prefix}, the one found in a sandbox in {probed.prefix}: "
            "install Homie with the system's Python, or install Docker or Podman"
        )
    return Interpreter(version=probed.version, machine=probed.machine, glibc=libc)


def _called(node: PeerId, job: JobId) -> str:
    """Return what a sandbox's record and group are called; two nodes of one machine may have had the same job."""
    return f"{node[:12]}-{job}"


def _sweep(folder: Path, tree: cgroups.Tree | None, node: PeerId, keep: frozenset[JobId]) -> int:
    left = [(path, one) for path, one in records(folder) if one.node == node and one.job not in keep]
    for path, one in left:
        if one.started:
            process_tree.kill(one.pid, one.started)
        else:  # perhaps it was started, and the daemon killed before it could say so
            kill_spawned(one.folder)
        if tree:
            tree.group(_called(one.node, one.job)).remove()
        path.unlink(missing_ok=True)
    return len(left)
