"""One session on a peer, as this kernel uses it: the same as a notebook's, for all requests of front ends."""

import threading
from collections.abc import Iterable
from typing import Any

from homie_core.client import Client
from homie_core.client.session import Broken, Header, Letter, Message, Over, Session
from homie_core.client.session.messages import to_session
from homie_core.model import event
from homie_core.model.control import News, Placed, RunRequest
from homie_core.model.errors import DaemonUnreachable, HomieError
from homie_core.model.quantity import show_size
from homie_core.model.session import MAX_SAID, Cell, Say
from homie_core.runner.messages import IOPUB, SHELL
from homie_jupyter.kernel.front import Asked
from homie_jupyter.kernel.inbox import About, Begun, Gone, Inbox, Ready, Waits
from homie_jupyter.kernel.publisher import KernelPublisher
from homie_jupyter.output import Output, output_on
from homie_jupyter.safe import Filter


class Post:
    """Letters for one request, which the main thread finds in its inbox. `cell`: it is a cell."""

    def __init__(self, line: "Line", id: str, *, cell: bool = False, answered: bool = True) -> None:
        self._line, self._id = line, id
        self.cell, self.answered = cell, answered

    def put(self, letter: Letter) -> None:
        """Put it into the inbox; any thread."""
        self._line.inbox.put(About(self._line, self._id, letter))


class Line(Session):
    """A session that is open, or was. Told by the main thread; its own thread fills the inbox."""

    _waiting: dict[str, Post]  # type: ignore[assignment]
    _output: Output

    def __init__(
        self,
        client: Client,
        publisher: KernelPublisher,
        opening: RunRequest,
        inbox: Inbox,
        timeout: float | None = None,
    ) -> None:
        """`timeout` is of each cell (seconds). Raises DaemonUnreachable."""
        self.inbox = inbox
        self._publisher = publisher
        self._timeout = timeout
        self.ready = threading.Event()
        """Set when it can be told things."""
        super().__init__("main", client, opening, output_on(publisher))

    @property
    def filter(self) -> Filter:
        """What its replies go through."""
        return self._output.filter

    def ask(self, asked: Asked, content: dict[str, Any]) -> None:
        """Pass on a request of a front end's. Raises HomieError if it is too large, or nobody is there."""
        cell = asked.kind == "execute_request"
        self._expect(asked.id, Post(self, asked.id, cell=cell))
        self._output.belongs(asked.header)
        data = to_session(SHELL, asked.header, content)
        try:
            if len(data) > MAX_SAID:
                raise HomieError(f"this is {show_size(len(data))} at once; {show_size(MAX_SAID)} are possible")
            self._channel.tell(Cell(id=asked.id, data=data, timeout=self._timeout) if cell else Say(data=data))
        except DaemonUnreachable:
            return  # the other thread hears why, and tells all that wait
        except HomieError:
            self._waiting.pop(asked.id, None)
            raise

    def say(self, kind: str, header: Header, content: dict[str, Any], buffers: Iterable[bytes]) -> None:
        id = str(header["msg_id"])
        self._expect(id, Post(self, id, answered=False))
        try:
            super().say(kind, header, content, buffers)
        except HomieError:
            self._waiting.pop(id, None)
            raise

    def _expect(self, id: str, post: Post) -> None:
        self._waiting[id] = post
        if not self.alive and id in self._waiting:  # it ended a moment ago
            self._waiting.pop(id, None)
            post.put(self._last_letter())

    # What it says; its own thread.

    def _tell_all(self) -> None:
        super()._tell_all()
        self.inbox.put(Gone(self))

    def _last_letter(self) -> Over | Broken:
        return Over(self.over, self.limits) if self.over else Broken(self.lost or HomieError("it has ended"))

    def _say(self, text: str) -> None:
        cells = [id for id, post in list(self._waiting.items()) if post.cell]
        self._output.say(text, cells)
        if not cells:
            self._progress(text)

    def _progress(self, text: str) -> None:
        self.inbox.put(Waits(self, text))

    def _hear(self, news: News) -> None:
        if isinstance(news, Placed):
            self._publisher.trusted = news.trusted
        super()._hear(news)

    def _happened(self, what: event.Event) -> None:
        super()._happened(what)
        if isinstance(what, event.Started):
            self.ready.set()
            self.inbox.put(Ready(self))

    def _message(self, message: Message) -> None:
        if message.channel == IOPUB and message.type == "execute_input":
            number = message.content.get("execution_count")
            if message.parent in self._waiting and isinstance(number, int):
                self._publisher.numbers(number)
                self.inbox.put(Begun(self, message.parent, number))
            return
        super()._message(message)

    def _finish_cell(self, id: str) -> None:
        if not self._waiting[id].answered:
            self._replies[id] = {}
        super()._finish_cell(id)
