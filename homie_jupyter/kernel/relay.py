"""Which request is told to the session when, and what becomes of it.

    front end ──▶ queue ──▶ the one that is taken up ──▶ session ──▶ reply, idle ──▶ the next one
                               (waits for a session)
    widgets' messages: passed on at once, unless an earlier request still waits

As in ipykernel, requests are answered in their order, one at a time, and an error aborts the cells behind it.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, assert_never

from homie_core.client.session import Answered, Broken, Over, Question
from homie_core.client.words import in_words
from homie_core.model.errors import HomieError
from homie_core.model.job import How
from homie_jupyter.kernel.front import Asked, Front
from homie_jupyter.kernel.inbox import (
    About,
    Begun,
    Failed,
    Gone,
    Inbox,
    Item,
    Opened,
    Published,
    Ready,
    Signal,
    Waits,
)
from homie_jupyter.kernel.info import kernel_info
from homie_jupyter.kernel.line import Line
from homie_jupyter.kernel.publisher import KernelPublisher
from homie_jupyter.kernel.replies import failure, nothing, reply_to

SOON = 0.4
"""Seconds after which it is worth saying why a cell does not run yet."""
MAX_UNDER_WAY = 16
"""Messages of widgets that the session has not yet worked off; more wait here, so that telling never blocks."""
MAX_INTERRUPTS = 8
"""Interrupts of one cell; more would say nothing new."""
END_WITHIN = 3.0
"""Seconds that a session gets to end, before Jupyter loses its patience with us (5 s)."""

TOLD = {"execute_request", "complete_request", "inspect_request", "is_complete_request", "history_request"}
"""What a session is told; it answers each once."""
COMMS = {"comm_open", "comm_msg", "comm_close"}

Open = Callable[[], Callable[[float], None]]


class Relay:
    """Between the front ends and a session; main thread only."""

    def __init__(
        self, front: Front, publisher: KernelPublisher, inbox: Inbox, open: Open, node: str | None
    ) -> None:
        self.ended = False
        self._front, self._publisher, self._inbox, self._open, self._node = front, publisher, inbox, open, node
        self._queue: deque[Asked] = deque()
        self._current: Asked | None = None
        """The request that is taken up: front ends see the kernel busy with it."""
        self._told = False
        """Whether a session has it."""
        self._since = 0.0
        """When it was taken up."""
        self._interrupts = 0
        self._asking = False
        """Whether it has a question open."""
        self._under_way: dict[str, Asked] = {}
        """Messages of widgets that the session has and has not worked off."""
        self._line: Line | None = None
        self._opening: Callable[[float], None] | None = None
        self._why = ""
        """Why the session has not begun yet."""
        self._lost = ""
        """What the next cell must say first: the variables of those before are gone."""
        self._number = 0
        """Of the newest cell."""

    def patience(self) -> float:
        """Return for how many seconds nothing need be done if nothing comes."""
        return SOON if self._current and not self._told else 1.0

    # What front ends say.

    def hear(self, asked: Asked) -> None:
        """Take a message of a front end's."""
        match asked.kind:
            case "interrupt_request":
                self._interrupt()
                self._answer(asked, {"status": "ok"})
            case "shutdown_request":
                self._end()
                content = {"status": "ok", "restart": asked.content.get("restart") is True}
                self._answer(asked, content)
                self._front.publish("shutdown_reply", content, asked.header)
            case "kernel_info_request":
                peer = self._line.peer if self._line and self._line.ready.is_set() else ""
                self._answer(asked, kernel_info(self._node, peer))
            case "comm_info_request":
                self._answer(asked, {"status": "ok", "comms": self._comms(asked.content.get("target_name"))})
            case "input_reply":
                self._input(asked)
            case kind if asked.channel == "shell" and kind in TOLD | COMMS:
                self._queue.append(asked)
            case kind if kind.endswith("_request"):
                self._answer(asked, nothing(kind, {}))
            case _:
                pass

    def work(self) -> None:
        """Do what can be done now."""
        for item in self._inbox.take():
            self._heard(item)
        self._advance()
        if self._current and not self._told and self._why and time.monotonic() - self._since >= SOON:
            self._publisher.note(self._why, self._current.header)

    def _answer(self, asked: Asked, content: dict[str, Any]) -> None:
        """Answer at once, whatever else is under way."""
        self._front.status("busy", asked.header)
        self._front.reply(asked, content)
        self._front.status("idle", asked.header)
        if self._current:  # front ends go by the newest word
            self._front.status("busy", self._current.header)

    def _comms(self, target: object) -> dict[str, Any]:
        known = {id: comm.target_name for id, comm in self._publisher.comms.comms.items()}
        return {id: {"target_name": name} for id, name in known.items() if target in (None, "", name)}

    def _input(self, asked: Asked) -> None:
        value = asked.content.get("value")
        if self._asking and self._line and self._current and isinstance(value, str):
            self._asking = False
            self._tell(lambda line: line.answer(value, self._header()))

    def _interrupt(self) -> None:
        if self._current is None:
            return
        if self._told and self._current.kind != "execute_request":
            self._done(nothing(self._current.kind, self._current.content))  # nobody waits for a peer for ever
        elif self._told:
            self._asking = False
            self._interrupts += 1
            if self._interrupts <= MAX_INTERRUPTS:
                self._tell(Line.interrupt)
        elif self._current.kind == "execute_request":
            self._fail("KeyboardInterrupt", "")

    # What the session says.

    def _heard(self, item: Item) -> None:
        match item:
            case Published():
                self._front.publish(item.kind, item.content, item.header, item.metadata, item.buffers)
            case Signal(end=True):
                self._end()
            case Signal():
                self._interrupt()
            case Failed(error=error):
                self._opening = None
                self._refuse(error)
            case Opened(line=line):
                self._opening, self._line = None, line
                if self.ended:
                    self._finish(line)
                elif not line.alive:  # what it said before this is not listened to
                    self._gone(line)
            case _ if item.line is not self._line:
                pass
            case Waits(why=why):
                self._why = why
            case Ready():
                self._why = ""
            case Begun(id=id, number=number):
                self._begun(id, number)
            case About(id=id, letter=letter):
                self._letter(id, letter)
            case Gone(line=line):
                self._gone(line)
            case _:
                assert_never(item)

    def _begun(self, id: str, number: int) -> None:
        self._number = number
        if self._current and self._current.id == id:
            content = {"code": self._current.content.get("code", ""), "execution_count": number}
            self._front.publish("execute_input", content, self._current.header)

    def _letter(self, id: str, letter: object) -> None:
        match letter:
            case Answered() if id in self._under_way:
                self._front.status("idle", self._under_way.pop(id).header)
            case Answered(reply=reply, error=error) if self._current and self._current.id == id and self._line:
                if error is not None:
                    self._publisher.publish("error", error, {}, self._current.header, [])
                clean = self._publisher.harmless
                content = self._current.content
                self._done(reply_to(self._current.kind, content, reply, self._line.filter, clean))
            case Question(prompt=prompt, password=password) if self._current and self._current.id == id:
                if self._current.content.get("allow_stdin") is True:
                    self._asking = True
                    self._front.ask(self._current, self._publisher.harmless(prompt), password)
            case Over() | Broken() if self._current and self._current.id == id and self._line:
                self._fail("SessionLost", f"{self._how_it_ended(self._line)}. The next cell opens another session")
            case _:
                pass

    def _gone(self, line: Line) -> None:
        """The session is no more."""
        self._line, self._why = None, ""
        for asked in self._under_way.values():
            self._front.status("idle", asked.header)
        self._under_way.clear()
        if not line.ready.is_set():
            self._refuse(line.lost or HomieError(self._how_it_ended(line)))
        else:
            self._lost = self._how_it_ended(line)

    def _how_it_ended(self, line: Line) -> str:
        where = f"on {line.peer}" if line.peer else "there"
        if line.over:
            said = f"the session {where} is over: {in_words(line.over, line.peer or 'the peer', line.limits)}"
            if line.over.how in (How.MEMORY, How.DEADLINE):
                said += " of `homie kernel install`"
        else:
            said = f"the session {where} is out of reach: {line.lost}"
        return said if "its variables are gone" in said else f"{said}; its variables are gone"

    def _refuse(self, error: Exception) -> None:
        """No session: whatever waits for one fails."""
        if self._current and not self._told:
            self._fail(type(error).__name__, str(error))

    # What is done about it.

    def _advance(self) -> None:
        while self._queue:
            if self._queue[0].kind in COMMS:
                if len(self._under_way) >= MAX_UNDER_WAY:
                    break
                self._pass_on(self._queue.popleft())
            elif self._current is None:
                self._take_up(self._queue.popleft())
            else:
                break
            self._proceed()
        self._proceed()

    def _take_up(self, asked: Asked) -> None:
        self._current, self._told, self._since = asked, False, time.monotonic()
        self._interrupts, self._asking = 0, False
        self._front.status("busy", asked.header)
        if asked.kind == "execute_request":
            self._publisher.begins(asked.header)
            if self._lost:
                self._say(f"{self._lost}. This cell runs in a new one")
                self._lost = ""

    def _proceed(self) -> None:
        """Tell the session the request that is taken up, if that can be; without one, open one for a cell."""
        if self._current is None or self._told:
            return
        asked = self._current
        if self._line and self._line.ready.is_set():
            self._publisher.note("", asked.header)
            self._told = True
            content = asked.content
            if asked.kind == "execute_request":
                content = {**content, "stop_on_error": False}  # what is behind it waits here
            try:
                self._line.ask(asked, content)
            except HomieError as error:
                self._fail("NotSent", str(error))
        elif asked.kind != "execute_request":
            self._done(nothing(asked.kind, asked.content))
        elif self._line is None and self._opening is None and not self.ended:
            self._why = f"looking for {self._node or 'a machine that is free'}"
            self._opening = self._open()

    def _pass_on(self, asked: Asked) -> None:
        """A widget's message, which nobody answers."""
        self._front.status("busy", asked.header)
        self._under_way[asked.id] = asked
        id, stands_in = asked.content.get("comm_id"), None
        if isinstance(id, str):
            stands_in = self._publisher.comms.comms.get(id)
        message = {"header": asked.header, "content": asked.content, "buffers": asked.buffers}
        try:
            if asked.kind == "comm_open":
                self._front.publish("comm_close", {"comm_id": id, "data": {}}, asked.header)
                stands_in = None
            elif stands_in and asked.kind == "comm_msg":
                stands_in.handle_msg(message)
            elif stands_in:
                stands_in.handle_close(message)
        except HomieError as error:
            stands_in = None
            self._front.publish("stream", {"name": "stderr", "text": f"homie: {error}\n"}, asked.header)
        if stands_in is None:
            self._front.status("idle", self._under_way.pop(asked.id).header)

    def _done(self, content: dict[str, Any]) -> None:
        asked, self._current = self._current, None
        assert asked
        if asked.kind == "execute_request" and content["status"] != "aborted":
            content.setdefault("execution_count", self._number)
        self._front.reply(asked, content)
        self._front.status("idle", asked.header)
        failed = asked.kind == "execute_request" and content["status"] == "error"
        if failed and asked.content.get("stop_on_error", True):
            self._abort()

    def _fail(self, name: str, text: str) -> None:
        """The request that is taken up fails, for a reason of Homie's own."""
        assert self._current
        if self._current.kind == "execute_request":
            self._publisher.note("", self._current.header)
            shown = f"homie: {text}" if text else name
            error = {"ename": name, "evalue": text, "traceback": [shown]}
            self._front.publish("error", error, self._current.header)
        self._done(failure(name, text))

    def _abort(self) -> None:
        """The cells behind one that failed are not run."""
        for asked in self._front.receive(0):
            self.hear(asked)
        kept = [asked for asked in self._queue if asked.kind != "execute_request"]
        for asked in self._queue:
            if asked.kind == "execute_request":
                self._answer(asked, {"status": "aborted"})
        self._queue = deque(kept)

    def _end(self) -> None:
        """End the session, then the kernel."""
        self.ended = True
        if self._opening:
            self._opening(END_WITHIN)
            for item in self._inbox.take():
                self._heard(item)
        if self._line:
            self._finish(self._line)

    def _finish(self, line: Line) -> None:
        self._tell(Line.end)
        until = time.monotonic() + END_WITHIN
        while not line.closed.wait(0.02) and time.monotonic() < until:
            for item in self._inbox.take():  # or its thread would wait for us
                self._heard(item)
        line.detach()

    def _tell(self, what: Callable[[Line], None]) -> None:
        try:
            if self._line:
                what(self._line)
        except HomieError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        """Show a sentence of Homie's own in the cell that is taken up."""
        if self._current:
            stream = {"name": "stderr", "text": f"homie: {text}\n"}
            self._publisher.publish("stream", stream, {}, self._current.header, [])

    def _header(self) -> dict[str, Any]:
        assert self._current
        return self._current.header
