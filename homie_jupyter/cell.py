"""One cell, from its text to its end on a friend's machine."""

import os
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from homie_core.client.files import fresh_folder
from homie_core.client.session import Answered, Header, Message, Progress, Session
from homie_core.client.values import Given, Packed, given, parcel_of
from homie_core.model.control import Delivered
from homie_core.model.errors import HomieError
from homie_core.model.quantity import show_size
from homie_core.runner.exchange import CANNOT_TAKE
from homie_jupyter.auto import confirm
from homie_jupyter.ending import footer_of, hint, obey
from homie_jupyter.failing import Failed, error_from
from homie_jupyter.mailbox import Mailbox, stoppable
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.shared import marks_of
from homie_jupyter.show import footer
from homie_jupyter.variables import Remote, values_to_send, wish_for
from homie_jupyter.waiting import Wait

T = TypeVar("T")
TICK = 1.0
"""Seconds between two looks at a cell in the background."""


class Background(Protocol):
    """Who shows how a cell stands that nobody waits for. Nobody can be asked anything then."""

    def note(self, text: str) -> None:
        """Say what is under way; empty: nothing but the cell itself. Called every `TICK` at least."""

    def footer(self, parts: list[str]) -> None:
        """Say where it ran, and what came of it."""


class Cell:
    """One cell that is sent and waited for."""

    def __init__(
        self,
        code: str,
        options: Options,
        notebook: Notebook,
        blocking: bool = False,
        background: Background | None = None,
    ) -> None:
        """`blocking`: never really wait, but stand still; with `background`, `go_on` may be another thread's."""
        self._code, self._options, self._notebook, self._blocking = code, options, notebook, blocking
        self._publisher, self._background = notebook.publisher, background
        self.header: Header = self._publisher.new_header()
        self._request = str(self.header["msg_id"])
        """What its session calls it."""
        self._began = time.monotonic()
        self._fetched: Delivered | None = None
        self._first = False
        """Whether it has opened its session."""

    async def run(self) -> None:
        """Run it; raise what it raised, or HomieError if it could not be run."""
        self.begin()
        await self.go_on()

    def begin(self) -> None:
        """Decide, with the variables as they are now, what goes and where to. Raises HomieError."""
        variables = self._notebook.variables
        self._values = Packed(
            values_to_send(self._options.inputs, variables, self._notebook.open_for(self._options))
        )
        confirm(self._values, self._options, self._notebook, self._say)
        if self._options.capture:
            capture = self._publisher.capture(self.header)
            variables[self._options.capture] = capture.result()
        self.session = self._notebook.session_for(self._options, self._say)
        self._first = self._notebook.first_cell(self.session)

    async def go_on(self) -> Given:
        """Run it to its end, and return what came back."""
        session = self.session
        if self._options.files and not self._first:
            with stoppable():
                session.put(self._options.files, self._say, self._note)
            self._note("")
        packed = self._values
        del self._values  # they are held no longer than needed
        answered = await self._run(session, packed)
        with stoppable():
            came = self._taken(session, answered)
        if self._options.fresh:
            session.finish()
            session.closed.wait()
        self._end(answered, came)
        return came

    async def _run(self, session: Session, packed: Packed) -> Answered:
        options = self._options
        parcel = os.urandom(8).hex() if packed.is_large else None
        if wish_for(options, packed, parcel, False):
            session.look_at_trust()
        wishes = wish_for(options, packed, parcel, session.trusted)
        with Mailbox(self._blocking) as mailbox:
            if parcel:
                await self._send(session, parcel, packed, mailbox)
            if session.runs:
                mailbox.put(Progress(f"waits for what runs in the session {session.name}"))
            session.run(
                self._code,
                self.header,
                mailbox,
                stdin=self._background is None and self._publisher.takes_input,
                timeout=options.timeout,
                wish=wishes,
                buffers=() if parcel else packed.buffers,
            )
            try:
                return await self._wait(session, mailbox).for_end()
            finally:
                self._note("")
                session.leave(mailbox)

    def _taken(self, session: Session, answered: Answered) -> Given:
        """Put what came back among the variables here, and return it."""
        message, options = answered.given, self._options
        variables, shared = self._notebook.variables, self._notebook.shared
        if answered.reply.get("ename") != CANNOT_TAKE:
            shared.learn(session, options.marks)
        if message is None:  # it has failed, before or after it made them
            shared.learn(session, marks_of(variables, options.offers))
            return Given({}, {}, {})
        came = self._given(session, message, (*options.outputs, *options.offers), options.keeps)
        if stay := [name for name in options.offers if _stays(came.errors.pop(name, None))]:
            self._say(
                f"not brought back from {session.peer}: {', '.join(stay)} "
                "(no data, or larger than `%config Homie.auto_limit`)"
            )
        for name, what in came.kept.items():
            variables[name] = Remote(session, what, partial(value_of, self._notebook))
        variables.update(came.values)
        if options.auto_limit is not None:
            shared.learn(session, marks_of(variables, [*came.values, *stay]))
        if came.files:
            self._fetch(session, came)
        return came

    def _fetch(self, session: Session, came: Given) -> None:
        """Bring the files here that are there for this cell."""
        try:
            with fresh_folder(session.name) as folder:
                self._fetched = session.fetch(came.files, folder, self._note)
        except HomieError as error:
            came.errors["files"] = error
        finally:
            self._note("")

    async def fetch(self, expression: str) -> Any:
        """Return the value that an expression has there. Raises HomieError."""
        session = self._notebook.session_for(self._options, self._say)
        answered = await self._run(session, Packed({}))
        if answered.given is None:
            raise HomieError(f"{session.peer} did not say what `{expression}` is")
        came = self._given(session, answered.given, (expression,))
        came.check()
        return came.values[expression]

    def _given(
        self, session: Session, message: Message, asked: tuple[str, ...], keeps: tuple[str, ...] = ()
    ) -> Given:
        parcel = parcel_of(message.content)
        buffers = session.fetch_parcel(parcel) if parcel else message.buffers
        return given(message.content, buffers, asked, keeps, session.peer, session.trusted)

    async def attach(self) -> None:
        """Show what runs in a session from its beginning on, as if it ran in this cell."""
        with Mailbox(self._blocking) as mailbox:
            self.session = session = self._notebook.attach(self._options.session, self.header, mailbox)
            self._request = session.runs
            try:
                answered = await self._wait(session, mailbox).for_end()
            finally:
                session.leave(mailbox)
        self._end(answered, Given({}, {}, {}))

    async def _send(self, session: Session, parcel: str, packed: Packed, mailbox: Mailbox) -> None:
        session.send_parcel(parcel, packed.buffers, mailbox)
        try:
            sending = f"{show_size(packed.size)} to {session.peer or 'a peer'}"
            await self._wait(session, mailbox).for_values(sending)
        finally:
            self._note("")
            session.leave(mailbox)

    def _wait(self, session: Session, mailbox: Mailbox) -> Wait:
        patience = TICK if self._background else None
        return Wait(session, self._request, self.header, mailbox, self._publisher, self._note, patience)

    def _end(self, answered: Answered, came: Given) -> None:
        session, options = self.session, self._options
        if not options.quiet:
            seconds = time.monotonic() - self._began
            parts, notes = footer_of(session, options, seconds, self._first, came, self._fetched)
            for note in notes:
                self._say(f"not taken: {note}")
            if self._background:
                self._background.footer(parts)
            else:
                self._publisher.show("display_data", footer(parts), {}, self.header, [])
        if self._background is None:
            obey(answered.reply)
        if answered.error is not None:
            if how := hint(answered.error, session.peer, self._notebook.variables):
                self._say(how)
            raise error_from(answered.error, self._publisher.harmless)
        if answered.reply.get("status") == "error":
            raise Failed
        came.check()

    def _note(self, text: str) -> None:
        if self._background is not None:
            self._background.note(text)
        elif not self._options.quiet:
            self._publisher.note(text, self.header)

    def _say(self, line: str) -> None:
        self._publisher.say(line, self.header)


def _stays(error: HomieError | None) -> bool:
    """Whether this is why a value stays there, not that there is none."""
    return error is not None and "NameError" not in str(error)


def value_of(notebook: Notebook, session: Session, name: str) -> Any:
    """Return the value of a variable of this session, which is still open. Raises HomieError."""
    if not session.alive:
        raise HomieError(f"the session {session.name} on {session.peer} is over, and `{name}` with it")
    options = Options(session=session.name, outputs=(name,))
    return finish_now(Cell("", options, notebook, blocking=True).fetch(name))


def finish_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits; return what it returns."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waits")
