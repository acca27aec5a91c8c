"""A job of our own tries to break out of the real sandbox: what a node says of its limits was seen."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from homie_core import __version__
from homie_core.model.errors import BadMessage, SandboxError
from homie_core.model.event import Output
from homie_core.model.job import FileRef, JobSpec, Kind, Limits
from homie_core.model.names import Digest, FileName, JobId, PeerId
from homie_core.model.peer import LIMIT_NAMES, Holds
from homie_core.sandbox.base import Backend, Box, End, Interpreter
from homie_core.sandbox.disk import Disk
from homie_core.sandbox.link import Link
from homie_core.sandbox.program import program

PROBE = Path(__file__).with_name("selftest_probe.py")
LIMITS = Limits(
    cpus=0.5, memory=64 << 20, timeout=15, pids=40, tmp=4 << 20, disk=8 << 20, inodes=1000, output=1 << 20
)
PATIENCE = 20.0
"""Seconds for the whole test; it takes one or two."""
MAX_SAID = 1 << 16
NODE = PeerId("0" * 64)
PROMISED = {"memory": "memory", "pids": "processes", "cpu": "cpu", "disk": "disk"}
"""What backends call the limits, and what people read."""


@dataclass(frozen=True)
class Verdict:
    """What the self-test saw."""

    isolated: bool
    why: str
    """Why not; empty if it is."""
    holds: dict[str, Holds]
    """Of memory, processes, cpu and disk."""

    def __str__(self) -> str:
        """`memory exact, processes exact, cpu exact, disk soft`"""
        return ", ".join(f"{name} {self.holds.get(name, Holds.NOT).value}" for name in LIMIT_NAMES)


NOT_ISOLATED = Verdict(False, "", dict.fromkeys(LIMIT_NAMES, Holds.NOT))
"""Of a sandbox that is none."""


class Seen(msgspec.Struct, frozen=True):
    """What the probe says; it is ours, but what it runs in may be broken: typed and bounded all the same."""

    uid: int
    """0 is the host's root, not that of a user namespace."""
    capabilities: str
    privileges: str
    """NoNewPrivs."""
    namespaces: dict[str, str]
    reached: list[str]
    written: list[str]
    found: list[str]
    processes: int
    forks: int
    """How many children it got; more than the limit were tried."""
    disk: int
    """Bytes that it could write; twice the limit were tried."""
    cpu: float
    """Cores that it got; two were tried."""


async def verdict(backend: Backend, interpreter: Interpreter, home: Path) -> Verdict:
    """Return what holds in this prepared backend: as last seen, if nothing has changed since, or as tried now."""
    file = home / "selftest.json"
    known = _fingerprint(backend, interpreter)
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(file.read_bytes(), type=dict[str, Verdict])
        if known in kept:
            return kept[known]
    found = await try_out(backend)
    if found.isolated:  # what fails may be put right at any time
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode({known: found}))
        new.replace(file)
    return found


