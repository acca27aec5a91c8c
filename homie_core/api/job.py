"""What runs on a peer: one call, or one piece of code of a session."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

from homie_core.api.errors import error_from
from homie_core.client.session import Answered, Broken, Letter, Over, Progress, Question, Sent, Session, new_header
from homie_core.client.values import Given, Packed, given, parcel_of, wish
from homie_core.client.words import in_words
from homie_core.model.errors import HomieError

T = TypeVar("T")

Status = Literal["waiting", "running", "done", "failed", "cancelled"]

MAX_KEPT = 4 << 20
"""Characters of a job's output that are kept for who reads it later; more drops the beginning."""
MERCY = 2.0
"""Seconds that a call which is cancelled has to end by itself."""


class Job(Generic[T]):
    """Code that was sent to a peer; `await` it, or ask for its `result()`."""

    def __init__(
        self,
        code: str,
        packed: Packed,
        gives: Sequence[str],
        read: Callable[[Given], T],
        *,
        labels: Sequence[str] = (),
        gets: tuple[str, ...] = (),
        timeout: float | None = None,
        prints: Callable[[str, str], None] | None = None,
    ) -> None:
        """`gives` are expressions, `labels` what errors call them; `gets` patterns of files that it is to offer.

        `prints` hears each text and its stream.
        """
        self._code, self._gives, self._labels, self._read = code, tuple(gives), tuple(labels) or tuple(gives), read
        self._gets = gets
        self._packed: Packed | None = packed
        self._timeout, self._prints = timeout, prints
        self._header = new_header()
        self._session: Session | None = None
        self._kept: list[str] = []
        self._size = self._dropped = 0
        self._more = threading.Condition()
        self._cancelled = False
        self._why = "not sent yet"
        self._parcel = self._notice = ""
        self.unbegun = False
        """Whether it is over without having begun: its session ended while an earlier job ran."""
        self.future: Future[T] = Future()
        """Resolved when it has ended."""

    @property
    def key(self) -> str:
        """What its session calls it."""
        return str(self._header["msg_id"])

    @property
    def id(self) -> str:
        """What it is known by."""
        return self.key[:12]

    @property
    def peer(self) -> str:
        """The peer it was sent to; empty until that is known."""
        return self._session.peer if self._session else ""

    @property
    def status(self) -> Status:
        """How it stands."""
        if self.future.done():
            if self._cancelled:
                return "cancelled"
            return "failed" if self.future.exception() else "done"
        return "running" if self._session and self._session.runs == self.key else "waiting"

    def __repr__(self) -> str:
        why = f" ({self._why})" if self.status == "waiting" and self._why else ""
        return f"<Job {self.id}{f' on {self.peer}' if self.peer else ''}: {self.status}{why}>"

    def result(self, timeout: float | None = None) -> T:
        """Wait (seconds; None: as long as it takes) and return what it gave, or raise how it ended.

        Raises RemoteError if the code failed, CancelledError if it was cancelled, HomieError if it could not
        be run or heard of, TimeoutError if the time is over before it is.
        """
        return self.future.result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return what `result` would raise; None if it went well."""
        try:
            return self.future.exception(timeout)
        except CancelledError as error:
            return error

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self.future).__await__()

    def stream(self) -> "Stream":
        """Return what it prints, from its beginning to its end, for `for` or `async for`."""
        return Stream(self._next_text)

    def cancel(self) -> bool:
        """Ask for its end, by a KeyboardInterrupt if it runs; False if it has ended already.

        A call that does not mind is killed after `MERCY`; what runs in a `Session` goes on until that is closed.
        """
        with self._more:
            if self.future.done():
                return False
            self._cancelled = True
            session = self._session
        if session is None:
            self._resolve(CancelledError())
        else:
            threading.Thread(target=self._end, args=(session,), name=f"homie {self.id}", daemon=True).start()
        return True

    def _end(self, session: Session) -> None:
        with suppress(HomieError):
            if session.started.is_set() or not self._killable:
                session.interrupt()
                with suppress(Exception, CancelledError):
                    self.future.exception(MERCY)
            if self._killable and not self.future.done():
                session.end()

    # What it is told by whoever runs it.

    @property
    def is_large(self) -> bool:
        """Whether its values are still here, and go ahead of it."""
        return self._packed is not None and self._packed.is_large

    def send(self, session: Session, killable: bool) -> None:
        """Run it in this session, whose letters it reads; `killable`: that may end for its sake."""
        with self._more:
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
            self._resolve(error)

    def printed(self, stream: str, text: str) -> None:
        """It has printed this."""
        if self._prints:
            self._prints(stream, text)
        with self._more:
            self._kept.append(text)
            self._size += len(text)
            while self._size > MAX_KEPT and len(self._kept) > 1:
                self._size -= len(self._kept.pop(0))
                self._dropped += 1
            self._more.notify_all()

    def noticed(self, text: str) -> None:
        """This was done to it: a reason for how it ends, if its error names none."""
        self._notice = text

    def put(self, letter: Letter) -> None:
        """Read a letter of the session's."""
        session = self._session
        assert session is not None
        match letter:
            case Progress(text=text):
                self._why = text
            case Sent():
                try:
                    self._run(session, self._parcel)
                except HomieError as error:
                    self._resolve(error)
            case Answered():
                self._answered(session, letter)
            case Over(outcome=outcome, limits=limits):
                self.unbegun = session.runs not in ("", self.key)
                self._resolve(HomieError(in_words(outcome, session.peer or "the peer", limits, "{}=")))
            case Broken(error=error):
                self._resolve(error)
            case Question():
                session.interrupt()  # it was said that nobody can be asked

    def fail(self, error: Exception) -> None:
        """It can be run nowhere."""
        self._resolve(error)

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
                raise CancelledError if self._cancelled else error_from(content, session.peer)
            message = answered.given
            if message is None:
                raise HomieError(f"{session.peer} did not say what came of it")
            parcel = parcel_of(message.content)
            buffers = session.fetch_parcel(parcel) if parcel else message.buffers
            came = given(message.content, buffers, self._labels, (), session.peer, session.trusted)
            value = self._read(came)
        except (Exception, CancelledError) as error:  # whatever it is, who waits must hear it
            self._resolve(error)
        else:
            with self._more:
                self._cancelled = False  # it was ready first
            self.future.set_result(value)
            self._wake()

    def _resolve(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(CancelledError() if self._cancelled else error)
        self._wake()

    def _wake(self) -> None:
        with self._more:
            self._more.notify_all()

    def _next_text(self, at: int) -> tuple[int, str] | None:
        """Wait for the text at this place, and return the next place and it; None after the last one."""
        with self._more:
            while True:
                if (index := max(0, at - self._dropped)) < len(self._kept):
                    return self._dropped + len(self._kept), "".join(self._kept[index:])
                if self.future.done():
                    return None
                self._more.wait()


class Stream:
    """The output of a job as it comes."""

    def __init__(self, next: Callable[[int], tuple[int, str] | None]) -> None:
        self._next = next

    def __iter__(self) -> Iterator[str]:
        at = 0
        while found := self._next(at):
            at, text = found
            yield text

    async def __aiter__(self) -> AsyncIterator[str]:
        at = 0
        while found := await asyncio.to_thread(self._next, at):
            at, text = found
            yield text
