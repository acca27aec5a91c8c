"""Widgets both ways: a stand-in in the notebook's kernel for each comm of a session's."""

from collections.abc import Callable, Iterable
from typing import Any

from homie_core.client.session import Header

Say = Callable[[str, Header, dict[str, Any], Iterable[bytes]], None]
"""Tells the session a message: type, header, content, buffers."""


class Comms:
    """The comms of one session that are open in the notebook. `manager` is its kernel's; None in a terminal."""

    def __init__(self, manager: Any, say: Say) -> None:
        self._manager, self._say = manager, say
        self._open: dict[str, Header] = {}
        """With the header under which each was opened."""

    def opens(self, id: str, target: str, header: Header) -> bool:
        """Stand in for a comm that the session opens; False if the notebook has another one of this name."""
        if self._manager is None or (id in self._manager.comms and id not in self._open):
            return False
        self._open[id] = header
        self._manager.comms[id] = _StandIn(id, target, self._pass_on)
        return True

    def knows(self, id: object) -> bool:
        """Whether it is open."""
        return isinstance(id, str) and id in self._open

    def closes(self, id: str) -> None:
        """The session has closed it."""
        self._open.pop(id, None)
        self._manager.comms.pop(id, None)

    def close(self) -> list[tuple[str, Header]]:
        """Nobody stands behind them any more; return those that were open."""
        left = list(self._open.items())
        for id, _ in left:
            self.closes(id)
        return left

    def _pass_on(self, kind: str, message: dict[str, Any]) -> None:
        header = {key: value for key, value in message["header"].items() if key != "subshell_id"}
        self._say(kind, header, message["content"], message.get("buffers") or ())
        if kind == "comm_close":
            self._open.pop(message["content"]["comm_id"], None)


class _StandIn:
    """What the kernel finds under a comm's id: whatever it is told goes to the session."""

    primary = False

    def __init__(self, id: str, target: str, pass_on: Callable[[str, dict[str, Any]], None]) -> None:
        self.comm_id, self.target_name, self._pass_on = id, target, pass_on
        self._closed = False

    def handle_msg(self, message: dict[str, Any]) -> None:
        self._pass_on("comm_msg", message)

    def handle_close(self, message: dict[str, Any]) -> None:
        self._pass_on("comm_close", message)
