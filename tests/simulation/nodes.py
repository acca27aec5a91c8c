"""A simulated node: a machine, and on it life after life of the real daemon's parts, wired as in `daemon.node`."""

import asyncio
import contextvars
import math
import random
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from power import NodeLife
from sandboxes import Backend, Machine
from wires import Air, Lan

from homie_core.daemon.gossip import Gossip, Me
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.links import Links
from homie_core.daemon.node import FAREWELL, REMEMBER, TICK
from homie_core.daemon.pool import Workshop
from homie_core.daemon.reception import Reception
from homie_core.daemon.runs import Runs
from homie_core.engine.admission import Admission
from homie_core.engine.lent import Lent
from homie_core.engine.peers import PeerTable
from homie_core.model.errors import HomieError, SandboxError
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, Capacity, Hello
from homie_core.sandbox.base import Interpreter
from homie_core.store.journal import Journal
from homie_core.store.steady import Steady

LENT = Lent(cpus=4.0, memory=4 << 30, job_cpus=2.0, job_memory=2 << 30, job_timeout=120.0, job_output=20_000)


class Node:
    """A node of the LAN. `life` is None while its daemon is down."""

    def __init__(self, number: int, lan: Lan, machine: Machine, rng: random.Random, pool: int) -> None:
        self.lan, self.machine, self.random, self._pool = lan, machine, rng, pool
        self.number = number
        self.id, self.name = PeerId(f"{number + 1:064x}"), NodeName(f"node{number}")
        self.address = f"10.0.0.{number + 1}"
        self.life: NodeLife | None = None
        self.ready = False
        self.gone = False
        """Whether it is away for good."""
        self.struck_at = -math.inf
        """When something happened to it last that may move a job with a lease."""
        self.boots = 0
        self.sharing = True
        self.keeps = 1 << 40
        """Bytes that jobs may leave here until they are fetched."""
        self.pins: dict[NodeName, PeerId] = {}
        self.fronts: list[Any] = []
        """Those who talk to its daemon; told when one begins."""
        self.hosting: Hosting
        self.reception: Reception
        self.runs: Runs
        self.table: PeerTable

    def boot(self, dies_at: int = 0) -> None:
        """Start a daemon; it ends with that effect, if any."""
        assert self.life is None
        self.boots += 1
        life = self.life = NodeLife(
            f"{self.name}/{self.boots}",
            self.machine.clock,
            self.machine.wall,
            lambda: self.machine.disk_full,
            self.random,
        )
        life.dies_at = dies_at
        life.trace = lambda what: self.lan.trace(f"{life.name} {what}")
        life.at_end.append(self._gone)
        self.start(self._run(), "daemon")

    def crash(self) -> None:
        """End the daemon, as by `kill -9`."""
        if self.life:
            self.life.end()

    def lose_power(self) -> None:
        """End the daemon and all that runs here."""
        self.crash()
        self.machine.lose_power()

    def go_down(self) -> None:
        """End the daemon as `homie down` does."""
        self.machine.shaken = True
        self.start(self._leave(), "leave")

    async def _leave(self) -> None:
        life = self.life
        await self.hosting.close(FAREWELL)
        await self.gossip.close()
        await self.runs.close()
        self.lan.loop.call_soon(life.end, context=contextvars.Context())

    def _gone(self) -> None:
        self.life, self.ready = None, False

    @property
    def up(self) -> bool:
        """Whether its daemon listens."""
        return self.life is not None and self.ready

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any] | None":
        """Let something be done in the present life."""
        if self.life is None:
            work.close()
            return None
        return self.lan.loop.create_task(work, name=name, context=self.life.context.copy())

    async def _run(self) -> None:
        life = self.life
        try:
            await self._live()
        except HomieError as error:
            life.trace(f"cannot start: {error}")
            self.lan.loop.call_soon(life.end, context=contextvars.Context())

    async def _live(self) -> None:
        home = self.machine.folder
        journal = Journal(home / "journal.db")
        self.clock = Steady(home / "clock")
        journal.purge(self.clock.now() - REMEMBER)
        admission = Admission(self.name, LENT, closed="its sandbox is being prepared")
        self.hosting = Hosting(
            self.id, home / "jobs", admission, journal, self.keeps, wall=self.clock.now, pool_size=self._pool
        )
        self.reception = Reception(self.hosting)
        me = Me(id=self.id, name=self.name, port=5556, boot=self.boots, capacity=self._capacity)
        self.table = PeerTable(self.id, dict(self.pins))
        self.gossip = Gossip(me, self.table, self, self._air, self.pins.__setitem__)  # type: ignore[arg-type]
        self.runs = Runs(journal, Links(self.gossip.peers, self), wall=self.clock.now)  # type: ignore[arg-type]
        self.hosting.recover()
        self.runs.care.recover()
        await self.gossip.open()
        self.ready = True
        for front in self.fronts:
            front.daemon_began()
        self.start(self._tick(), "tick")
        if not self.sharing:
            admission.closed = "sharing is off"
            return
        backend = Backend(self.machine)
        while True:
            try:
                await backend.sweep(self.id, frozenset(begun.box for begun in self.hosting.begun()))
                break
            except SandboxError:
                await asyncio.sleep(15.0)
        admission.closed = ""
        environments: Any = SimpleNamespace(has=_never, ensure=_no_packages)
        await self.hosting.open(Workshop(backend, Interpreter("3.12", "x86_64", "2.36"), environments, ()))
        self.gossip.announce()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.clock.save()
            self.hosting.tick()
            await self.hosting.tidy()

    def _air(self, hear: Any) -> Any:
        self.air = Air(self.lan, self.address, hear)
        return self.air

    def _capacity(self) -> Capacity:
        admission = self.hosting.admission
        return Capacity(
            cores=4,
            cpu_percent=0.0,
            ram_total=8 << 30,
            ram_free=8 << 30,
            running=len(admission.running),
            queued=len(admission.queue),
            free_cpus=admission.free_cpus,
            free_memory=admission.free_memory,
            free_jobs=admission.free_jobs,
            max_cpus=LENT.job_cpus,
            max_memory=LENT.job_memory,
            sharing=not admission.closed,
        )

    # What the network brings.

    def hear(self, beat: Beat, source: str) -> None:
        if self.up and not self.machine.asleep:
            self.life.context.copy().run(self.air.receive, beat, source)

    def greet(self, caller: PeerId, address: str, hello: Hello) -> Hello:
        return self.gossip.greeted(caller, address, hello)


async def _never(*_: object) -> bool:
    return False


async def _no_packages(*_: object) -> Path:
    raise SandboxError("no packages in a simulation")
