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
from nodes import Node
from people import Front
from power import simulated
from programs import Ledger
from sandboxes import Machine, simulated_runners
from virtual import Life, Loop
from wires import Lan, Wire

from homie_core.daemon import gossip, links
from homie_core.sandbox import disk

TROUBLED = 120.0
"""Seconds in which things go wrong; then all is healed."""
SEEN = 17.0
"""Seconds after healing until everyone sees everyone: a probe in vain (6), MAX_BACKOFF, a heartbeat."""
TEN_YEARS = 10 * 365 * 86400.0
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
        self.stopped: set[str] = set()
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
        self.nodes = [self._node(number) for number in range(rng.randint(2, 4))]
        self.lan.nodes = {node.address: node for node in self.nodes}
        self.fronts: list[Front] = []
        self.healed = False
        self.malice = rng.choice((0.0, 0.2, 0.5))
        """How likely it is that something goes wrong just when a job is submitted."""

    def _node(self, number: int) -> Node:
        folder = self.folder / f"node{number}"
        folder.mkdir()
        machine = Machine(f"node{number}", folder, self.loop, self.ledger)
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
            self.later(rng.uniform(0, 2), self._boot, node)
        for number in range(rng.randint(1, 4 * len(self.nodes))):
            self.later(rng.uniform(1, TROUBLED), self._submit, number)
        for _ in range(rng.choice((0, 2, 5, 12))):
            self.later(rng.uniform(2, TROUBLED), rng.choice((self._crash, self._crash, self._crash_at_effect)))
        for _ in range(rng.choice((0, 0, 2, 6))):
            self.later(rng.uniform(2, TROUBLED), self._cut)
        for _ in range(rng.choice((0, 0, 3))):
            self.later(rng.uniform(0, TROUBLED + 10), self._jump)
        for _ in range(rng.choice((0, 0, 0, 2))):
            self.later(rng.uniform(0, TROUBLED), rng.choice((self._lose_engine, self._go_down)))
        for _ in range(rng.choice((0, 0, 3))):
            self.later(rng.uniform(0, TROUBLED), self._fill)
        self.later(TROUBLED, self._heal)
        self._run(TROUBLED)
        self._run(TROUBLED + SEEN)
        self.blame(checks.seen(self.nodes))
        self._run(TROUBLED + PATIENCE, self._over)
        self._run(self.loop.now + 30.0)
        self._check_end()
        if self.faults:
            raise Violated("\n".join(self.faults))

    def _run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        while self.loop.now < until and not self.faults and not done():
            self.loop.run(min(until, self.loop.now + 1.0))

    def _over(self) -> bool:
        heard = all(front.concluded for front in self.fronts if front.sent)
        return heard and not any(node.hosting.jobs() for node in self.nodes)

    def _submit(self, number: int) -> None:
        rng = self.random
        node = rng.choice(self.nodes)
        job = f"{rng.getrandbits(48):012x}"
        cpus = rng.choice((0.5, 1.0, 2.0))
        lines, gap = rng.choice((0, 1, 5, 30)), rng.choice((0.001, 0.1, 1.0, 5.0))
        plan = (job, str(cpus), str(lines), str(gap), str(rng.choice((0, 0, 1, 7))), str(rng.random() < 0.1))
        target = rng.choice((None, None, *(other.name for other in self.nodes if other.sharing)))
        front = Front(self, node, plan, timeout=rng.choice((20.0, 60.0, 120.0)), target=target)
        self.fronts.append(front)
        self.trace(f"{node.name} submits {job} to {target}")
        front.begin()
        if rng.random() < self.malice:
            self._crash_at_effect()
        if rng.random() < self.malice:
            self.later(rng.expovariate(20), self._cut)
        if rng.random() < 0.2:
            self.later(rng.uniform(0, 30), front.detach)
        if rng.random() < 0.1:
            self.later(rng.uniform(0, 30), front.stop)

    def _boot(self, node: Node, dies_at: int = 0) -> None:
        if node.life is None:
            self.trace(f"{node.name} boots")
            node.boot(dies_at)
            if dies_at or node.machine.disk_full:
                self._boot_again(node)

    def _boot_again(self, node: Node) -> None:
        """Let somebody start its daemon again, whenever this one ends."""
        node.life.at_end.append(lambda: self.later(self.random.uniform(0.1, 10), self._boot, node))

    def _crash(self) -> None:
        node = self.random.choice(self.nodes)
        if node.life and not self.healed:
            self.trace(f"{node.name} is killed")
            node.crash()
            again = self.random.choice((0, 0, self.random.randint(1, 200)))
            self.later(self.random.choice((0.1, 3.0, 30.0)), self._boot, node, again)

    def _crash_at_effect(self, node: Node | None = None) -> None:
        node = node or self.random.choice(self.nodes)
        if node.life and not node.life.dies_at and not self.healed:
            life = node.life
            life.dies_at = life.effects + self.random.randint(1, 80)
            self._boot_again(node)

    def _cut(self) -> None:
        a, b = self.random.sample([node.address for node in self.nodes], 2)
        if not self.healed:
            pairs = self.random.choice(({(a, b)}, {(a, b), (b, a)}))
            self.trace(f"cut {sorted(pairs)}")
            self.lan.cut |= pairs
            self.later(self.random.choice((1.0, 20.0, 70.0)), self._mend, pairs)

    def _jump(self) -> None:
        node, jump = self.random.choice(self.nodes), self.random.choice((-TEN_YEARS, -3600.0, 3600.0, TEN_YEARS))
        self.trace(f"the clock of {node.name} jumps by {jump:.0f} s")
        node.machine.wall_offset += jump

    def _lose_engine(self) -> None:
        machine, restores = self.random.choice(self.nodes).machine, self.random.random() < 0.5
        if not self.healed:
            self.trace(f"the engine of {machine.name} goes, {'without' if restores else 'with'} its sandboxes")
            machine.lose_engine(restores)
            self.later(self.random.choice((0.5, 20.0)), setattr, machine, "engine_away", False)

    def _go_down(self) -> None:
        node = self.random.choice(self.nodes)
        if node.up and not self.healed:
            self.trace(f"{node.name} goes down")
            self._boot_again(node)
            node.go_down()

    def _fill(self) -> None:
        node = self.random.choice(self.nodes)
        if not self.healed:
            self._set_full(node, True)
            self.later(self.random.choice((0.1, 5.0, 50.0)), self._set_full, node, False)

    def _set_full(self, node: Node, full: bool) -> None:
        self.trace(f"the disk of {node.name} is {'full' if full else 'not full any more'}")
        node.machine.disk_full = full

    def _mend(self, pairs: set[tuple[str, str]]) -> None:
        self.lan.cut -= pairs

    def _heal(self) -> None:
        self.trace("healed")
        self.healed = True
        self.lan.cut, self.lan.loss, self.lan.doubling = set(), 0.0, 0.0
        for node in self.nodes:
            node.machine.engine_away = node.machine.disk_full = False
            if node.life:
                node.life.dies_at = 0
            else:
                self._boot(node)

    # What must be true.

    def _after_step(self, life: Life) -> None:
        if self.loop.steps % 16 == 0:
            self._check(next(node for node in self.nodes if life.name.startswith(f"{node.name}/")))

    def _check(self, node: Node) -> None:
        if node.up:
            self.blame(checks.books(node))
            self.blame(checks.used(node))
        self.blame(
            [f"{job} was started {deed.starts}" for job, deed in self.ledger.items() if len(deed.starts) > 1]
        )

    def _check_end(self) -> None:
        self.blame(self.loop.troubles)
        for node in self.nodes:
            self._check(node)
            self.blame(checks.left(node))
            self.blame(node.machine.troubles)
        for front in self.fronts:
            hosts = [node for node in self.nodes if front.placed in (None, node.name)]
            explained = any(node.machine.shaken for node in hosts) or front.job in self.stopped
            dropped = "kept_disk_limit" in front.gone and any(node.keeps == 0 for node in hosts)
            if not dropped:
                self.blame(checks.story(front, self.ledger.get(front.job), explained))


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


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    changes = {
        (gossip, "Link"): Wire,
        (links, "Link"): Wire,
        (disk, "_may_mount"): lambda: False,
        (disk, "_mounts_below"): lambda folder: [],
        (disk, "PERIOD"): 10.0,
        (disk, "RESERVE"): 0,
    }
    before = {(owner, name): getattr(owner, name) for owner, name in changes}
    for (owner, name), value in changes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
