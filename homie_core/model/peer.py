"""Who is there, and what they offer."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated

from msgspec import Meta

from homie_core.model.names import NodeName, PeerId
from homie_core.model.wire import Frozen

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=0, lt=2**60)]
Address = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:%a-z]{2,60}\Z")]
"""An IP address as text (never a host name: those are resolved where they are typed)."""


LIMIT_NAMES = ("memory", "processes", "cpu", "disk")
"""The limits of a job whose hold differs from host to host."""


class Holds(Enum):
    """How well a limit holds on a host, as its self-test saw it."""

    EXACT = "exact"
    """The kernel enforces it."""
    SOFT = "soft"
    """Somebody looks from time to time; it may be passed for a moment."""
    NOT = "not"
    """Nothing enforces it."""


Held = Annotated[str, Meta(pattern=r"^([esn]{4})?\Z")]
"""How each of `LIMIT_NAMES` holds, as one letter each, since it is in every heartbeat; empty if not known."""


def abridge(holds: Mapping[str, Holds]) -> Held:
    """Return it as letters."""
    return "".join(holds.get(name, Holds.NOT).value[0] for name in LIMIT_NAMES)


def unabridge(held: Held) -> dict[str, Holds]:
    """Return what the letters say; nothing if it is not known."""
    letters = {how.value[0]: how for how in Holds}
    return {name: letters[letter] for name, letter in zip(LIMIT_NAMES, held, strict=False)}


class Gpu(Frozen, frozen=True):
    """One graphics card; VRAM in bytes."""

    name: Annotated[str, Meta(max_length=80)]
    uuid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,80}\Z")]
    vram_total: Bytes
    vram_free: Bytes
    taken: bool = False
    """Whether a job has it now."""


class Capacity(Frozen, frozen=True):
    """What a node has and offers at this moment."""

    cores: Annotated[int, Meta(ge=1, le=4096)]
    cpu_percent: Annotated[float, Meta(ge=0, le=100)]
    """Use of all cores together, by anyone."""
    ram_total: Bytes
    ram_free: Bytes
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=16)] = ()
    running: Count = 0
    """Jobs in a sandbox now."""
    queued: Count = 0
    """Jobs that wait for room."""
    free_cpus: Annotated[float, Meta(ge=0, le=4096)] = 0.0
    """Cores that no accepted job has reserved."""
    free_memory: Bytes = 0
    """Memory that may be lent and that no accepted job has reserved."""
    free_jobs: Count = 1_000_000
    """So many more jobs could start, as far as slots and disk go."""
    max_cpus: Annotated[float, Meta(ge=0, le=4096)] = 0.0
    """The most that one job gets: the owner's limit."""
    max_memory: Bytes = 0
    sharing: bool = False
    """Whether this node takes jobs at all: it has a sandbox, and its owner lends it."""
    held: Held = ""
    """How well the limits of jobs hold here."""
    warm: Count = 0
    """Sandboxes that wait, started, for the next job."""
    sessions: bool = True
    """Whether the packages of sessions are there; if not, the first one waits for them."""


class BeatKind(Enum):
    """Why a heartbeat was sent."""

    HERE = "here"
    """I am here (regular)."""
    ASK = "ask"
    """I am new: answer me directly."""
    BYE = "bye"
    """I am leaving."""


class Beat(Frozen, frozen=True):
    """One heartbeat: a hint that a node is at the address it came from. Sealed with the group's key."""

    id: PeerId
    name: NodeName
    boot: Annotated[int, Meta(ge=0, lt=2**62)]
    """Grows with every start of that daemon; with `seq` it makes old heartbeats recognisable."""
    seq: Annotated[int, Meta(ge=0, lt=2**62)]
    port: Port
    """Where its peer API listens (TCP)."""
    capacity: Capacity
    kind: BeatKind = BeatKind.HERE


class Hello(Frozen, frozen=True):
    """What two nodes tell each other first, over mutual TLS; only this makes a peer *online*."""

    protocol: Annotated[int, Meta(ge=0, le=1_000_000)]
    version: Annotated[str, Meta(max_length=40)]
    name: NodeName
    port: Port
    boot: Annotated[int, Meta(ge=0, lt=2**62)]
    seq: Annotated[int, Meta(ge=0, lt=2**62)]
    """Of its next heartbeat: whatever someone forged under its name before is put right by this."""
    capacity: Capacity


class Standing(Enum):
    """How a known peer stands with us now."""

    HEARD = "heard"
    """Heard of, not yet proven."""
    ONLINE = "online"
    """Proven by a hello over mutual TLS and heard from lately."""
    OFFLINE = "offline"
    """Silent, unreachable, or gone with a goodbye."""
    CHANGED = "changed"
    """Uses the name of a node with another key: not used until its owner is asked."""


class Peer(Frozen, frozen=True):
    """A node of my group as I know it."""

    id: PeerId
    name: NodeName
    address: Address
    port: Port
    capacity: Capacity
    standing: Standing
    last_seen: float
    """Seconds since it was last heard of (age, not a date)."""
    trouble: str = ""
    """Why it is not online, in words; empty when it is."""
    trusted: bool = False
    """Whether a notebook of this user shows its outputs unfiltered."""
    rtt: float = 0.0
    """Seconds from a question to its answer, when it was last asked who it is; 0: not measured."""
