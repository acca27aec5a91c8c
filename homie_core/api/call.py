"""A job that is one cell of a session: it reads the session's letters itself, in the session's thread."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TypeVar

from homie_core.api.errors import error_from
from homie_core.client.job import Job
from homie_core.client.session import Answered, Broken, Letter, Over, Progress, Question, Sent, Session, new_header
from homie_core.client.values import Given, Packed, given, parcel_of, wish
from homie_core.client.words import in_words
from homie_core.model.errors import HomieError

T = TypeVar("T")

MERCY = 2.0
"""Seconds that a call which is cancelled has to end by itself."""


class Call(Job[T]):
    """Code with values that go with it, and what is made of the values that come back."""

    def __init__(
        self,
        code: str,
        packed: Packed,
        gives: Sequence[str],
        read: Callable[[Given], T],
        *,
        labels: Sequence[str] = (),
        gets: Sequence[str] = (),
        timeout: float | None = None,
        prints: Callable[[str, str], None] | None = None,
    ) -> None:
        """`gives` are expressions, `labels` what errors call them, `gets` patterns of files.

        `prints` hears each text and its stream.
        """
        super().__init__()
        self._code, self._gives, self._labels, self._read = code, tuple(gives), tuple(labels) or tuple(gives), read
        self._packed: Packed | None = packed
        self._gets, self._timeout, self._prints = tuple(gets), timeout, prints
        self._header = new_header()
        self._session: Session | None = None
        self._why = "not sent yet"
        self._parcel = self._notice = ""
        self.unbegun = False
        """Whether it is over without having begun: its session ended while an earlier job ran."""

    @property
    def key(self) -> str:
        """What its session calls it."""
        return str(self._header["msg_id"])

    @property
    def id(self) -> str:
        return self.key[:12]

    @property
    def peer(self) -> str:
        return self._session.peer if self._session else ""

    @property
    def is_large(self) -> bool:
        """Whether its values are still here, and go ahead of it."""
        return self._packed is not None and self._packed.is_large

    def send(self, session: Session, killable: bool) -> None:
        """Run it in this session, whose letters it reads; `killable`: that may end for its sake."""
        with self._lock:
            if self.future.done():
                return  # it was cancelled before that
            self._session, self._killable, self._why = session, killable, ""
        if self._packed is None:
            raise ValueError("it was sent already")
        try:
            if self._packed.is_large:
                self._parcel = self.key[:16]
                session.send_parcel(self._parcel, self._packed.buffers, self)
            else:
                self._run(session, None)
        except HomieError as error:
            self._fail(error)

    def printed(self, stream: str, text: str) -> None:
        """It has printed this."""
        if self._prints:
            self._prints(stream, text)
        self._transcript.add(text)

    def noticed(self, text: str) -> None:
        """This was done to it: a reason for how it ends, if its error names none."""
        self._notice = text

    def fail(self, error: Exception) -> None:
        """It can be run nowhere."""
        self._fail(error)

    def put(self, letter: Letter) -> None:
        """Read a letter of the session's."""
        session = self._session
        assert session is not None
        match letter:
            case Progress(text=text):
                self._why = text
            case Sent() if self.future.done():
                pass  # it was cancelled meanwhile
            case Sent():
                try:
                    self._run(session, self._parcel)
                except HomieError as error:
                    self._fail(error)
            case Answered():
                self._answered(session, letter)
            case Over(outcome=outcome, limits=limits):
                self.unbegun = session.runs not in ("", self.key)
                self._fail(HomieError(in_words(outcome, session.peer or "the peer", limits, "{}=")))
            case Broken(error=error):
                self._fail(error)
            case Question():
                session.interrupt(self.key)  # it was said that nobody can be asked

    def _runs(self) -> bool:
        return self._session is not None and self._session.runs == self.key

    def _end(self) -> None:
        if not self._runs():
            self._fail(CancelledError())  # its turn may come, and will be over at once
        if session := self._session:
            with suppress(HomieError):
                session.interrupt(self.key)
            if self._killable:
                threading.Thread(target=self._kill, args=(session,), name=self.id, daemon=True).start()

    def _kill(self, session: Session) -> None:
        """End the session if the call does not mind the interrupt."""
        until = time.monotonic() + MERCY
        while self._runs() or not self.future.done():
            if time.monotonic() > until:
                with suppress(HomieError):
                    session.end()
                return
            time.sleep(0.05)

    def _run(self, session: Session, parcel: str | None) -> None:
        packed, self._packed = self._packed, None  # the values are held no longer than needed
        assert packed is not None
        session.run(
            self._code,
            self._header,
            self,
            stdin=False,
            timeout=self._timeout,
            wish=wish(packed, self._gives, gets=self._gets, parcel=parcel, pickles=session.trusted),
            buffers=() if parcel else packed.buffers,
        )

    def _answered(self, session: Session, answered: Answered) -> None:
        try:
            if answered.error is not None or answered.reply.get("status") != "ok":
                content = {**(answered.error or answered.reply)}
                content["evalue"] = content.get("evalue") or self._notice
                raise error_from(content, session.peer)
            message = answered.given
            if message is None:
                raise HomieError(f"{session.peer} did not say what came of it")
            parcel = parcel_of(message.content)
            buffers = session.fetch_parcel(parcel) if parcel else message.buffers
            came = given(message.content, buffers, self._labels, (), session.peer, session.trusted)
            value = self._read(came)
        except Exception as error:  # whatever it is, who waits must hear it
            self._fail(error)
        else:
            self._succeed(value)
