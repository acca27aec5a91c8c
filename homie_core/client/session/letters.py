"""What somebody who waits for a cell of a session is told, from whatever thread."""

from dataclasses import dataclass
from typing import Any, Protocol

from homie_core.client.session.messages import Message
from homie_core.model.job import Limits, Outcome


@dataclass(frozen=True)
class Progress:
    """Why the cell does not run yet, in words; empty: it does."""

    text: str


@dataclass(frozen=True)
class Question:
    """The cell asks for input."""

    prompt: str
    password: bool


@dataclass(frozen=True)
class Answered:
    """The kernel has run the cell: its reply, the error to be shown as the cell's own, and its values."""

    reply: dict[str, Any]
    error: dict[str, Any] | None
    given: Message | None = None


@dataclass(frozen=True)
class Sent:
    """The values that go with the cell are there."""


@dataclass(frozen=True)
class Over:
    """The session has ended."""

    outcome: Outcome
    limits: Limits | None


@dataclass(frozen=True)
class Broken:
    """It is not known any more what becomes of the cell, and why."""

    error: Exception


Letter = Progress | Question | Sent | Answered | Over | Broken


class Reader(Protocol):
    """Who waits for a cell."""

    def put(self, letter: Letter, /) -> None:
        """Take a letter; any thread, and at once."""
