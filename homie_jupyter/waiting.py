"""While a cell runs on a peer: why it does not run yet, its questions, and the stop button."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from homie_core.client.session import Answered, Broken, Header, Letter, Over, Progress, Question, Sent, Session
from homie_core.client.words import in_words
from homie_core.model.errors import HomieError
from homie_jupyter.failing import RemoteError
from homie_jupyter.mailbox import Mailbox, Stop, stoppable
from homie_jupyter.publish import Publisher

SOON = 0.4
"""Seconds after which it is worth saying why the cell does not run yet."""
RESTART = 0.25
"""Seconds in which a kernel that was interrupted in order to be ended has ended."""
AGAIN = 2.0
"""Seconds within which a second stop means more than the first."""


class Wait:
    """The wait for one cell, by the person at the keyboard or (`patience`) by nobody."""

    def __init__(
        self,
        session: Session,
        request: str,
        header: Header,
        mailbox: Mailbox,
        publisher: Publisher,
        note: Callable[[str], None],
        patience: float | None = None,
    ) -> None:
        """`request` is the cell over there, `header` that of the cell here; `note` hears what is under way.

        `patience`: seconds after which it hears that again.
        """
        self._session, self._request, self._header = session, request, header
        self._mailbox, self._publisher, self._note, self._patience = mailbox, publisher, note, patience
        self._stopped_at: float | None = None

    async def for_end(self) -> Answered:
        """Return the answer. Raises HomieError, and KeyboardInterrupt if the person leaves the cell."""
        progress: str | None = None
        while True:
            match await self._next(progress):
                case Answered() as answered:
                    return answered
                case Progress(text=text):
                    progress = text  # most pass at once, and are not worth a line
                    if self._patience:
                        self._note(text)
                case None:
                    self._note(progress or "")
                    progress = progress if self._patience else None
                case Question() as question:
                    self._ask(question)
                case Stop():
                    await self._stop()
                case letter:
                    self._check(letter)

    async def for_values(self, sending: str) -> None:
        """Wait until the values are there that go ahead of the cell: how many, and where to."""
        progress: str | None = sending
        while True:
            match await self._next(progress):
                case Sent():
                    return
                case Progress(text=text):
                    progress = text or sending
                case None:
                    self._note(progress or "")
                    progress = progress if self._patience else None
                case Stop():
                    raise KeyboardInterrupt
                case letter:
                    self._check(letter)

    async def _next(self, progress: str | None) -> Letter | Stop | None:
        return await self._mailbox.get(self._patience or (None if progress is None else SOON))

    def _check(self, letter: Letter) -> None:
        """Raise what has become of the session."""
        match letter:
            case Over(outcome=outcome, limits=limits):
                name, peer = self._session.name, self._session.peer or "the peer"
                said = in_words(outcome, peer, limits)
                raise HomieError(f"the session {name} is over: {said}. The next cell opens another one")
            case Broken(error=error):
                raise error
            case Answered() | Sent() | Progress() | Question():
                raise AssertionError(f"{letter} was not waited for")
            case _:
                assert_never(letter)

    def _ask(self, question: Question) -> None:
        try:
            with stoppable():  # so that stop ends the question
                text = self._publisher.ask(question.prompt, question.password)
        except (KeyboardInterrupt, EOFError):
            self._session.interrupt(self._request)
        else:
            self._session.answer(text, self._header)

    async def _stop(self) -> None:
        """The first stop interrupts; a second one soon after asks what is to become of a cell that goes on."""
        session, now = self._session, time.monotonic()
        again = self._stopped_at is not None and now - self._stopped_at < AGAIN
        self._stopped_at = now
        if not again:
            # Jupyter interrupts a kernel that it is about to end or restart: then this one is gone by now, and the
            # cell over there, which nobody meant, goes on until its notebook attaches to it again.
            await self._mailbox.pause(RESTART)
            session.interrupt(self._request)
            if session.runs not in ("", self._request):
                raise KeyboardInterrupt  # it has not begun, and will be over when its turn comes
            return
        where = f"on {session.peer}"
        if self._publisher.takes_input:
            with suppress(KeyboardInterrupt, EOFError):
                wish = self._publisher.ask(
                    f"The cell still runs {where}. Leave it running, kill its session, or wait? [l/k/w] ", False
                )
                if wish.strip().lower().startswith("k"):
                    session.finish()
                    session.closed.wait()
                    raise RemoteError(f"the session {where} was ended, as you asked; its variables are gone")
                if wish.strip().lower().startswith("w"):
                    return
        self._publisher.say(
            f"left to itself; it goes on {where}: `%homie attach` shows it, `%homie end` ends it", self._header
        )
        raise KeyboardInterrupt
