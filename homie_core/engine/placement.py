"""Which peer takes my job, and why that one."""

from collections.abc import Iterable
from typing import Any

from homie_core.engine import cards
from homie_core.model.errors import NoPeer
from homie_core.model.gpu import short_name
from homie_core.model.job import Ask, Kind
from homie_core.model.peer import Peer, Standing
from homie_core.model.quantity import show_size

FAR = (0.05, 0.2)
"""Seconds of a round trip from which a peer counts as far, and as very far; below, they are all equal."""


def choose(
    peers: Iterable[Peer], ask: Ask, node: str | None = None, kind: Kind = Kind.SCRIPT
) -> list[tuple[Peer, str]]:
    """Return the peers that can take the job, best first, each with the reason; raise NoPeer if none can.

    With `node` (a name or the beginning of an id) only that peer is considered.
    """
    known = list(peers)
    named = [find(known, node)] if node is not None else known
    obstacles = {peer.id: obstacle(peer, ask) for peer in named}
    fit = [peer for peer in named if not obstacles[peer.id]]
    if fit:
        return [(peer, _reason(peer, ask, kind)) for peer in sorted(fit, key=lambda peer: _rank(peer, ask, kind))]
    if not named:
        raise NoPeer(
            "no peer is here yet. Run `homie up` on another machine of this network with the same group "
            "secret, or name one with `homie add HOST`"
        )
    reasons = "; ".join(f"{peer.name}: {obstacles[peer.id]}" for peer in named[:8])
    less = any(ask.gpu and cards.lack(peer.capacity.gpus, ask.gpu) for peer in named)
    advice = f"{'Ask for less with --gpu or --vram, or see' if less else 'See'} `homie peers`"
    raise NoPeer(f"no peer can take this job. {reasons}. {advice}")


def refused(peers: Iterable[Peer], ask: Ask, node: str | None = None) -> list[tuple[Peer, str]]:
    """Return the peers that were considered and cannot take the job, each with the reason; as for `choose`."""
    known = list(peers)
    named = [find(known, node)] if node is not None else known
    return [(peer, why) for peer in named if (why := obstacle(peer, ask))]


def find(peers: Iterable[Peer], wanted: str) -> Peer:
    """Return the peer with this name, or whose id begins so; raise NoPeer if none or several do."""
    known = list(peers)
    hits = [peer for peer in known if peer.name.lower() == wanted.lower()]
    if not hits and len(wanted) >= 4:
        hits = [peer for peer in known if peer.id.startswith(wanted.lower())]
    trusted = [peer for peer in hits if peer.standing is not Standing.CHANGED]
    if len(trusted) == 1:
        return trusted[0]
    if len(hits) == 1:
        return hits[0]
    if hits:
        ids = ", ".join(peer.id[:12] for peer in hits)
        raise NoPeer(f"{wanted} is not unique: {ids}. Use the beginning of an id instead of the name")
    names = ", ".join(sorted(peer.name for peer in known)) or "nobody"
    raise NoPeer(f"no peer is called {wanted}. Here now: {names}. See `homie peers`")


def obstacle(peer: Peer, ask: Ask) -> str:
    """Return why this peer cannot take the job, in words; empty if it can."""
    has = peer.capacity
    if peer.standing is not Standing.ONLINE:
        return peer.trouble or peer.standing.value
    if not has.sharing:
        return "takes no jobs"
    if ask.gpu and (lack := cards.lack(has.gpus, ask.gpu)):
        return lack
    if ask.cpus is not None and ask.cpus > has.max_cpus:
        return f"lends a job at most {has.max_cpus:g} cores"
    if ask.memory is not None and ask.memory > has.max_memory:
        return f"lends a job at most {show_size(has.max_memory)} of memory"
    return ""


def _has_room(peer: Peer, ask: Ask) -> bool:
    has = peer.capacity
    cpus = ask.cpus or has.max_cpus
    memory = ask.memory or has.max_memory
    is_free = has.queued == 0 and has.free_jobs > 0 and has.free_cpus + 1e-9 >= cpus and has.free_memory >= memory
    return is_free and (ask.gpu is None or bool(cards.pick(has.gpus, ask.gpu)))


def _rank(peer: Peer, ask: Ask, kind: Kind) -> tuple[Any, ...]:
    """Smaller is better: room at once, then a short queue, what sessions need in place, enough idle cores for the
    job, near, the cards that suit best, a sandbox that waits, the most idle cores.
    """
    has = peer.capacity
    waiting = 0 if _has_room(peer, ask) else has.queued + has.running
    idle = has.cores * (1 - has.cpu_percent / 100)
    return (
        not _has_room(peer, ask),
        waiting,
        _is_unready(peer, kind),
        idle < (ask.cpus or has.max_cpus),
        _far(peer),
        cards.suits(has.gpus, ask.gpu) if ask.gpu else (False, 0, 0),
        not has.warm,
        -idle,
        peer.id,
    )


def _is_unready(peer: Peer, kind: Kind) -> bool:
    return kind is Kind.SESSION and not peer.capacity.sessions


def _far(peer: Peer) -> int:
    return sum(peer.rtt >= limit for limit in FAR)


def _reason(peer: Peer, ask: Ask, kind: Kind) -> str:
    notes = [f"{peer.rtt * 1000:.0f} ms away"] if _far(peer) else []
    notes += ["the packages of sessions are not ready there yet"] if _is_unready(peer, kind) else []
    return ", ".join([_offers(peer, ask), *notes])


def _offers(peer: Peer, ask: Ask) -> str:
    has = peer.capacity
    if not _has_room(peer, ask):
        return f"{has.running} running, {has.queued} waiting there"
    if ask.gpu:
        got = cards.pick(has.gpus, ask.gpu)
        return " and ".join(f"{short_name(card.name)}, {show_size(card.vram_free)} of VRAM free" for card in got)
    return f"{has.cores} cores, {has.cpu_percent:.0f} % busy, {show_size(has.ram_free)} of memory free"