async def try_out(backend: Backend) -> Verdict:
    """Run the probe in a sandbox of this prepared backend. Raises SandboxError if it cannot be run."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="homie-selftest-"))
    try:
        async with asyncio.timeout(PATIENCE):
            seen, rest, end, exact = await _run(backend, folder)
    except (BadMessage, OSError, msgspec.DecodeError) as error:
        raise SandboxError(f"the self-test did not run in {backend.name}: {error}") from error
    except TimeoutError as error:
        raise SandboxError(f"the self-test in {backend.name} did not end within {PATIENCE:.0f} s") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    holds = judge_limits(seen, rest, end, exact)
    promises: dict[str, Holds] = getattr(backend, "promises", dict)()
    for name, promised in promises.items():
        if name in ("memory", "pids", "cpu"):  # a loaded machine may look like a limit: the worse of both is said
            holds[PROMISED[name]] = max(holds[PROMISED[name]], promised, key=list(Holds).index)
    why = judge_isolation(seen, _namespaces())
    return Verdict(not why, why, holds)


def judge_isolation(seen: Seen, host: dict[str, str]) -> str:
    """Return, in words, what a job could do that it must not; empty if nothing. Pure."""
    reasons = []
    if seen.uid == 0:
        reasons.append("a job is root")
    if int(seen.capabilities, 16) or seen.privileges != "1":
        reasons.append("a job has or can get privileges")
    if seen.reached:
        reasons.append(f"a job reaches the network ({', '.join(seen.reached)})")
    if seen.written:
        reasons.append(f"a job can write to {', '.join(seen.written)}")
    if seen.found:
        reasons.append("a job sees files of this machine's owner")
    shared = [kind for kind, id in seen.namespaces.items() if host.get(kind) == id]
    if shared or seen.processes > 10:
        reasons.append(f"a job shares with this machine: {', '.join(shared) or 'its list of processes'}")
    return "; ".join(reasons)


def judge_limits(seen: Seen, rest: str, end: End, disk_exact: bool) -> dict[str, Holds]:
    """Return how the limits held: `rest` is what the probe said after its memory was gone. Pure."""
    watched = Holds.SOFT if end.out_of_memory else Holds.NOT
    memory = Holds.EXACT if "memory held" in rest else watched
    disk = Holds.SOFT
    if disk_exact:
        disk = Holds.EXACT if seen.disk < LIMITS.disk * 3 // 2 else Holds.NOT
    return {
        "memory": memory,
        "processes": Holds.EXACT if seen.forks <= LIMITS.pids else Holds.NOT,
        "cpu": Holds.EXACT if seen.cpu < LIMITS.cpus * 1.4 else Holds.NOT,
        "disk": disk,
    }


async def _run(backend: Backend, folder: Path) -> tuple[Seen, str, End, bool]:
    source = await asyncio.to_thread(PROBE.read_bytes)
    digest = Digest(hashlib.sha256(source).hexdigest())
    mark = await asyncio.to_thread(_furnish, folder)
    file = FileRef(name=FileName("probe.py"), digest=digest, size=len(source))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        spec = JobSpec(
            id=JobId(secrets.token_hex(6)),
            kind=Kind.SCRIPT,
            entry=FileName("probe.py"),
            files=(file,),
            args=(
                str(listener.getsockname()[1]),
                str(mark),
                str(LIMITS.pids),
                str(LIMITS.memory),
                str(LIMITS.disk),
            ),
        )
        box = Box(node=NODE, job=spec.id, limits=LIMITS, folder=folder / "box")
        disk = await Disk.make(box.folder, LIMITS, backend.uid, backend.gid)
        try:
            await asyncio.to_thread(_lay_out, box, source, backend.uid, backend.gid)
            said, end = await _listen(backend, box, spec)
        finally:
            await asyncio.shield(disk.remove())
    first, _, rest = said.partition("\n")
    if not rest and not first.endswith("}"):
        raise SandboxError(f"the self-test did not run in {backend.name}: {first[-300:] or end.detail[-300:]}")
    return msgspec.json.decode(first, type=Seen), rest, end, disk.exact


async def _listen(backend: Backend, box: Box, spec: JobSpec) -> tuple[str, End]:
    """Run the job; return what it printed and how its sandbox ended."""
    sandbox = await backend.create(box)
    said = errors = b""
    try:
        link = Link(*await sandbox.start())
        await link.connect()
        await link.start(program(spec, box.limits))
        async for numbered in link:
            match numbered.fact:
                case Output(stream=1, data=data):
                    said = (said + data)[:MAX_SAID]
                case Output(data=data):
                    errors = (errors + data)[:MAX_SAID]
            await link.ack(numbered.seq)
        end = await sandbox.end()
    finally:
        await asyncio.shield(sandbox.remove())
    return (said or errors).decode(errors="replace"), end


def _lay_out(box: Box, source: bytes, uid: int, gid: int) -> None:
    """Put the probe into the box, as any job's files."""
    for place in (box.work, box.spool):
        place.mkdir(mode=0o700, exist_ok=True)
        os.chown(place, uid, gid)
    (box.work / "probe.py").write_bytes(source)
    (box.work / "probe.py").chmod(0o644)


def _furnish(folder: Path) -> Path:
    """Return a file of the host that nobody inside may see."""
    mark = folder / "mark"
    mark.write_text("a file of the host\n")
    folder.chmod(0o755)  # so that only the sandbox keeps a job from it
    return mark


def _namespaces() -> dict[str, str]:
    found = {}
    for kind in ("net", "pid", "mnt", "ipc"):
        with contextlib.suppress(OSError):
            found[kind] = str(Path("/proc/self/ns", kind).readlink())
    return found


def _fingerprint(backend: Backend, interpreter: Interpreter) -> str:
    """What a verdict depends on: engine and image (in the name and identity), kernel, user, and this test."""
    kernel = os.uname()
    parts = (
        backend.name,
        getattr(backend, "identity", ""),
        interpreter.version,
        kernel.release,
        kernel.version,
        str(os.getuid()),
        __version__,
        hashlib.sha256(PROBE.read_bytes()).hexdigest(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
