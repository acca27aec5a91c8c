"""A whole LAN, its people and its troubles, from one seed."""

import collections
import contextlib
import contextvars
import gc
import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checks
from cells import simulated_runners
from clocks import Clock
from nodes import Node
from people import Front
from power import simulated
from programs import Ledger
from sandboxes import Machine
from swaps import swapped
from troubles import TROUBLED, Troubles
from virtual import Life, Loop
from wires import Lan, Wire

from homie_core.daemon import gossip, links
from homie_core.sandbox import disk

SEEN = 17.0
"""Seconds after healing until everyone sees everyone: a probe in vain (6), MAX_BACKOFF, a heartbeat."""
PATIENCE = 900.0
"""Seconds after healing until nothing is left to do: files that stopped arriving are given up after 600."""


class Violated(AssertionError):
    """Something that must always be true is not."""


class World:
    """One simulated LAN. `run` it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.random = random.Random(seed)
        self.loop = Loop(seed)
        self.loop.after_step = self._after_step
        self.ledger: Ledger = {}
        self.faults: list[str] = []
        self.lines: collections.deque[str] = collections.deque(maxlen=400)
        self._hash = hashlib.sha256()
        rng = self.random
        self.lan = Lan(
            self.loop,
            rng,
            loss=rng.choice((0.0, 0.02, 0.2)),
            doubling=rng.choice((0.0, 0.1, 0.5)),
            trace=self.trace,
        )
        self.rough = self.lan.loss > 0.1
        """Whether short leases may end by themselves: what is lost comes seconds later."""
        self.nodes = [self._node(number) for number in range(rng.randint(2, 4))]
        self.lan.nodes = {node.address: node for node in self.nodes}
        self.fronts: list[Front] = []
        self.troubles = Troubles(self)
        self.malice = rng.choice((0.0, 0.2, 0.5))
        """How likely it is that something goes wrong just when a job is submitted."""

    def _node(self, number: int) -> Node:
        folder = self.folder / f"node{number}"
        folder.mkdir()
        clock = Clock(rate=1.0 + self.random.uniform(-0.02, 0.02))
        machine = Machine(f"node{number}", folder, self.loop, self.ledger, clock)
        node = Node(number, self.lan, machine, self.random, pool=self.random.choice((0, 1)))
        node.sharing = number == 0 or self.random.random() < 0.7
        if random.Random(f"{self.seed} {number}").random() < 0.5:
            node.keeps = 0  # then only the job that ended last is kept
        return node

    # What is told.

    def trace(self, what: str) -> None:
        line = f"{self.loop.now:10.4f} {what}".replace(str(self.folder), "")
        self._hash.update(line.encode())
        self.lines.append(line)

    def blame(self, wrong: list[str]) -> None:
        """Note what is not as it must be."""
        for what in wrong:
            self.trace(f"VIOLATED: {what}")
        self.faults += wrong

    @property
    def digest(self) -> str:
        """The hash of all that happened."""
        return self._hash.hexdigest()

    # What happens.

    def later(self, delay: float, act: Callable[..., None], *args: Any) -> None:
        """Let the world, or a person in it, do something in so many seconds."""
        self.loop.call_later(delay, act, *args, context=contextvars.Context())

    def run(self) -> None:
        """Let it go wrong, heal it, wait for its end; raise Violated if something was not as it must be."""
        rng = self.random
        for node in self.nodes:
            self.later(rng.uniform(0, 2), self.troubles.boot, node)
        for _ in range(rng.randint(1, 4 * len(self.nodes))):
            self.later(rng.uniform(1, TROUBLED), self._submit)
        self.troubles.plan()
        self._run(TROUBLED)
        self._run(TROUBLED + SEEN)
        if not self.faults:
            self.blame(checks.seen(self.present))
        self._run(TROUBLED + PATIENCE, self._over)
        self._run(self.loop.now + 30.0)
        if not self.faults:
            self._check_end()
        if self.faults:
            raise Violated("\n".join(self.faults))

    def _run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        while self.loop.now < until and not self.faults and not done():
            self.loop.run(min(until, self.loop.now + 1.0))

    def _over(self) -> bool:
        heard = all(front.concluded or self._unheard(front) for front in self.fronts if front.sent)
        return heard and not any(node.hosting.jobs() or node.runs.care._moves for node in self.present)

    def _unheard(self, front: Front) -> bool:
        """Whether nobody will ever hear how a job ended, because a machine has gone for good."""
        gone = {node.name for node in self.nodes if node.gone}
        return front.outcome is None and (front.node.gone or bool({front.host, front.placed} & gone))

    @property
    def present(self) -> list[Node]:
        """The nodes that have not gone for good."""
        return [node for node in self.nodes if not node.gone]

    def _submit(self) -> None:
        rng = self.random
        node = rng.choice(self.present)
        job = f"{rng.getrandbits(48):012x}"
        cpus = rng.choice((0.5, 1.0, 2.0))
        lines, gap = rng.choice((0, 1, 5, 30)), rng.choice((0.001, 0.1, 1.0, 5.0))
        target = rng.choice((None, None, *(other.name for other in self.nodes if other.sharing)))
        timeout = rng.choice((20.0, 60.0, 120.0))
        retry, lease = rng.choice((0, 0, 1, 3)), rng.choice((8.0, 15.0, 40.0))
        haunted = retry > 0 and rng.random() < 0.4
        if haunted:  # and it lasts, and others can take it
            lines, gap, target, timeout = 30, 3.0, None, 120.0
        plan = (job, str(cpus), str(lines), str(gap), str(rng.choice((0, 0, 1, 7))), str(rng.random() < 0.1))
        front = Front(self, node, plan, timeout, target, retry, lease)
        self.fronts.append(front)
        self.trace(f"{node.name} submits {job} to {target}")
        front.begin()
        if rng.random() < self.malice:
            self.troubles.crash_at_effect()
        if rng.random() < self.malice:
            self.later(rng.expovariate(20), self.troubles.strike, self.troubles.cut)
        if haunted:
            self.later(rng.uniform(1, 15), self.troubles.strike, self.troubles.haunt, front)
        if rng.random() < 0.2:
            self.later(rng.uniform(0, 30), front.detach)
        if rng.random() < 0.1:
            self.later(rng.uniform(0, 30), front.stop)

    # What must be true.

    def _after_step(self, life: Life) -> None:
        if self.loop.steps % 16 == 0:
            self._check(next(node for node in self.nodes if life.name.startswith(f"{node.name}/")))

    def _check(self, node: Node) -> None:
        if node.up:
            self.blame(checks.books(node))
            self.blame(checks.used(node))
        for front in self.fronts:
            self.blame(checks.runs(front, self.ledger.get(front.job)))

    def _check_end(self) -> None:
        self.blame(self.loop.troubles)
        for node in self.present:
            self._check(node)
            self.blame(checks.left(node))
            self.blame(node.machine.troubles)
        for front in self.fronts:
            if front.sent and not self._unheard(front):
                self._check_story(front)

    def _check_story(self, front: Front) -> None:
        hosts = [node for node in self.nodes if front.placed is None or node.name in front.hosts]
        explained = any(node.machine.shaken for node in hosts) or front.to_be_stopped
        disturbed = self._disturbed(front, hosts)
        dropped = "kept_disk_limit" in front.gone and any(node.keeps == 0 for node in hosts)
        if not dropped:
            self.blame(checks.story(front, self.ledger.get(front.job), explained, disturbed))

    def _disturbed(self, front: Front, hosts: list[Node]) -> bool:
        """Whether something happened that may have moved a job with a lease, or ended it."""
        machines = [front.node, *hosts]
        cut = max((self.troubles.longest_cut(front.node, host) for host in hosts), default=0.0)
        struck = any(node.struck_at > front.sent_at - 100 for node in machines)
        return struck or cut >= front.request.lease / 2 or (self.rough and front.request.lease < 20.0)


@contextlib.contextmanager
def world_of(seed: int, *bugs: contextlib.AbstractContextManager[Any]) -> Iterator[World]:
    """Return a world that has not begun, on a disk of its own."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="homie-sim-", dir=shm if shm.is_dir() else None))
    gc.disable()
    try:
        with contextlib.ExitStack() as stack:
            world = World(seed, folder)
            stack.enter_context(_in_memory())
            for bug in bugs:
                stack.enter_context(bug)
            stack.enter_context(simulated(world.loop, seed))
            stack.enter_context(simulated_runners())
            stack.enter_context(world.loop.running())
            yield world
    finally:
        gc.enable()
        shutil.rmtree(folder)


def _in_memory() -> contextlib.AbstractContextManager[None]:
    return swapped(
        {
            (gossip, "Link"): Wire,
            (links, "Link"): Wire,
            (disk, "_may_mount"): lambda: False,
            (disk, "_mounts_below"): lambda folder: [],
            (disk, "PERIOD"): 10.0,
            (disk, "RESERVE"): 0,
        }
    )
