"""What goes wrong on a simulated LAN until it is healed: each trouble strikes somebody, and most pass."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes import Node

if TYPE_CHECKING:
    from people import Front
    from world import World

TROUBLED = 120.0
"""Seconds in which things go wrong; then all is healed."""
TEN_YEARS = 10 * 365 * 86400.0


class Troubles:
    """All that can happen to the nodes of a world."""

    def __init__(self, world: "World") -> None:
        self.world, self.random, self.trace = world, world.random, world.trace
        self.healed = False
        self.cuts: list[tuple[set[str], float, float]] = []
        """Between whom, from when, until when."""

    def plan(self) -> None:
        """Decide how much of what happens when."""
        often = self._often
        often((0, 2, 5, 12), 2, self.crash, self.crash, self.crash_at_effect)
        often((0, 0, 2, 6), 2, self.cut)
        often((0, 0, 3), 0, self.jump)
        often((0, 0, 0, 2), 0, self.lose_engine, self.go_down)
        often((0, 0, 3), 0, self.fill)
        often((0, 0, 0, 3), 10, self.sleep, self.lose_power)
        often((0, 0, 0, 1), 10, self.go_for_good)
        self.world.later(TROUBLED, self._heal)

    def _often(self, times: tuple[int, ...], first: float, *troubles: Callable[[], None]) -> None:
        for _ in range(self.random.choice(times)):
            self.world.later(self.random.uniform(first, TROUBLED), self.strike, self.random.choice(troubles))

    def strike(self, trouble: Callable[..., None], *whom: Any) -> None:
        """Let this happen, unless all is healed."""
        if not self.healed:
            trouble(*whom)

    def boot(self, node: Node, dies_at: int = 0) -> None:
        if node.life is None and not node.gone:
            self.trace(f"{node.name} boots")
            node.boot(dies_at)
            if dies_at or node.machine.disk_full:
                self._boot_again(node)

    def _boot_again(self, node: Node) -> None:
        """Let somebody start its daemon again, whenever this one ends."""
        node.life.at_end.append(lambda: self.world.later(self.random.uniform(0.1, 10), self.boot, node))

    def _any(self) -> Node:
        return self.random.choice([node for node in self.world.nodes if not node.gone])

    def _victim(self) -> Node:
        """Return one to which something happens that may move a job with a lease."""
        node = self._any()
        node.struck_at = self.world.loop.now
        return node

    def haunt(self, front: "Front") -> None:
        """Let the host of a job be away for long, or for good."""
        host = next((node for node in self.world.present if node.name == front.host), None)
        if host and host is not front.node and not front.concluded:
            host.struck_at = self.world.loop.now
            both = host.address, front.node.address
            match self.random.choice(("killed", "killed", "mute", "deaf and mute", "asleep", "down", "gone")):
                case "killed":
                    self._kill(host, 70.0)
                case "mute":
                    self._cut({both}, 70.0)
                case "deaf and mute":
                    self._cut({both, both[::-1]}, 70.0)
                case "asleep":
                    self._sleep(host, 70.0)
                case "down":
                    self._go_down(host)
                case "gone":
                    self._go_for_good(host)

    def crash(self) -> None:
        self._kill(self._victim(), self.random.choice((0.1, 3.0, 30.0)))

    def _kill(self, node: Node, seconds: float) -> None:
        if node.life:
            self.trace(f"{node.name} is killed")
            node.crash()
            again = self.random.choice((0, 0, self.random.randint(1, 200)))
            self.world.later(seconds, self.boot, node, again)

    def crash_at_effect(self) -> None:
        node = self._victim()
        if node.life and not node.life.dies_at:
            life = node.life
            life.dies_at = life.effects + self.random.randint(1, 80)
            self._boot_again(node)

    def lose_power(self) -> None:
        node = self._victim()
        self.trace(f"{node.name} loses its power")
        node.lose_power()
        self.world.later(self.random.choice((3.0, 30.0)), self.boot, node)

    def go_for_good(self) -> None:
        self._go_for_good(self._victim())

    def _go_for_good(self, node: Node) -> None:
        if node.number and len(self.world.nodes) > 2:
            self.trace(f"{node.name} goes for good")
            node.gone = True
            node.lose_power()

    def sleep(self) -> None:
        self._sleep(self._victim(), self.random.choice((3.0, 20.0, 70.0)))

    def _sleep(self, node: Node, seconds: float) -> None:
        seconds = min(seconds, TROUBLED - self.world.loop.now)
        if not node.machine.asleep:
            self.trace(f"{node.name} sleeps for {seconds:.0f} s")
            self.world.loop.suspend(node.machine.clock, seconds)

    def cut(self) -> None:
        a, b = self.random.sample([node.address for node in self.world.nodes], 2)
        self._cut(self.random.choice(({(a, b)}, {(a, b), (b, a)})), self.random.choice((1.0, 20.0, 70.0)))

    def _cut(self, pairs: set[tuple[str, str]], seconds: float) -> None:
        self.trace(f"cut {sorted(pairs)} for {seconds:.0f} s")
        self.cuts += [(set(pair), self.world.loop.now, self.world.loop.now + seconds) for pair in pairs]
        self.world.lan.cut |= pairs
        self.world.later(seconds, self.world.lan.cut.difference_update, pairs)

    def longest_cut(self, one: Node, other: Node) -> float:
        """Return for how many seconds they could not talk in one piece, cuts that overlap taken together."""
        longest, since, end = 0.0, 0.0, -1.0
        for ends, begin, until in sorted(self.cuts, key=lambda cut: cut[1]):
            if ends == {one.address, other.address}:
                since = since if begin <= end + 5.0 else begin
                end = max(end, until)
                longest = max(longest, end - since)
        return longest

    def jump(self) -> None:
        node, jump = self._any(), self.random.choice((-TEN_YEARS, -3600.0, 3600.0, TEN_YEARS))
        self.trace(f"the clock of {node.name} jumps by {jump:.0f} s")
        node.machine.wall_offset += jump

    def lose_engine(self) -> None:
        machine, restores = self._victim().machine, self.random.random() < 0.5
        self.trace(f"the engine of {machine.name} goes, {'without' if restores else 'with'} its sandboxes")
        machine.lose_engine(restores)
        self.world.later(self.random.choice((0.5, 20.0)), setattr, machine, "engine_away", False)

    def go_down(self) -> None:
        self._go_down(self._victim())

    def _go_down(self, node: Node) -> None:
        if node.up:
            self.trace(f"{node.name} goes down")
            self._boot_again(node)
            node.go_down()

    def fill(self) -> None:
        node = self._victim()
        self._set_full(node, True)
        self.world.later(self.random.choice((0.1, 5.0, 50.0)), self._set_full, node, False)

    def _set_full(self, node: Node, full: bool) -> None:
        self.trace(f"the disk of {node.name} is {'full' if full else 'not full any more'}")
        node.machine.disk_full = full

    def _heal(self) -> None:
        self.trace("healed")
        self.healed = True
        self.world.lan.heal()
        for node in self.world.nodes:
            node.machine.engine_away = node.machine.disk_full = False
            if node.life:
                node.life.dies_at = 0
            else:
                self.boot(node)
