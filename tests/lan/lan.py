"""A LAN in memory: the real peer tables, a network that loses and cuts, one seed, no clock but this one."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

from homie_core.engine.peers import Answer, PeerTable, Probe
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, BeatKind, Capacity, Hello

CAPACITY = Capacity(cores=2, cpu_percent=0.0, ram_total=1 << 30, ram_free=1 << 29, sharing=True)
DELAY = 0.004


@dataclass
class Host:
    id: PeerId
    name: NodeName
    address: str
    table: PeerTable
    boot: int = 1
    seq: int = 0
    up: bool = True


@dataclass
class Lan:
    nodes: int
    lose: float = 0.0
    seed: int = 0
    now: float = 0.0
    hosts: list[Host] = field(default_factory=list)
    cut: set[tuple[str, str]] = field(default_factory=set)
    """Pairs (from, to) of addresses between which nothing passes."""
    datagrams: int = 0

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self._order = itertools.count()
        self._agenda = []
        for number in range(self.nodes):
            id = PeerId(f"{number:064x}")
            address = f"10.0.{number // 250}.{number % 250 + 1}"
            host = Host(id, NodeName(f"node{number}"), address, PeerTable(id))
            self.hosts.append(host)
            self.at(self.random.uniform(0, 1), self.boot, host)

    def at(self, when, action, *args):
        heapq.heappush(self._agenda, (when, next(self._order), action, args))

    def run(self, until):
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, action, args = heapq.heappop(self._agenda)
            action(*args)
        self.now = until

    def boot(self, host):
        host.up = True
        self._beat(host, host.boot, 0)

    def crash(self, host):
        host.up = False
        host.boot += 1

    def restart(self, host):
        host.table = PeerTable(host.id)
        self.boot(host)

    def sees(self, host):
        return {peer.id for peer in host.table.online()}

    def everyone_sees_everyone(self):
        everyone = {host.id for host in self.hosts if host.up}
        return all(self.sees(host) == everyone - {host.id} for host in self.hosts if host.up)

    def _beat(self, host, boot, number):
        if not host.up or host.boot != boot:
            return
        beat = self._make_beat(host, BeatKind.ASK if number < 3 else BeatKind.HERE)
        for other in self.hosts:
            if other is not host:
                self._send(host, other, beat)
        host.seq += 1
        self._perform(host, host.table.tick(self.now), None)
        pause = (0.25, 0.75)[number] if number < 2 else 2.0
        self.at(self.now + pause * self.random.uniform(0.9, 1.1), self._beat, host, boot, number + 1)

    def _make_beat(self, host, kind):
        return Beat(
            id=host.id, name=host.name, boot=host.boot, seq=host.seq, port=5556, capacity=CAPACITY, kind=kind
        )

    def _send(self, host, other, beat):
        self.datagrams += 1
        if self.random.random() < self.lose or (host.address, other.address) in self.cut:
            return
        self.at(self.now + DELAY * self.random.uniform(0.5, 2), self._arrive, other, beat, host)

    def _arrive(self, host, beat, sender):
        if host.up:
            self._perform(host, host.table.heard(beat, sender.address, self.now), sender)

    def _perform(self, host, effects, sender):
        for effect in effects:
            if isinstance(effect, Probe):
                self.at(self.now + DELAY, self._probe, host, effect)
            elif isinstance(effect, Answer):
                self._send(host, sender, self._make_beat(host, BeatKind.HERE))
                host.seq += 1

    def _probe(self, host, probe):
        there = next((other for other in self.hosts if other.address == probe.address and other.up), None)
        ways = {(host.address, probe.address), (probe.address, host.address)}
        if not host.up:
            return
        if there is None or ways & self.cut or (probe.expect and there.id != probe.expect):
            self._perform(host, host.table.unreachable(probe, "no answer", self.now), None)
            return
        mine, theirs = (
            Hello(
                protocol=1,
                version="0",
                name=each.name,
                port=5556,
                boot=each.boot,
                seq=each.seq,
                capacity=CAPACITY,
            )
            for each in (host, there)
        )
        self._perform(there, there.table.greeted(host.id, mine, host.address, self.now), None)
        self._perform(host, host.table.proved(probe, there.id, theirs, self.now), None)
