"""Heartbeats over UDP: sent to the directed broadcast address of every interface, heard on a shared port.

Two sockets. The *listener* is bound to the discovery port, shared with other daemons of this machine; if it
cannot be had, the node goes on without hearing broadcasts. The *speaker* has a port of its own: everything is
sent from it, and direct answers come back to it. What does not open with the group's key is never answered.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable

from homie_core.model.errors import BadMessage
from homie_core.model.peer import Beat
from homie_core.net.seal import OtherGroup, Seal

log = logging.getLogger(__name__)

Hear = Callable[[Beat, tuple[str, int]], None]


class Discovery(asyncio.DatagramProtocol):
    """Sends heartbeats and hands over those of our group with the address they came from."""

    def __init__(
        self, seal: Seal, port: int, listen: str, broadcasts: Callable[[], list[str]], hear: Hear
    ) -> None:
        self._seal, self._port, self._listen = seal, port, listen
        self._broadcasts = broadcasts
        """The directed broadcast addresses to use now (interfaces come and go)."""
        self._hear = hear
        self._listener: asyncio.DatagramTransport | None = None
        self._speaker: asyncio.DatagramTransport | None = None
        self.trouble = ""
        self.strangers = False
        """Whether another group was heard: the usual sign of a mistyped secret."""

    async def open(self) -> None:
        """Open both sockets; a listener that cannot be had is no error but `trouble`."""
        loop = asyncio.get_running_loop()
        speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        speaker.bind((self._listen, 0))
        self._speaker, _ = await loop.create_datagram_endpoint(lambda: self, sock=speaker)
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sys.platform == "darwin":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # Broadcasts reach only sockets that are bound to every address.
            listener.bind(("", self._port))
            self._listener, _ = await loop.create_datagram_endpoint(lambda: self, sock=listener)
        except OSError as error:
            listener.close()
            self.trouble = f"UDP port {self._port} is taken ({error.strerror}); peers must call first"

    def send(self, beat: Beat) -> None:
        """Send the heartbeat to everyone on every network of this machine."""
        assert self._speaker is not None
        datagram = self._seal.close(beat)
        for address in self._broadcasts():
            self._speaker.sendto(datagram, (address, self._port))

    def send_to(self, beat: Beat, address: tuple[str, int]) -> None:
        """Send the heartbeat to one node, where its own came from."""
        assert self._speaker is not None
        self._speaker.sendto(self._seal.close(beat), address)

    def close(self) -> None:
        for transport in (self._speaker, self._listener):
            if transport:
                transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._listen.startswith("127.") and not addr[0].startswith("127."):
            return
        try:
            beat = self._seal.open(data)
        except OtherGroup as error:
            if not self.strangers:
                log.warning("heard %s on this network: another group, or a mistyped secret", error)
            self.strangers = True
        except BadMessage as error:
            log.debug("dropped a datagram from %s: %s", addr[0], error)
        else:
            self._hear(beat, addr[:2])

    def error_received(self, exc: Exception) -> None:
        # An interface that fails now may work at the next beat: nothing is dropped from the list for it.
        log.debug("a datagram could not be delivered: %s", exc)
