"""The standing links to the hosts of my jobs: one per peer, where it is now."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from homie_core.daemon.tasks import Tasks
from homie_core.engine.placement import find
from homie_core.model.names import PeerId
from homie_core.model.peer import Peer
from homie_core.net.link import Link


@dataclass
class Links:
    """Links that are opened when they are needed and moved when their peer has moved."""

    peers: Callable[[], list[Peer]]
    context: ssl.SSLContext
    _links: dict[PeerId, Link] = field(default_factory=dict)
    _tasks: Tasks = field(default_factory=Tasks)

    def to(self, id: PeerId) -> Link:
        """Return the link to this peer; raise NoPeer if nobody knows where it is."""
        peer = find(self.peers(), id)
        link = self._links.get(id)
        if link is None or link.address != (peer.address, peer.port):
            if link is not None:
                self._tasks.start(link.close(), f"close link to {peer.name}")
            link = self._links[id] = Link(peer.address, peer.port, id, self.context)
        return link

    async def close(self) -> None:
        """Hang up everywhere."""
        await self._tasks.cancel()
        for link in self._links.values():
            await link.close()
