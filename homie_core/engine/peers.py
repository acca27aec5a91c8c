"""Who is alive.

A heartbeat is a hint: it makes a node *heard* and asks for a probe. Only the answer to a probe, a hello over
mutual TLS pinned to the node's id, makes it *online* or moves it to another address. Silence is answered by
probes, so a peer that broadcast does not reach (manual, lossy Wi-Fi) stays online as long as it answers, and
one that somebody else's goodbye sent off is back soon.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, BeatKind, Capacity, Hello, Peer, Standing

SILENCE = 5.0
"""Seconds without a heartbeat after which a peer is probed; also the interval of those probes."""
LOST = 16.0
"""Seconds without a sign of life after which a peer is offline: 8 heartbeats, which 30 % loss never ate."""
FORGET = 600.0
"""Seconds after which an offline peer is no longer listed."""
MAX_BACKOFF = 8.0
"""Seconds between probes of an address that does not answer, at most: how long after a cut all is well again."""
MAX_PEERS = 2000
"""Only sealed heartbeats and proven hellos get this far; still, memory stays bounded."""


@dataclass(frozen=True)
class Probe:
    """Say hello to this address over TLS; `expect` is the id that must answer (None: whoever is there)."""

    address: str
    port: int
    expect: PeerId | None


@dataclass(frozen=True)
class Answer:
    """Send a heartbeat straight back to where one came from."""


@dataclass(frozen=True)
class Remember:
    """Write down that this name belongs to this id."""

    name: NodeName
    id: PeerId


@dataclass(frozen=True)
class Appeared:
    """A peer came online."""

    peer: Peer


@dataclass(frozen=True)
class Vanished:
    """A peer that was online is not any more."""

    peer: Peer


@dataclass(frozen=True)
class Impostor:
    """A node uses a name that belongs to another id. Its owner, or an attacker: a person must decide."""

    peer: Peer
    known: PeerId


Effect = Probe | Answer | Remember | Appeared | Vanished | Impostor
Place = tuple[str, int]


@dataclass
class _Entry:
    peer: Peer
    boot: int = -1
    seq: int = -1
    seen_at: float = 0.0
    probe_at: float = 0.0
    """Not before this time again."""
    failures: int = 0


@dataclass
class _Manual:
    """An address someone typed; `id` is known after its first hello."""

    id: PeerId | None = None
    probe_at: float = 0.0
    trouble: str = "not reached yet"


@dataclass
class PeerTable:
    """What one node knows of the others. `known` maps names to the ids they belong to."""

    me: PeerId
    known: dict[NodeName, PeerId] = field(default_factory=dict)
    _entries: dict[PeerId, _Entry] = field(default_factory=dict)
    _manual: dict[Place, _Manual] = field(default_factory=dict)

    def heard(self, beat: Beat, address: str, now: float) -> list[Effect]:
        """Take a heartbeat that was sealed with our group's key and came from `address`."""
        if beat.id == self.me:
            return []
        entry = self._entries.get(beat.id)
        if entry is None:
            if beat.kind is BeatKind.BYE or len(self._entries) >= MAX_PEERS:
                return []
            entry = self._entries[beat.id] = _Entry(
                _heard(beat.id, beat.name, address, beat.port, beat.capacity), seen_at=now
            )
        elif (beat.boot, beat.seq) <= (entry.boot, entry.seq):
            return []  # replayed, duplicated or overtaken
        entry.boot, entry.seq = beat.boot, beat.seq
        if beat.kind is BeatKind.BYE:
            return self._gone(entry, "it said goodbye")
        effects: list[Effect] = []
        if beat.kind is BeatKind.ASK:
            effects.append(Answer())
            entry.probe_at = now
        entry.seen_at = now
        entry.peer = replace(entry.peer, capacity=beat.capacity)
        return effects + self._hint(entry, address, beat.port, now)

    def greeted(self, id: PeerId, hello: Hello, address: str, now: float) -> list[Effect]:
        """Take the hello of a node that called us: its id is proven, whether it can be called is not."""
        if id == self.me or (id not in self._entries and len(self._entries) >= MAX_PEERS):
            return []
        entry = self._entries.get(id)
        if entry is None:
            peer = _heard(id, hello.name, address, hello.port, hello.capacity)
            entry = self._entries[id] = _Entry(peer, seen_at=now)
        return self._hint(entry, address, hello.port, now)

    def _hint(self, entry: _Entry, address: str, port: int, now: float) -> list[Effect]:
        """Someone may be at this address: probe it, unless it is proven or was tried just now."""
        moved = (entry.peer.address, entry.peer.port) != (address, port)
        unproven = entry.peer.standing in (Standing.HEARD, Standing.OFFLINE)
        if not (moved or unproven) or now < entry.probe_at:
            return []
        entry.probe_at = now + _backoff(entry.failures)
        return [Probe(address, port, entry.peer.id)]

    def proved(self, probe: Probe, id: PeerId, hello: Hello, now: float, rtt: float = 0.0) -> list[Effect]:
        """Take the answer to a probe: the node there proved over mutual TLS to be `id`, `rtt` seconds away."""
        if id == self.me:
            return []
        manual = self._manual.get((probe.address, probe.port))
        if manual:
            manual.id, manual.trouble = id, ""
        owner = self.known.get(hello.name)
        standing = Standing.ONLINE if owner in (None, id) else Standing.CHANGED
        before = self._entries.get(id)
        peer = Peer(
            id=id,
            name=hello.name,
            address=probe.address,
            port=probe.port,
            capacity=hello.capacity,
            standing=standing,
            last_seen=0.0,
            trouble="" if standing is Standing.ONLINE else _impostor_advice(hello.name),
            rtt=rtt,
        )
        entry = before or _Entry(peer)
        was = before.peer.standing if before else Standing.HEARD
        entry.peer, entry.seen_at, entry.failures, entry.probe_at = peer, now, 0, now + SILENCE
        entry.boot, entry.seq = hello.boot, hello.seq - 1
        self._entries[id] = entry
        effects: list[Effect] = []
        if owner is None:
            self.known[hello.name] = id
            effects.append(Remember(hello.name, id))
        if standing is not was:
            effects.append(Appeared(peer) if owner in (None, id) else Impostor(peer, owner))
        return effects

    def unreachable(self, probe: Probe, why: str, now: float) -> list[Effect]:
        """Take the failure of a probe. One at another address than the proven one changes nothing."""
        manual = self._manual.get((probe.address, probe.port))
        if manual:
            manual.trouble = why
        entry = self._entries.get(probe.expect) if probe.expect else None
        if entry is None:
            return []
        entry.failures += 1
        entry.probe_at = now + _backoff(entry.failures)
        proven = entry.peer.standing in (Standing.ONLINE, Standing.CHANGED)
        if proven and (entry.peer.address, entry.peer.port) != (probe.address, probe.port):
            return []
        if proven and now - entry.seen_at < SILENCE:
            return []
        return self._gone(entry, why)

    def tick(self, now: float) -> list[Effect]:
        """Do what time demands: probe the silent, drop the lost, forget the long gone."""
        effects: list[Effect] = []
        for place, manual in self._manual.items():
            if manual.id not in self._entries and now >= manual.probe_at:
                manual.probe_at = now + SILENCE
                effects.append(Probe(*place, manual.id))
        for id, entry in list(self._entries.items()):
            silent = now - entry.seen_at
            if entry.peer.standing in (Standing.ONLINE, Standing.CHANGED):
                if silent > LOST:
                    effects += self._gone(entry, f"silent for {silent:.0f} s")
                elif silent > SILENCE and now >= entry.probe_at:
                    entry.probe_at = now + SILENCE
                    effects.append(Probe(entry.peer.address, entry.peer.port, id))
            elif silent > FORGET:
                del self._entries[id]
            elif now >= entry.probe_at:
                entry.probe_at = now + _backoff(entry.failures)
                effects.append(Probe(entry.peer.address, entry.peer.port, id))
        return effects

    def add(self, address: str, port: int) -> Probe:
        """Take an address that someone typed; it is probed from now on until it is removed."""
        self._manual.setdefault((address, port), _Manual())
        return Probe(address, port, None)

    def remove(self, who: str) -> list[NodeName]:
        """Forget a node by its name or the beginning of its id; return the names that are free again.

        A node that was not used because the name belonged to another one may have it from now on.
        """
        wanted = who.lower()
        ids = {id for name, id in self.known.items() if name.lower() == wanted}
        if len(wanted) >= 4:
            ids |= {id for id in [*self._entries, *self.known.values()] if id.startswith(wanted)}
        names = [name for name, id in self.known.items() if id in ids]
        for name in names:
            del self.known[name]
        for id in ids:
            self._entries.pop(id, None)
        for place in [place for place, manual in self._manual.items() if manual.id in ids]:
            del self._manual[place]
        for entry in self._entries.values():
            if entry.peer.standing is Standing.CHANGED and entry.peer.name in names:
                entry.peer = replace(entry.peer, standing=Standing.HEARD)
                entry.probe_at = 0.0
        return names

    def remove_place(self, address: str, port: int) -> bool:
        """Forget a typed address; return whether it was known."""
        return self._manual.pop((address, port), None) is not None

    def peers(self, now: float) -> list[Peer]:
        """Return everyone known, by name, with the age of the last sign of life."""
        everyone = [replace(e.peer, last_seen=max(0.0, now - e.seen_at)) for e in self._entries.values()]
        return sorted(everyone, key=lambda peer: (peer.name.lower(), peer.id))

    def unreached(self) -> Mapping[Place, str]:
        """Return the typed addresses where nobody has answered yet, with the reason."""
        return {place: manual.trouble for place, manual in self._manual.items() if manual.id is None}

    def online(self) -> Iterable[Peer]:
        """Return the peers that can be used now."""
        return [e.peer for e in self._entries.values() if e.peer.standing is Standing.ONLINE]

    def _gone(self, entry: _Entry, why: str) -> list[Effect]:
        was = entry.peer.standing
        entry.peer = replace(entry.peer, standing=Standing.OFFLINE, trouble=why)
        return [Vanished(entry.peer)] if was is Standing.ONLINE else []


def _backoff(failures: int) -> float:
    return min(MAX_BACKOFF, float(2 ** min(failures, 3)))


def _heard(id: PeerId, name: NodeName, address: str, port: int, capacity: Capacity) -> Peer:
    return Peer(
        id=id,
        name=name,
        address=address,
        port=port,
        capacity=capacity,
        standing=Standing.HEARD,
        last_seen=0.0,
        trouble="heard of, not proven yet",
    )


def _impostor_advice(name: str) -> str:
    return (
        f"another machine was known as {name}. If its owner confirms the change, run `homie remove {name}`; "
        "until then it is not used"
    )
