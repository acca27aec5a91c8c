"""What this node offers: what the machine has, what its owner lends, and the sandbox that makes lending safe."""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from homie_core.config import Config
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.memory import give_back
from homie_core.daemon.pool import PATIENCE, Workshop
from homie_core.engine.admission import Admission
from homie_core.engine.lent import Lent
from homie_core.host.gpu import Gpus
from homie_core.host.machine import Machine, Sample
from homie_core.model.errors import HomieError, SandboxError
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Capacity, abridge
from homie_core.sandbox.base import Backend
from homie_core.sandbox.choose import NO_ISOLATION, Choice, better_than, candidates, choose
from homie_core.sandbox.disk import RESERVE
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.program import RUNNER_REQUIREMENTS

log = logging.getLogger(__name__)

LENT_MEMORY = 0.8
"""Share of the machine's memory that all jobs together may reserve; the rest is its owner's."""
LENT_DISK, LEAST_DISK = 0.25, 1 << 20
"""Share of what is free on the disk when the daemon starts that one job is lent at most; bytes that it is lent
though they are not there: then it is refused with them."""
AGAIN = 15.0
"""Seconds between two looks for a sandbox while there is none."""
BETTER, SELDOM = 60.0, 3600.0
"""Seconds until the first look for a better one than was found, and between two in the end."""


