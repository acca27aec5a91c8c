"""What a session says, heard by a thread of its own; and what is known of it for that."""

import queue
import threading
from typing import Any

from homie_core.client.channel import Channel
from homie_core.client.session.letters import Answered, Broken, Over, Progress, Question, Reader
from homie_core.client.session.messages import Header, Message, unpack
from homie_core.client.session.output import Output
from homie_core.model import event
from homie_core.model.control import (
    CaughtUp,
    Delivered,
    JobEvent,
    News,
    Placed,
    Reachable,
    Refused,
    Transfer,
    Unreachable,
    Uploaded,
)
from homie_core.model.errors import BadMessage, HomieError
from homie_core.model.gpu import short_name
from homie_core.model.job import Limits, Outcome
from homie_core.model.quantity import show_size
from homie_core.runner.exchange import GIVEN
from homie_core.runner.messages import IOPUB, SHELL, STDIN, Unpacker


class Listening:
    """A session that is heard. Its attributes may be read by any thread."""

    _output: Output

    def __init__(self, attaching: tuple[Header, Reader] | None) -> None:
        """`attaching` is who shows its newest cell, in a session that is seen again."""
        self.peer = ""
        """Empty until it is known."""
        self.peer_id = ""
        self.why = ""
        """Why it is there, as it was chosen."""
        self.gpus: tuple[str, ...] = ()
        self.trusted = False
        """Whether the user trusts its peer, as far as is known."""
        self.limits: Limits | None = None
        self.over: Outcome | None = None
        self.lost: Exception | None = None
        """Why nothing is heard of it any more."""
        self.delivered: Delivered | None = None
        """What came back at its end."""
        self.closed = threading.Event()
        """Set when nothing more will be heard."""
        self.started = threading.Event()
        """Set when it runs, past every queue; and when it has ended."""
        self._placing = threading.Event()
        """Set when it is known where it is; and when it has ended."""
        self._waiting: dict[str, Reader] = {}
        self._replies: dict[str, dict[str, Any]] = {}
        self._given: dict[str, Message] = {}
        self.peer_idle: set[str] = set()
        """Cells whose output is complete; the reply may come before or after that."""
        self._placed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.runs = self._newest = ""
        """The cell that its kernel runs, and the newest it ever ran."""
        self._attaching = attaching
        """Who waits for the beginning of the newest cell."""
        self._lock = threading.Lock()
        self.restarts = 0
        """How often its variables were lost."""
        self._restarted = threading.Event()
        self._unpacker = Unpacker()

    @property
    def alive(self) -> bool:
        """Whether it can still be told things, as far as is known."""
        return self.over is None and self.lost is None

    def _listen(self, channel: Channel) -> None:
        try:
            for news in channel.news():
                self._hear(news)
            if self.over is None and self.lost is None:
                self.lost = HomieError("the channel was closed")
        except HomieError as error:
            self.lost = error
        finally:
            self._tell_all()
            self._placing.set()
            self.started.set()
            self._output.close()
            self.closed.set()

    def _tell_all(self) -> None:
        letter = Over(self.over, self.limits) if self.over else Broken(self.lost or HomieError("it has ended"))
        for id in list(self._waiting):
            if reader := self._waiting.pop(id, None):
                reader.put(letter)

    def _say(self, text: str) -> None:
        """Show a sentence of Homie's own in the cell that runs."""
        self._output.say(text, list(self._waiting))

    def _progress(self, text: str) -> None:
        for reader in list(self._waiting.values()):
            reader.put(Progress(text))

    def _hear(self, news: News) -> None:
        match news:
            case Placed():
                self.peer, self.peer_id, self.why = news.peer, news.id, news.why
                self._output.placed(news.peer)
                self._trust(news.trusted)
                self._placing.set()
                self._progress(f"opening a session on {news.peer}: {news.why}")
            case Refused():
                self.lost = news.as_error()
            case Transfer(done=done, total=total):
                self._progress(f"{show_size(done)} of {show_size(total)} to {self.peer}")
            case Unreachable():
                self._say(f"{news.peer} cannot be reached, retrying ({news.why})")
            case Reachable():
                self._say(f"{news.peer} is back")
            case Delivered():
                self.delivered = news
            case JobEvent():
                self._happened(news.record.event)
            case Uploaded() | CaughtUp():
                pass

    def _happened(self, what: event.Event) -> None:
        match what:
            case event.Messages():
                self._messages(what.data)
            case event.Accepted():
                self.limits = what.limits
            case event.Queued():
                self._progress(f"waits on {self.peer}, place {what.position}: {what.reason}")
            case event.Started():
                self.gpus = tuple("".join(filter(str.isprintable, short_name(name))) for name in what.gpus)
                self._progress("")
                self.started.set()
            case event.Restarted():
                self._unpacker = Unpacker()
                self._output.close()
                gone = Broken(HomieError(f"the session on {self.peer} was restarted; its variables are gone"))
                for id in list(self._waiting):
                    self._waiting.pop(id).put(gone)
                self.restarts += 1
                self._restarted.set()
            case event.Placed():
                self._placed.put(what.error)
            case event.Notice():
                self._say(what.text)
            case event.Output():
                self._say(what.data.decode(errors="replace").rstrip())
            case event.Ended():
                self.over = what.outcome
            case event.Busy():
                self._busy(what.cell)
            case event.Exited() | event.Collected():
                pass

    def _busy(self, cell: str) -> None:
        with self._lock:
            self.runs, self._newest = cell, cell or self._newest
            if reader := self._waiting.get(cell):
                reader.put(Progress(""))
            if cell and self._attaching:
                (header, reader), self._attaching = self._attaching, None
                self._show_again(cell, header, reader)

    def _show_again(self, cell: str, header: Header, reader: Reader) -> None:
        self._output.belongs(header, cell)
        self._waiting[cell] = reader

    def _messages(self, data: bytes) -> None:
        try:
            for channel, parts in self._unpacker.feed(data):
                self._message(unpack(channel, parts))
        except ValueError as error:
            raise BadMessage(f"{self.peer} sent something that is no message: {error}") from error

    def _message(self, message: Message) -> None:
        reader = self._waiting.get(message.parent)
        if message.channel == STDIN and message.type == "input_request":
            if reader:
                prompt, password = message.content.get("prompt"), message.content.get("password")
                reader.put(Question(str(prompt or ""), password is True))
        elif message.channel == SHELL and message.type.endswith("_reply"):
            if reader:
                self._replies[message.parent] = message.content
                self._finish_cell(message.parent)
        elif message.channel == IOPUB:
            if message.type == GIVEN:
                if reader:
                    self._given[message.parent] = message
            elif message.type != "status":
                self._output.publish(message)
            elif message.content.get("execution_state") == "idle":
                if reader:
                    self.peer_idle.add(message.parent)
                    self._finish_cell(message.parent)
                else:
                    self._output.settle(message.parent)

    def _finish_cell(self, id: str) -> None:
        """Let the cell go on, if all of it is here."""
        if id not in self._replies or id not in self.peer_idle:
            return
        self.peer_idle.discard(id)
        reply = self._replies.pop(id)
        error = self._output.take_error(id) if reply.get("status") == "error" else None
        self._waiting.pop(id).put(Answered(reply, error, self._given.pop(id, None)))
        self._output.settle(id)

    def _trust(self, trusted: bool) -> None:
        self.trusted = trusted
        self._output.trusts(trusted)
