"""A session's output on its way to the front ends of this kernel, which may be notebooks or terminals."""

import re
import threading
from typing import Any

from homie_core.client.session import Header
from homie_jupyter.kernel.front import Front
from homie_jupyter.kernel.inbox import Inbox, Published
from homie_jupyter.publish import NotebookPublisher

_MOVES = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;:<=>?]*[ -/]*[@-ln-~]"  # all of a terminal's commands but colours
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b(?!\[[0-9;:]*m)|[\x80-\x9f]"
)


def harmless(text: str) -> str:
    """Return text that may colour itself; a terminal (`jupyter console`) obeys nothing else of it."""
    return _MOVES.sub("", text)


class Registry:
    """The widgets that are open, as `homie_jupyter.comms` keeps them in a kernel's manager of comms."""

    def __init__(self) -> None:
        self.comms: dict[str, Any] = {}


class KernelPublisher(NotebookPublisher):
    """Publishes under the requests of front ends. `paced`: a Jupyter Server with its limits stands behind it."""

    def __init__(self, front: Front, inbox: Inbox, paced: bool) -> None:
        super().__init__(None, paced)
        self._front, self._inbox = front, inbox
        self._main = threading.get_ident()
        """The thread that may use the sockets."""
        self.comms = Registry()
        self.trusted = False
        """Whether what the peer sends is shown as it is."""

    def begins(self, header: Header) -> None:
        """From now on, this is the newest cell."""
        with self._lock:
            self._noted, self._cell, self._bare = "", str(header["msg_id"]), True

    def numbers(self, number: int) -> None:
        """Results carry this number now."""
        self._count = number

    def show(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        if kind == "stream" and not self.trusted:
            content = {**content, "text": harmless(content["text"])}
        elif kind == "error":
            content = self.error(content)
        if threading.get_ident() == self._main:
            super().show(kind, content, metadata, header, buffers)
            return
        with self._inbox.room():  # before the lock, which the main thread wants while it makes room
            super().show(kind, content, metadata, header, buffers)

    def harmless(self, text: str) -> str:
        return text if self.trusted else harmless(text)

    def error(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a peer's error as it may be shown."""
        lines = content.get("traceback")
        texts = [str(content.get("ename") or "Error"), str(content.get("evalue") or "")]
        texts += [str(line) for line in lines] if isinstance(lines, list) else []
        name, value, *traceback = map(self.harmless, texts)
        return {"ename": name, "evalue": value, "traceback": traceback}

    def _send(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        if threading.get_ident() != self._main:
            self._inbox.put(Published(kind, content, metadata, header, buffers))
            return
        if kind == "clear_output":  # of a note, behind which nothing may come that it could wait for
            content = {"wait": False}
        self._front.publish(kind, content, header, metadata, buffers)