class Offer:
    """Measures this machine and gets its sandbox ready; says why when nothing can be offered."""

    def __init__(self, home: Path, config: Config, trouble: str = "") -> None:
        """`trouble`: why nothing can be offered whatever this machine has."""
        self._config = config
        self._home = home
        self._machine = Machine()
        self._gpus = Gpus()
        disk = _disk_left(home)
        lent = _lent(config, self._machine.sample(), disk)
        self.admission = Admission(config.name, lent, self._gpus.read(), disk)
        self._backend: Backend | None = None
        self._hosting: Hosting | None = None
        self._sessions = False
        """Whether what sessions need is there."""
        self.sandbox = ""
        """What jobs run in; empty while there is nothing."""
        self.limits = ""
        """How well the limits of jobs hold, in words."""
        self._held = ""
        self.warning = ""
        """What the owner must know of this sandbox."""
        self._said: dict[str, str] = {}
        """Why each kind of sandbox is not used, as last logged."""
        self._reported: set[str] = set()
        """What was under way since the last success, as logged."""
        self.preparing = ""
        """What is under way, in words; empty if nothing is."""
        self.trouble = ""
        """Why no jobs are taken, with the way out; empty if they are."""
        if not config.sharing:
            trouble = trouble or "sharing is off; switch it on with `homie config set sharing true` and restart"
        if trouble:
            self.trouble = self.admission.closed = trouble
        else:
            self.preparing = self.admission.closed = "its sandbox is being prepared"

    def capacity(self) -> Capacity:
        """Return what this node has and offers at this moment."""
        sample, admission = self._machine.sample(), self.admission
        return Capacity(
            cores=sample.cores,
            cpu_percent=sample.cpu_percent,
            ram_total=sample.ram_total,
            ram_free=sample.ram_free,
            gpus=admission.gpus,
            running=len(admission.running),
            queued=len(admission.queue),
            free_cpus=admission.free_cpus,
            free_memory=min(admission.free_memory, sample.ram_free),
            free_jobs=admission.free_jobs,
            max_cpus=admission.lent.job_cpus,
            max_memory=admission.lent.job_memory,
            sharing=not admission.closed,
            held=self._held,
            warm=self._hosting.warm if self._hosting else 0,
            sessions=self._sessions,
        )

    @property
    def _gives_cards(self) -> bool:
        return self._backend is None or self._backend.cards

    async def watch(self) -> None:
        """Look at the disk and the cards again; a driver may take its time, so in a thread."""
        self.admission.disk = _disk_left(self._home)
        cards = await asyncio.to_thread(self._gpus.read)
        self.admission.cards = cards if self._gives_cards else ()

    async def prepare(self, node: PeerId, hosting: Hosting, announce: Callable[[], None]) -> None:
        """Get the sandbox ready, open the doors and announce it; look again for one, and then for a better one."""
        if self.trouble:
            return
        self._hosting = hosting
        choice = await self._find(node, hosting)
        while True:
            self._sessions = False
            backend = choice.backend
            environments = Environments(self._home / "environments", compile=backend.compile)
            requirements = (*RUNNER_REQUIREMENTS, *self._config.packages)
            self._open(choice)
            await hosting.open(Workshop(backend, choice.interpreter, environments, requirements))
            announce()
            try:
                # Sessions need IPython inside; scripts do not, so jobs are taken meanwhile.
                await environments.ensure(requirements, choice.interpreter, log.info)
                self._sessions = True
            except HomieError as error:
                log.warning("sessions cannot run yet, scripts can: %s", error)
            give_back()
            choice = await self._find_better(backend.kind, node, hosting)
            self.admission.closed = "its sandbox is being changed"
            await hosting.clear_pool()
            await backend.close()

    async def close(self) -> None:
        """Let go of the sandbox's engine."""
        if self._backend:
            await self._backend.close()

    async def _find(self, node: PeerId, hosting: Hosting) -> Choice:
        """Return the first sandbox that works; look until there is one.

        The kind in which jobs of an earlier life of this daemon run gets some time to come back first.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                makers = candidates(self._config, self._home)
                if (kinds := {begun.kind for begun in hosting.begun()}) and time.monotonic() < until:
                    makers = {kind: make for kind, make in makers.items() if kind in kinds} or makers
                choice = await choose(makers, self._home, self._report, self._said)
                await _sweep(choice, node, frozenset(begun.box for begun in hosting.begun()))
                return choice
            except SandboxError as error:
                if self.trouble != str(error):
                    log.warning("no jobs are taken: %s", error)
                self.trouble = self.admission.closed = str(error)
                self.preparing = ""
                await asyncio.sleep(AGAIN)

    async def _find_better(self, kind: str, node: PeerId, hosting: Hosting) -> Choice:
        """Return one that comes before this kind once it works, at a moment when no job is here; perhaps never."""
        pause = BETTER
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, SELDOM)
            makers = better_than(kind, candidates(self._config, self._home))
            if not makers:
                await asyncio.Event().wait()
            try:
                choice = await choose(makers, self._home, log.debug, self._said)
                await _sweep(choice, node, frozenset())
            except SandboxError:  # said when it changes
                continue
            if not hosting.jobs():
                return choice
            await choice.backend.close()
            pause = BETTER

    def _open(self, choice: Choice) -> None:
        """Say what jobs run in, and take them."""
        self._backend, self.sandbox, self._reported = choice.backend, choice.backend.name, set()
        self._held = abridge(choice.verdict.holds)
        if self.admission.cards and not self._gives_cards:
            log.warning("graphics cards are not lent: %s gives none to jobs; install Docker", choice.backend.name)
            self.admission.cards = ()
        if choice.verdict.isolated:
            self.limits = str(choice.verdict)
        else:
            self.warning = NO_ISOLATION
        self.preparing = self.trouble = self.admission.closed = ""
        log.info("ready: jobs run in %s, Python %s", choice.backend.name, choice.interpreter.version)
        log.info("limits: %s", choice.verdict)

    def _report(self, phase: str) -> None:
        if phase not in self._reported:
            log.info("%s", phase)
        self._reported.add(phase)
        self.preparing = phase


async def _sweep(choice: Choice, node: PeerId, keep: frozenset[JobId]) -> None:
    try:
        swept = await choice.backend.sweep(node, keep)
    except BaseException:
        await choice.backend.close()
        raise
    if swept:
        log.info("removed %d sandboxes that an earlier daemon left", swept)


def _disk_left(home: Path) -> int:
    """Return how many bytes jobs may still write, all together."""
    return shutil.disk_usage(home).free - RESERVE


def _lent(config: Config, sample: Sample, disk: int) -> Lent:
    memory = int(LENT_MEMORY * sample.ram_total)
    return Lent(
        cpus=float(sample.cores),
        memory=memory,
        job_cpus=min(config.container_cpu_limit, float(sample.cores)),
        job_memory=min(config.container_memory_limit, memory),
        job_timeout=config.container_timeout,
        idle=config.session_idle_timeout,
        job_disk=min(config.container_disk_limit, max(LEAST_DISK, int(LENT_DISK * disk))),
        job_output=config.container_output_limit,
        jobs=config.max_jobs,
    )
