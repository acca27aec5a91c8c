"""Many who submit to one host at the same moment, each with a key of its own, over real TLS."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pair import Node

from homie_core.client import Client, new_job_id
from homie_core.config import config_file, load
from homie_core.model.errors import PeerRefused
from homie_core.model.job import Ask, FileRef, JobSpec, Kind
from homie_core.model.names import Digest, FileName
from homie_core.net.link import Link
from homie_core.net.tls import client_context
from homie_core.store.identity import Group, create_node, credentials

AT_ONCE = 8
"""Requests that one submitter has under way."""
SMALL = Ask(cpus=0.01, memory=64 << 20)


class Member:
    """One more node of a host's group, of which only the key is there."""

    def __init__(self, home: Path, host: Node) -> None:
        config = load(config_file(host.home))
        create_node(home)
        mine = credentials(home, Group.from_secret(config.group_secret))
        self._context = client_context(mine.cert_file, mine.key_file, mine.ca_pem)
        self._place = ("127.0.0.1", config.worker_port, Client(host.home).status().id)

    def link(self) -> Link:
        return Link(*self._place, self._context)


@dataclass
class Rush:
    """What came of it."""

    took: list[float] = field(default_factory=list)
    """Seconds that each answer took."""
    accepted: Counter[int] = field(default_factory=Counter)
    """How many jobs each submitter got in."""
    refused: Counter[str] = field(default_factory=Counter)
    """How often which reason was given."""

    @property
    def p95(self) -> float:
        """Seconds that 95 of 100 answers did not exceed."""
        return sorted(self.took)[int(0.95 * len(self.took))]


async def submit(link: Link, code: str, *args: str) -> None:
    """Submit a script with its file. Raises PeerRefused."""
    content = code.encode()
    digest = Digest(hashlib.sha256(content).hexdigest())
    file = FileRef(name=FileName("job.py"), digest=digest, size=len(content))
    job = JobSpec(id=new_job_id(), kind=Kind.SCRIPT, entry=file.name, files=(file,), args=args, ask=SMALL)
    await link.offer(job)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await link.upload(job.id, file, chunks())


async def rush(members: list[Member], each: int, code: str) -> Rush:
    """Let each of them submit this script so many times, all at the same time; its argument is their number."""
    found = Rush()
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(member.link()) for member in members]

        async def some(number: int, count: int) -> None:
            for _ in range(count):
                asked = time.perf_counter()
                try:
                    await submit(links[number], code, str(number))
                    found.accepted[number] += 1
                except PeerRefused as error:
                    found.refused[str(error)] += 1
                    found.took.append(time.perf_counter() - asked)
                else:
                    found.took.append((time.perf_counter() - asked) / 2)  # an offer and an upload

        parts = [each // AT_ONCE + (part < each % AT_ONCE) for part in range(AT_ONCE)]
        await asyncio.gather(*(some(number, part) for part in parts for number in range(len(members))))
    return found
