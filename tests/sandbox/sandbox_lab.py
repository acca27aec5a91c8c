"""A laboratory: jobs in real sandboxes of this machine."""

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.model.event import Collected, Output
from homie_core.model.job import FileRef, JobSpec, Kind, Limits
from homie_core.sandbox.base import Box, End
from homie_core.sandbox.bubblewrap import Bubblewrap
from homie_core.sandbox.bubblewrap.sandbox import BubblewrapSandbox
from homie_core.sandbox.docker import Docker, DockerSandbox
from homie_core.sandbox.link import Link, Numbered, ProgramEnd
from homie_core.sandbox.program import program
from homie_core.store.workspace import collect, lay_out

NODE = "0" * 56 + secrets.token_hex(4)
LIMITS = Limits(cpus=1, memory=256 << 20, timeout=30.0)


@dataclass
class Result:
    """All that a job said and left."""

    out: bytes = b""
    err: bytes = b""
    program: ProgramEnd | None = None
    end: End | None = None
    collected: Collected | None = None
    seqs: list[int] = field(default_factory=list)

    def add(self, record: Numbered) -> None:
        self.seqs.append(record.seq)
        match record.fact:
            case Output(stream=1, data=data):
                self.out += data
            case Output(data=data):
                self.err += data
            case ProgramEnd() as program:
                self.program = program

    @property
    def status(self) -> int | None:
        return self.program.exit_status if self.program else None


@dataclass
class Lab:
    """Runs jobs as a daemon would."""

    backend: Docker | Bubblewrap
    folder: Path
    environment: Path | None = None

    def spec(self, source: str, kind: Kind = Kind.SCRIPT, args: tuple[str, ...] = ()) -> JobSpec:
        digest = hashlib.sha256(source.encode()).hexdigest()
        entry = "main.py" if kind is Kind.SCRIPT else None
        file = FileRef(name="main.py", digest=digest, size=len(source.encode()))
        return JobSpec(id=secrets.token_hex(6), kind=kind, entry=entry, files=(file,), args=args)

    def box(self, source: str, limits: Limits = LIMITS, node: str = NODE) -> Box:
        """Lay out a job of one file."""
        spec = self.spec(source)
        folder = self.folder / spec.id
        (folder / "received").mkdir(parents=True)
        (folder / "received" / spec.files[0].digest).write_text(source)
        lay_out(folder / "box", spec.files, folder / "received", self.backend.uid, self.backend.gid)
        environments = (self.environment,) if self.environment else ()
        return Box(node=node, job=spec.id, limits=limits, folder=folder / "box", environments=environments)

    async def start(
        self, box: Box, kind: Kind = Kind.SCRIPT, args: tuple[str, ...] = ()
    ) -> tuple[DockerSandbox | BubblewrapSandbox, Link]:
        """Create the sandbox and start the program in it."""
        sandbox = await self.backend.create(box)
        link = Link(*await sandbox.start())
        await link.connect()
        await link.start(program(self.spec("", kind, args), box.limits, len(box.environments)))
        return sandbox, link

    async def run(
        self, source: str, kind: Kind = Kind.SCRIPT, limits: Limits = LIMITS, args: tuple[str, ...] = ()
    ) -> Result:
        """Run a job of one file to its end; collect what it left."""
        box, result = self.box(source, limits), Result()
        sandbox, link = await self.start(box, kind, args)
        try:
            async for record in link:
                result.add(record)
                await link.ack(record.seq)
            result.end = await sandbox.end()
        finally:
            await sandbox.remove()
        result.collected = collect(box.folder, (), {}, box.folder / "results")
        return result
