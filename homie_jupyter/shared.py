"""Which variables a session has as they are here: what `--auto` need not send, nor may put over what is there."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from homie_core.client.session import Session
from homie_core.client.values import Packed
from homie_core.model.errors import CannotSend

UNSENDABLE = b""


class Shared:
    """What this notebook's variables were when they last went to each session or came from it, as marks."""

    def __init__(self) -> None:
        self._marks: WeakKeyDictionary[Session, tuple[int, dict[str, bytes]]] = WeakKeyDictionary()

    def has(self, session: Session | None, name: str, mark: bytes) -> bool:
        """Whether the variable is there, and has not changed here since."""
        return session is not None and self._of(session).get(name) == mark

    def learn(self, session: Session, marks: Mapping[str, bytes]) -> None:
        """Note that the session has these variables, and what they are here."""
        known = {**self._of(session), **marks}
        self._marks[session] = session.restarts, known

    def _of(self, session: Session) -> dict[str, bytes]:
        restarts, known = self._marks.get(session, (0, {}))
        return known if restarts == session.restarts else {}


def marks_of(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, bytes]:
    """Return the marks of those of these variables that there are."""
    return {name: _mark_of(variables[name]) for name in names if name in variables}


def _mark_of(value: Any) -> bytes:
    """Return what differs if the value differs; UNSENDABLE for one that cannot be sent."""
    try:
        packed = Packed({"": value})
    except CannotSend:
        return UNSENDABLE
    mark = hashlib.sha256()
    for buffer in packed.buffers:
        mark.update(buffer)
    return mark.digest()
