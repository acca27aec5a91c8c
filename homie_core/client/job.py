"""What runs on a peer, as its submitter holds it."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Literal, TypeVar

from homie_core.client.transcript import Transcript

T = TypeVar("T")

Status = Literal["waiting", "running", "done", "failed", "cancelled"]


class Job(ABC, Generic[T]):
    """Code that was sent to a peer; `await` it, or ask for its `result()`."""

    def __init__(self) -> None:
        self._cancelled = False
        self._why = ""
        """Why it does not run yet."""
        self._lock = threading.RLock()
        self._transcript = Transcript()
        self.future: Future[T] = Future()
        """Resolved when it has ended."""

    @property
    @abstractmethod
    def id(self) -> str:
        """What it is known by."""

    @property
    @abstractmethod
    def peer(self) -> str:
        """The peer it was sent to; empty until that is known."""

    @property
    def status(self) -> Status:
        """How it stands."""
        if self.future.done():
            if self._cancelled:
                return "cancelled"
            return "failed" if self.future.exception() else "done"
        return "running" if self._runs() else "waiting"

    def __repr__(self) -> str:
        status = self.status
        why = f" ({self._why})" if status == "waiting" and self._why else ""
        return f"<Job {self.id}{f' on {self.peer}' if self.peer else ''}: {status}{why}>"

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

    def stream(self) -> Transcript:
        """Return what it prints, from its beginning to its end, for `for` or `async for`."""
        return self._transcript

    def cancel(self) -> bool:
        """Ask for its end, by a KeyboardInterrupt if it runs; False if it has ended already.

        A call that does not mind is killed soon after; what runs in a session goes on until that is closed.
        """
        with self._lock:
            if self.future.done():
                return False
            self._cancelled = True
        self._end()
        return True

    @abstractmethod
    def _runs(self) -> bool:
        """Whether it has begun."""

    @abstractmethod
    def _end(self) -> None:
        """Do what ends it, without waiting for that."""

    def _succeed(self, value: T) -> None:
        with self._lock:
            if self.future.done():
                return
            self._cancelled = False  # it was ready first
            self.future.set_result(value)
        self._transcript.end()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self.future.done():
                return
            self.future.set_exception(CancelledError() if self._cancelled else error)
        self._transcript.end()
