"""One cell, from its text to its end on a friend's machine."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, assert_never

from IPython import get_ipython

from homie_core.client.words import in_words
from homie_core.model.errors import HomieError
from homie_core.model.quantity import show_duration
from homie_jupyter.mailbox import Answered, Broken, Mailbox, Over, Progress, Question, Stop
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.publish import Header
from homie_jupyter.session import Session
from homie_jupyter.show import footer, short

SOON = 0.4
"""Seconds after which it is worth saying why the cell does not run yet."""
RESTART = 0.25
"""Seconds in which a kernel that was interrupted in order to be ended has ended."""
AGAIN = 2.0
"""Seconds within which a second stop means more than the first."""


class RemoteError(Exception):
    """The cell failed over there; its traceback is shown as if it had failed here."""

    def __init__(self, message: str, traceback: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self._traceback = traceback

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of the frames of this process, which say nothing."""
        return list(self._traceback) or [f"{type(self).__name__}: {self}"]


class Cell:
    """One cell that is sent and waited for."""

    def __init__(self, code: str, options: Options, notebook: Notebook, blocking: bool = False) -> None:
        self._code, self._options, self._notebook, self._blocking = code, options, notebook, blocking
        self._publisher = notebook.publisher
        self._header: Header = self._publisher.new_header()
        self._began = time.monotonic()
        self._stopped_at: float | None = None

    async def run(self) -> None:
        """Run it; raise what it raised, or HomieError if it could not be run."""
        session = self._notebook.session_for(self._options, self._say)
        first = self._notebook.first_cell(session)
        if self._options.files and not first:
            session.put(self._options.files, self._say, self._note)
            self._note("")
        with Mailbox(self._blocking) as mailbox:
            stdin, timeout = self._publisher.takes_input, self._options.timeout
            session.run(self._code, self._header, mailbox, stdin=stdin, timeout=timeout)
            try:
                answered = await self._wait(session, mailbox)
            finally:
                self._note("")
                session.leave(mailbox)
        if self._options.fresh:
            session.finish()
            session.closed.wait()
        self._end(session, answered, first)

    async def attach(self) -> None:
        """Show what runs in a session from its beginning on, as if it ran in this cell."""
        with Mailbox(self._blocking) as mailbox:
            session = self._notebook.attach(self._options.session, self._header, mailbox)
            try:
                answered = await self._wait(session, mailbox)
            finally:
                session.leave(mailbox)
        self._end(session, answered, first=False)

    async def _wait(self, session: Session, mailbox: Mailbox) -> Answered:
        progress: str | None = None
        while True:
            match await mailbox.get(None if progress is None else SOON):
                case Answered() as answered:
                    return answered
                case Progress() as waiting:
                    progress = waiting.text
                    continue  # most pass at once, and are not worth a line
                case None:
                    self._note(progress or "")
                    progress = None
                case Question() as question:
                    self._ask(session, question)
                case Stop():
                    await self._stop(session)
                case Over(outcome=outcome, limits=limits):
                    said = in_words(outcome, session.peer or "the peer", limits)
                    raise HomieError(
                        f"the session {session.name} is over: {said}. The next cell opens another one"
                    )
                case Broken(error=error):
                    raise error
                case letter:
                    assert_never(letter)

    def _ask(self, session: Session, question: Question) -> None:
        import signal

        mine = signal.signal(signal.SIGINT, signal.default_int_handler)  # so that stop ends the question
        try:
            text = self._publisher.ask(question.prompt, question.password)
        except KeyboardInterrupt:
            session.interrupt()
        except EOFError:
            session.interrupt()
        else:
            session.answer(text, self._header)
        finally:
            signal.signal(signal.SIGINT, mine)

    async def _stop(self, session: Session) -> None:
        """The first stop interrupts; a second one soon after asks what is to become of a cell that goes on."""
        now = time.monotonic()
        again = self._stopped_at is not None and now - self._stopped_at < AGAIN
        self._stopped_at = now
        if not again:
            # Jupyter interrupts a kernel that it is about to end or restart: then this one is gone by now, and the
            # cell over there, which nobody meant, goes on until its notebook attaches to it again.
            if self._blocking:
                time.sleep(RESTART)  # noqa: ASYNC251 - to stand still is what was asked for
            else:
                await asyncio.sleep(RESTART)
            session.interrupt()
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
        self._say(f"left to itself; it goes on {where}: `%homie attach` shows it, `%homie end` ends it")
        raise KeyboardInterrupt

    def _end(self, session: Session, answered: Answered, first: bool) -> None:
        self._show_footer(session, first)
        self._obey(answered.reply)
        if answered.error is not None:
            raise error_from(answered.error, self._publisher.harmless)
        if answered.reply.get("status") == "error":
            raise_in_silence()

    def _show_footer(self, session: Session, first: bool) -> None:
        parts = [session.peer, *session.gpus, show_duration(time.monotonic() - self._began)]
        if self._options.fresh:
            parts.append(f"job {session.job}")
        elif first and session.limits:
            kept = f"kept until nobody has used it for {show_duration(session.limits.idle)}"
            parts.append(f"session {session.name}, {kept}")
        if session.delivered and session.delivered.files:
            count = len(session.delivered.files)
            parts.append(f"{count} file{'s' * (count > 1)} in {short(session.delivered.folder)}")
            for note in session.delivered.notes:
                self._say(f"not taken: {note}")
        self._publisher.publish("display_data", footer(parts), {}, self._header, [])

    def _obey(self, reply: dict[str, Any]) -> None:
        """Do what a kernel may ask of its front end: propose the next cell, show a page of text."""
        shell = get_ipython()
        payloads = reply.get("payload")
        for payload in payloads if isinstance(payloads, list) else ():
            if not isinstance(payload, dict) or shell is None:
                continue
            if payload.get("source") == "set_next_input" and isinstance(text := payload.get("text"), str):
                shell.set_next_input(text, replace=payload.get("replace") is True)
            elif payload.get("source") == "page" and isinstance(data := payload.get("data"), dict):
                text = data.get("text/plain")
                if isinstance(text, str):
                    print(text)  # noqa: T201

    def _note(self, text: str) -> None:
        self._publisher.note(text, self._header)

    def _say(self, line: str) -> None:
        text = f"homie: {''.join(c if c.isprintable() else '?' for c in line)}\n"
        self._publisher.publish("stream", {"name": "stderr", "text": text}, {}, self._header, [])


def error_from(content: dict[str, Any], harmless: Callable[[str], str]) -> Exception:
    """Return an exception that shows as the remote one did, under its name, its texts made harmless."""
    name = str(content.get("ename") or "Error")[:200]
    kind = type(name if name.isidentifier() else "RemoteError", (RemoteError,), {})
    lines = content.get("traceback")
    traceback = tuple(harmless(str(line)) for line in lines) if isinstance(lines, list) else ()
    error: Exception = kind(harmless(str(content.get("evalue") or "")), traceback)
    return error


class Failed(Exception):
    """The cell failed, and all there is to say about it has been shown (IPython's usage errors are such)."""


def raise_in_silence() -> None:
    """Let the cell be in error without showing anything more."""
    shell = get_ipython()
    if shell is not None:
        before = shell.custom_exceptions, shell.CustomTB

        def restore(*_: Any, **__: Any) -> None:
            shell.custom_exceptions, shell.CustomTB = before

        shell.custom_exceptions, shell.CustomTB = (Failed,), restore
    raise Failed


def finish_now(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never really waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")
