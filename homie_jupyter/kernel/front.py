"""The side of the front ends: five ZeroMQ sockets, signed messages, and whom a reply goes to. Main thread only."""

import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session as Signer

from homie_core.client.session import Header

log = logging.getLogger(__name__)

LINGER_MS = 1000
"""Milliseconds that last words get after the end."""
SOCKETS = {"shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "hb": zmq.ROUTER, "iopub": zmq.XPUB}
LISTENED_WITHIN = 1.0
"""Seconds that a first request waits for somebody to listen to what it will cause: front ends connect their
sockets one by one, and do not hear what was published before."""
GLANCE = 0.05
"""Seconds between two looks whether that has come to pass."""
UNSENDABLE = {"ename": "NotSent", "evalue": "the peer sent what is no JSON of Jupyter's", "traceback": []}
MAX_ID = 200
"""Characters of a message's id."""


@dataclass(frozen=True)
class Asked:
    """One message of a front end's; `route` leads back to it."""

    channel: str
    route: tuple[bytes, ...]
    header: Header
    content: dict[str, Any]
    buffers: tuple[bytes, ...] = ()

    @property
    def id(self) -> str:
        return str(self.header["msg_id"])

    @property
    def kind(self) -> str:
        return str(self.header["msg_type"])


class Front:
    """What front ends of one kernel are connected to."""

    def __init__(self, connection_file: Path) -> None:
        """Bind the sockets that the file names; OSError or ValueError if that cannot be."""
        wish = json.loads(connection_file.read_text())
        self._signer = Signer(
            key=str(wish["key"]).encode(), signature_scheme=wish.get("signature_scheme", "hmac-sha256")
        )
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        joint = "-" if wish["transport"] == "ipc" else ":"
        for name, kind in SOCKETS.items():
            socket = self._context.socket(kind)
            socket.linger = LINGER_MS
            socket.sndhwm = 0  # or what a slow front end has not read would be dropped in silence
            if kind == zmq.ROUTER:
                socket.router_handover = True  # a front end that comes back under its old name
            else:
                socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of every listener, not only of the first
            socket.bind(f"{wish['transport']}://{wish['ip']}{joint}{wish[f'{name}_port']}")
            if name != "shell":
                self._poller.register(socket, zmq.POLLIN)
            self._sockets[name] = socket
        self._listened = False
        """Whether somebody listens; before, the shell waits, as `LISTENED_WITHIN` says."""
        self._unheard_since: float | None = None
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller.register(self._woken, zmq.POLLIN)

    def wake(self) -> None:
        """Let `receive` return now; any thread, and signal handlers."""
        with suppress(BlockingIOError):  # it is woken already
            os.write(self._waker, b"x")

    def receive(self, patience: float) -> list[Asked]:
        """Return what has come, control first; wait for it this long (seconds)."""
        if not self._listened:
            self._look_for_listeners()
            patience = min(patience, GLANCE)
        ready = dict(self._poller.poll(round(patience * 1000)))
        if ready.pop(self._woken, None):
            os.read(self._woken, 1 << 16)
        if self._sockets["hb"] in ready:
            self._echo(self._sockets["hb"])
        if self._sockets["iopub"] in ready:
            self._welcome()
        names = [name for name in ("control", "stdin", "shell") if self._sockets[name] in ready]
        return [asked for name in names for asked in self._messages(name)]

    def reply(self, asked: Asked, content: dict[str, Any]) -> None:
        """Answer this request, to whom it came from."""
        kind = f"{asked.kind.removesuffix('_request')}_reply"
        route = list(asked.route)
        if not self._send(asked.channel, kind, content, asked.header, route):
            self._send(asked.channel, kind, {"status": "error", **UNSENDABLE}, asked.header, route)

    def ask(self, asked: Asked, prompt: str, password: bool) -> None:
        """Ask the person whose cell this is."""
        content = {"prompt": prompt, "password": password}
        self._send("stdin", "input_request", content, asked.header, list(asked.route))

    def publish(
        self,
        kind: str,
        content: dict[str, Any],
        header: Header | None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> None:
        """Tell all front ends, as something that the request with this header has caused."""
        if not self._send("iopub", kind, content, header, f"kernel.{kind}".encode(), metadata, buffers):
            text = f"homie: an output was not shown: {UNSENDABLE['evalue']}\n"
            self._send("iopub", "stream", {"name": "stderr", "text": text}, header, b"kernel.stream")

    def status(self, state: str, header: Header | None) -> None:
        """Tell all front ends what the kernel does: `busy`, `idle`, `starting`."""
        self.publish("status", {"execution_state": state}, header)

    def close(self) -> None:
        """Say the last words and hang up."""
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    def _send(
        self,
        name: str,
        kind: str,
        content: dict[str, Any],
        header: Header | None,
        route: bytes | list[bytes],
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> bool:
        """Send it; return False if it holds what cannot be sent (a peer may think of anything)."""
        socket, parent = self._sockets[name], {"header": header} if header else None
        try:
            self._signer.send(socket, kind, content, parent, route, buffers=list(buffers), metadata=metadata or {})
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            log.warning("cannot send %s: %s: %s", kind, type(error).__name__, str(error)[:200])
            return False
        return True

    def _messages(self, name: str) -> list[Asked]:
        found: list[Asked] = []
        while True:
            try:
                parts = self._sockets[name].recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return found
            try:
                route, rest = self._signer.feed_identities(parts)
                message = self._signer.deserialize(rest)
                asked = _asked(name, route, message)
            except Exception as error:  # whatever it is: it is not from one who has the key
                log.warning("dropped a message on %s: %s: %s", name, type(error).__name__, str(error)[:200])
                continue
            found.append(asked)

    def _look_for_listeners(self) -> None:
        if self._unheard_since is None and self._sockets["shell"].poll(0):
            self._unheard_since = time.monotonic()
        if self._unheard_since is not None and time.monotonic() - self._unheard_since > LISTENED_WITHIN:
            self._open_shell()

    def _open_shell(self) -> None:
        self._listened = True
        self._poller.register(self._sockets["shell"], zmq.POLLIN)

    def _echo(self, socket: "zmq.Socket[bytes]") -> None:
        with suppress(zmq.Again):
            while True:
                socket.send_multipart(socket.recv_multipart(zmq.NOBLOCK))

    def _welcome(self) -> None:
        """Greet new listeners, who then know that they miss nothing any more (JEP 65)."""
        socket = self._sockets["iopub"]
        with suppress(zmq.Again):
            while event := socket.recv(zmq.NOBLOCK):
                if event[:1] == b"\x01":
                    if not self._listened:
                        self._open_shell()
                    content = {"subscription": event[1:].decode(errors="replace")}
                    self._signer.send(socket, "iopub_welcome", content, ident=event[1:] or None)


def _asked(channel: str, route: Sequence[bytes], message: dict[str, Any]) -> Asked:
    """Return the message; ValueError if it is none of Jupyter's."""
    header, content = dict(message["header"]), message["content"]
    if not isinstance(content, dict) or not all(isinstance(header[key], str) for key in ("msg_id", "msg_type")):
        raise ValueError("no message of Jupyter's")
    if not 0 < len(header["msg_id"]) <= MAX_ID:
        raise ValueError("an id that is none")
    header.pop("subshell_id", None)  # there are none
    return Asked(channel, tuple(route), header, content, tuple(map(bytes, message.get("buffers") or ())))
