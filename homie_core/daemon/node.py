"""The composition root: one node, wired from its parts. It decides nothing."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec.structs import replace

from homie_core import __version__
from homie_core.config import Config, split_peer
from homie_core.daemon.gossip import Gossip, Me
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.jobs import Jobs
from homie_core.daemon.links import Links
from homie_core.daemon.memory import give_back
from homie_core.daemon.offer import Offer
from homie_core.daemon.reception import Reception
from homie_core.daemon.runs import Runs
from homie_core.daemon.tasks import Tasks
from homie_core.engine.peers import PeerTable
from homie_core.engine.placement import find
from homie_core.host.machine import addresses, interfaces
from homie_core.model.control import AddPeer, JobView, Status
from homie_core.model.errors import HomieError, NoPeer
from homie_core.model.peer import Beat, Peer, Standing
from homie_core.net import tls
from homie_core.net.control import ControlServer
from homie_core.net.discovery import Discovery
from homie_core.net.seal import Seal
from homie_core.net.server import PeerServer
from homie_core.store import identity
from homie_core.store.journal import open_journal
from homie_core.store.pins import Pins
from homie_core.store.steady import Steady
from homie_core.store.trusted import Trusted

log = logging.getLogger(__name__)

SOCKET = "control.sock"
TICK = 5.0
"""Seconds between looks at what time alone decides."""
REMEMBER = 30 * 86400.0
"""Seconds for which it is known where a job was sent."""
GIVE_BACK = 60.0
"""Seconds after which a node that is never without a job gives back memory."""
FAREWELL = 12.0
"""Seconds that running jobs get to end when this node goes."""


class Node:
    """One node of the group; to its user it is what `net.control.Control` says."""

    def __init__(self, home: Path, config: Config) -> None:
        self._config = config
        self._group = identity.Group.from_secret(config.group_secret)
        credentials = identity.credentials(home, self._group)
        keys = (credentials.cert_file, credentials.key_file, credentials.ca_pem)
        self._id = credentials.peer_id
        self._leaving = asyncio.Event()
        self._tasks = Tasks()
        self._pins = Pins.load(home)
        self._trusted = Trusted.load(home)
        self._journal = open_journal(home / "journal.db")
        self._clock = Steady(home / "clock")
        self._offer = Offer(home, config, self._journal.damage)
        self._hosting = Hosting(
            self._id,
            home / "jobs",
            self._offer.admission,
            self._journal,
            config.kept_disk_limit,
            wall=self._clock.now,
            pool_size=config.sandbox_pool,
        )
        client = tls.client_context(*keys)
        me = Me(
            id=self._id,
            name=config.name,
            port=config.worker_port,
            boot=identity.next_boot(home, time.time()),
            capacity=self._offer.capacity,
        )
        self._table = PeerTable(self._id, self._pins.all())
        self._gossip = Gossip(me, self._table, client, self._discovery, self._pins.remember)
        links = Links(self.peers, client)
        self._runs = Runs(self._journal, links, self._clock.now)
        jobs = Jobs(self._journal, links, self._runs, self._hosted, self._clock.now)
        self._server = PeerServer(Reception(self._hosting), self._gossip.greeted, tls.server_context(*keys))
        self._control = ControlServer(self, self._runs, jobs, home / SOCKET)

    async def run(self, ready: Callable[[], None]) -> None:
        """Be a node until `shutdown`; call `ready` when everything listens."""
        async with AsyncExitStack() as stack:
            stack.callback(self._journal.close)
            stack.push_async_callback(self._offer.close)  # after the task that still uses its engine
            stack.push_async_callback(self._tasks.cancel)
            self._journal.purge(self._clock.now() - REMEMBER)
            if self._journal.damage:
                log.error("%s", self._journal.damage)
            else:
                self._hosting.recover()
                self._runs.care.recover()
            await self._listen()
            stack.push_async_callback(self._server.close)
            stack.push_async_callback(self._runs.close)
            await self._gossip.open()
            stack.push_async_callback(self._gossip.close)
            await self._control.open()
            stack.push_async_callback(self._control.close)
            stack.push_async_callback(self._hosting.close, FAREWELL)
            preparing = self._offer.prepare(self._id, self._hosting, self._gossip.announce)
            self._tasks.start(preparing, "prepare the sandbox")
            self._tasks.start(self._tick(), "tick")
            for peer in self._config.peers:
                self._tasks.start(self._add_known(peer), f"add {peer}")
            ready()
            await self._leaving.wait()
            log.info("shutting down")

    def shutdown(self) -> None:
        """End this node; `run` returns when everything is closed."""
        self._leaving.set()

    # What the user asks: see net.control.Control.

    def status(self) -> Status:
        discovery = self._gossip.discovery
        heard = "; another group was heard too: a mistyped secret?" if discovery.strangers else ""
        admission = self._offer.admission
        return Status(
            name=self._config.name,
            id=self._id,
            group=self._group.id,
            version=__version__,
            pid=os.getpid(),
            port=self._config.worker_port,
            discovery=(discovery.trouble or f"on, UDP port {self._config.discovery_port}") + heard,
            sandbox=self._offer.sandbox,
            trouble=self._offer.trouble,
            preparing=self._offer.preparing,
            limits=self._offer.limits,
            warning=self._offer.warning,
            damage=self._journal.damage,
            addresses=self._addresses(),
            free_cpus=admission.free_cpus,
            free_memory=admission.free_memory,
        )

    def peers(self) -> list[Peer]:
        return [replace(peer, trusted=peer.id in self._trusted) for peer in self._gossip.peers()]

    async def add_peer(self, wanted: AddPeer) -> Peer:
        return await self._gossip.add(await _resolve(wanted.host), wanted.port)

    async def remove_peer(self, who: str) -> None:
        """Forget a peer by name, by the beginning of its id, or by a typed address."""
        names = self._table.remove(who)
        for name in names:
            if id := self._pins.known(name):
                self._trusted.discard(id)
            self._pins.forget(name)
        if names:
            return
        try:
            host, port = split_peer(who)
            if self._table.remove_place(await _resolve(host), port):
                return
        except (ValueError, NoPeer) as error:
            log.debug("%s is no address: %s", who, error)
        raise NoPeer(f"nobody called {who} is known. See `homie peers`")

    def trust_peer(self, who: str) -> Peer:
        """Trust a peer by name or by the beginning of its id: the node that has this key, under any name."""
        peer = find(self.peers(), who)
        if peer.standing is Standing.CHANGED:
            raise NoPeer(f"{peer.name} is not trusted: {peer.trouble}")
        if peer.standing is Standing.HEARD:
            raise NoPeer(f"{peer.name} has not shown its key yet; try again when `homie peers` shows it online")
        self._trusted.add(peer.id)
        log.info("%s is trusted now", peer.name, extra={"peer": peer.id})
        return replace(peer, trusted=True)

    def untrust_peer(self, who: str) -> None:
        """Trust a peer no longer, also one that is not there: by name or by the beginning of its id."""
        ids = {id for name, id in self._pins.all().items() if name.lower() == who.lower()}
        if len(who) >= 4:
            ids |= self._trusted.beginning(who.lower())
        if not ids:
            ids = {find(self.peers(), who).id}
        for id in ids:
            self._trusted.discard(id)
            log.info("%s is not trusted any more", who, extra={"peer": id})

    # The rest is inside.

    def _discovery(self, hear: Callable[[Beat, tuple[str, int]], None]) -> Discovery:
        config = self._config
        seal = Seal(self._group.id, self._group.beat_key)
        return Discovery(seal, config.discovery_port, config.listen, self._broadcasts, hear)

    def _broadcasts(self) -> list[str]:
        listen = self._config.listen
        return [
            each.broadcast
            for each in interfaces()
            if each.broadcast and listen in ("0.0.0.0", each.address)  # noqa: S104
        ]

    def _addresses(self) -> tuple[str, ...]:
        listen = self._config.listen
        return addresses() if listen == "0.0.0.0" else (listen,)  # noqa: S104

    async def _listen(self) -> None:
        config = self._config
        try:
            await self._server.open(config.listen, config.worker_port)
        except OSError as error:
            raise HomieError(
                f"cannot listen on {config.listen}:{config.worker_port} ({error.strerror}). Another daemon, or "
                "another program? Use another port: homie config set worker_port 5557"
            ) from error

    async def _tick(self) -> None:
        given_back, at = self._journal.changes, time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            self._clock.save()
            self._hosting.tick()
            await self._hosting.tidy()
            await self._offer.watch()
            self._hosting.schedule()
            busy = self._runs.busy or self._hosting.jobs()
            if self._journal.changes != given_back and not (busy and time.monotonic() < at + GIVE_BACK):
                given_back, at = self._journal.changes, time.monotonic()
                give_back()  # jobs have been here and are gone, mine or others'

    async def _add_known(self, peer: str) -> None:
        """Try an address of the configuration; the peer table goes on trying."""
        host, port = split_peer(peer)
        try:
            await self._gossip.add(await _resolve(host), port)
        except HomieError as error:
            log.info("%s of the configuration: %s", peer, error)

    def _hosted(self) -> list[JobView]:
        names = {peer.id: str(peer.name) for peer in self.peers()}
        return [
            JobView(
                id=hosted.job.spec.id,
                mine=False,
                kind=hosted.job.spec.kind,
                peer=names.get(hosted.job.submitter, hosted.job.submitter[:12]),
                title=hosted.job.spec.title,
                age=max(0.0, self._clock.now() - hosted.at),
                state=hosted.job.state,
            )
            for hosted in reversed(self._hosting.jobs())
        ]


async def _resolve(host: str) -> str:
    """Return the IPv4 address of a host name; raise NoPeer if it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET)
    except OSError as error:
        raise NoPeer(f"{host} is no host that this machine knows ({error.strerror})") from error
    return str(found[0][4][0])
