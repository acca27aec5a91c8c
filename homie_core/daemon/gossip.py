"""Who is there: heartbeats go out, heartbeats and hellos come in, the peer table decides, this performs."""

import asyncio
import itertools
import logging
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from homie_core import __version__
from homie_core.daemon.tasks import Tasks
from homie_core.engine.peers import Answer, Appeared, Effect, Impostor, PeerTable, Probe, Remember, Vanished
from homie_core.model.errors import HomieError, PeerUnreachable
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, BeatKind, Capacity, Hello, Peer
from homie_core.model.wire import PROTOCOL
from homie_core.net.discovery import Discovery
from homie_core.net.link import Link

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between heartbeats, give or take a tenth, so that nodes do not fall into step."""
BURST = (0.0, 0.25, 0.75)
"""Pauses before the first heartbeats: a newcomer is seen at once even if one is lost."""


ECHOES = 2
"""Hellos more by which the round trip to a peer is measured."""


@dataclass(frozen=True)
class Me:
    """What this node says of itself."""

    id: PeerId
    name: NodeName
    port: int
    boot: int
    capacity: Callable[[], Capacity]


class Gossip:
    """Keeps the peer table true; `remember` stores a name that was seen for the first time."""

    def __init__(
        self,
        me: Me,
        table: PeerTable,
        context: ssl.SSLContext,
        open_discovery: Callable[[Callable[[Beat, tuple[str, int]], None]], Discovery],
        remember: Callable[[NodeName, PeerId], None],
    ) -> None:
        self._me, self._table, self._context, self._remember = me, table, context, remember
        self.discovery = open_discovery(self._heard)
        self._seq = 0
        self._tasks = Tasks()

    async def open(self) -> None:
        await self.discovery.open()
        self._tasks.start(self._beat(), "heartbeats")

    async def close(self) -> None:
        """Say goodbye and stop."""
        await self._tasks.cancel()
        for _ in range(3):
            self.discovery.send(self._make_beat(BeatKind.BYE))
        self.discovery.close()

    def greeted(self, caller: PeerId, address: str, hello: Hello) -> Hello:
        """Answer the hello of a node that called us."""
        check_protocol(hello)
        self._perform(self._table.greeted(caller, hello, address, time.monotonic()), None)
        return self._make_hello()

    def peers(self) -> list[Peer]:
        return self._table.peers(time.monotonic())

    async def add(self, address: str, port: int) -> Peer:
        """Take a typed address and say hello there now; raise if nobody of the group answers."""
        id = await self._probe(self._table.add(address, port))
        return next(peer for peer in self.peers() if peer.id == id)

    def announce(self) -> None:
        """Tell everyone at once that something has changed, not with the next heartbeat."""
        self.discovery.send(self._make_beat(BeatKind.HERE))

    async def _beat(self) -> None:
        pauses = itertools.chain(BURST, itertools.repeat(INTERVAL))
        for number, pause in enumerate(pauses):
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311  (no secret)
            kind = BeatKind.ASK if number < len(BURST) else BeatKind.HERE
            self.discovery.send(self._make_beat(kind))
            self._perform(self._table.tick(time.monotonic()), None)

    def _make_hello(self) -> Hello:
        me = self._me
        return Hello(
            protocol=PROTOCOL,
            version=__version__,
            name=me.name,
            port=me.port,
            boot=me.boot,
            seq=self._seq + 1,
            capacity=me.capacity(),
        )

    def _make_beat(self, kind: BeatKind) -> Beat:
        me = self._me
        self._seq += 1
        return Beat(
            id=me.id,
            name=me.name,
            boot=me.boot,
            seq=self._seq,
            port=me.port,
            capacity=me.capacity(),
            kind=kind,
        )

    def _heard(self, beat: Beat, source: tuple[str, int]) -> None:
        self._perform(self._table.heard(beat, source[0], time.monotonic()), source)

    def _perform(self, effects: list[Effect], source: tuple[str, int] | None) -> None:
        for effect in effects:
            match effect:
                case Probe():
                    self._tasks.start(self._try_probe(effect), f"probe {effect.address}:{effect.port}")
                case Answer():
                    assert source is not None
                    self.discovery.send_to(self._make_beat(BeatKind.HERE), source)
                case Remember(name, id):
                    self._remember(name, id)
                case Appeared(peer):
                    log.info("%s is online (%s:%d, %s)", peer.name, peer.address, peer.port, peer.id[:12])
                case Vanished(peer):
                    log.info("%s is offline: %s", peer.name, peer.trouble)
                case Impostor(peer, known):
                    log.warning(
                        "ANOTHER MACHINE CALLS ITSELF %s: its key is %s, the known one %s (address %s). It is not "
                        "used. If its owner confirms the change: homie remove %s",
                        *(peer.name, peer.id[:12], known[:12], peer.address, peer.name),
                    )
                case _:
                    assert_never(effect)

    async def _try_probe(self, probe: Probe) -> None:
        try:
            await self._probe(probe)
        except HomieError as error:
            log.debug("probe of %s:%d: %s", probe.address, probe.port, error)

    async def _probe(self, probe: Probe) -> PeerId:
        try:
            async with (
                asyncio.timeout(6.0),
                Link(probe.address, probe.port, probe.expect, self._context) as link,
            ):
                id, hello = await link.hello(self._make_hello())
                check_protocol(hello)
                rtt = await self._round_trip(link)
        except (HomieError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            self._perform(self._table.unreachable(probe, why, time.monotonic()), None)
            raise PeerUnreachable(why) from error
        self._perform(self._table.proved(probe, id, hello, time.monotonic(), rtt), None)
        return id

    async def _round_trip(self, link: Link) -> float:
        """Return how many seconds an answer takes over a link that stands: the quickest of a few."""
        took = []
        for _ in range(ECHOES):
            asked = time.monotonic()
            await link.hello(self._make_hello())
            took.append(time.monotonic() - asked)
        return min(took)


def check_protocol(hello: Hello) -> None:
    """Refuse a node that speaks another major version, naming both."""
    if hello.protocol != PROTOCOL:
        raise PeerUnreachable(
            f"{hello.name} speaks protocol {hello.protocol} (Homie {hello.version}), this node {PROTOCOL} "
            f"(Homie {__version__}); upgrade the older one with `pip install -U homie-compute`"
        )
