"""What a session needs of whoever shows what it publishes."""

from collections.abc import Iterable
from typing import Any, Protocol

from homie_core.client.session.messages import Header, Message


class Output(Protocol):
    """Where a session's output goes; called by the session's own thread, but for `belongs` and `trusts`."""

    def belongs(self, header: Header, id: str = "") -> None:
        """What comes of this request (its own, unless another is named) belongs under this header."""

    def placed(self, peer: str) -> None:
        """It comes from this peer."""

    def trusts(self, trusted: bool) -> None:
        """Whether the user trusts that peer."""

    def say(self, text: str, ids: Iterable[str]) -> None:
        """Show a sentence of Homie's own under these requests."""

    def publish(self, message: Message) -> None:
        """Show a message of the kernel's, if it is one that may be shown."""

    def take_error(self, id: str) -> dict[str, Any] | None:
        """Return the error with which this request ended, instead of showing it."""

    def settle(self, id: str) -> None:
        """The last error of this request was not its end: it is output like any other."""

    def close(self) -> None:
        """The kernel is no more."""
