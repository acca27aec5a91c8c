"""One session on a peer, as this notebook uses it: told by the main thread, heard by a thread of its own."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from homie_core.client import Client, request_to_put
from homie_core.client.channel import Channel
from homie_core.model import event
from homie_core.model.control import (
    Delivered,
    Follow,
    JobEvent,
    News,
    Placed,
    Refused,
    RunRequest,
    Transfer,
    Unreachable,
    Uploaded,
)
from homie_core.model.errors import BadMessage, DaemonUnreachable, HomieError, TransferError
from homie_core.model.job import Ask, Limits, Outcome
from homie_core.model.names import JobId
from homie_core.model.quantity import show_size
from homie_core.model.session import MAX_SAID, Cell, Finish, ParcelName, Restart, Say
from homie_core.runner.exchange import GIVEN, WISH
from homie_core.runner.messages import INTERRUPT, IOPUB, SHELL, STDIN, Unpacker, pack
from homie_core.runner.values import Buffer
from homie_jupyter.comms import Comms
from homie_jupyter.mailbox import Answered, Broken, Mailbox, Over, Progress, Question, Sent
from homie_jupyter.messages import Message, to_session, unpack
from homie_jupyter.output import Output
from homie_jupyter.publish import Header, Publisher

PATIENCE = 5.0
"""Seconds in which the reason for a broken channel is heard."""


class Session:
    """A session that is open, or was."""

    def __init__(
        self,
        name: str,
        client: Client,
        publisher: Publisher,
        opening: RunRequest | Follow,
        attaching: tuple[Header, Mailbox] | None = None,
    ) -> None:
        """Open it, or see it again; `attaching` is who shows its newest cell then. Raises DaemonUnreachable."""
        self.name = name
        self.job: JobId = opening.job if isinstance(opening, Follow) else opening.id
        self.asked = opening.ask if isinstance(opening, RunRequest) else Ask()
        self.peer = ""
        """Empty until it is known."""
        self.gpus: tuple[str, ...] = ()
        self._id = ""
        """The peer's id."""
        self._placing, self._started = threading.Event(), threading.Event()
        """Set when it is known where it is, and when it runs; both, when it has ended."""
        self.limits: Limits | None = None
        self.over: Outcome | None = None
        self.lost: Exception | None = None
        """Why nothing is heard of it any more."""
        self.delivered: Delivered | None = None
        """What came back at its end."""
        self.closed = threading.Event()
        """Set when nothing more will be heard."""
        self._client, self._publisher = client, publisher
        self._output = Output(publisher, self.job, Comms(publisher.comms, self.say), self._say)
        self._waiting: dict[str, Mailbox] = {}
        self._replies: dict[str, dict[str, Any]] = {}
        self._given: dict[str, Message] = {}
        self._idle: set[str] = set()
        """Cells whose output is complete; the reply may come before or after that."""
        self._placed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._runs = self._newest = ""
        """The cell that its kernel runs, and the newest it ever ran."""
        self._attaching = attaching
        """Who waits for the beginning of the newest cell, in a session that is seen again."""
        self._lock = threading.Lock()
        self._restarted = threading.Event()
        self._unpacker = Unpacker()
        self._channel = Channel(client.home, opening)
        self._thread = threading.Thread(target=self._listen, name=f"homie {self.job}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can still be told things, as far as is known."""
        return self.over is None and self.lost is None

    @property
    def trusted(self) -> bool:
        """Whether the user trusts its peer, as far as is known."""
        return self._output.filter.trusted

    def look_at_trust(self) -> None:
        """Ask whether the user trusts its peer, waited for if need be, and filter its outputs accordingly."""
        self._placing.wait()
        peers = self._client.peers()
        self._output.filter.trusted = any(peer.id == self._id and peer.trusted for peer in peers)

    # What it is told; main thread.

    def run(
        self,
        code: str,
        header: Header,
        mailbox: Mailbox,
        *,
        stdin: bool,
        timeout: float | None,
        wish: dict[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        """Run a cell; its letters come into the mailbox. `wish`, `buffers`: its values, `client.values.wish`."""
        id = str(header["msg_id"])
        content = {
            "code": code,
            "silent": not code,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": stdin,
            "stop_on_error": False,
        }
        if wish:
            content[WISH] = wish
        self._waiting[id] = mailbox
        self._output.belongs(header)
        if not self.alive:  # it ended a moment ago
            self._tell_all()
            return
        data = to_session(SHELL, header, content, buffers)
        if len(data) > MAX_SAID:
            self._waiting.pop(id)
            raise HomieError(f"a cell of {show_size(len(data))}; {show_size(MAX_SAID)} are possible")
        try:
            self._channel.tell(Cell(id=id, data=data, timeout=timeout))
        except DaemonUnreachable:
            self.closed.wait(PATIENCE)  # the other thread may be about to hear why
            if self.alive:
                raise
            self._tell_all()

    def send_parcel(self, name: ParcelName, buffers: Sequence[Buffer], mailbox: Mailbox) -> None:
        """Send values ahead of their cell, as soon as it runs; `Sent` or `Broken` comes into the mailbox."""

        def send() -> None:
            self._started.wait()
            if not self.alive:
                self._tell_all()
                return
            try:
                self._client.send_parcel(self.job, name, buffers)
            except HomieError as error:
                mailbox.put(Broken(error))
            else:
                mailbox.put(Sent())

        self._waiting[name] = mailbox
        threading.Thread(target=send, name=f"homie {name}", daemon=True).start()

    def fetch_parcel(self, name: ParcelName) -> list[bytearray]:
        """Return the buffers of values that its newest cell gave. Raises HomieError."""
        return self._client.fetch_parcel(self.job, name)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell that runs."""
        self._channel.tell(Say(data=pack(INTERRUPT, ())))

    def answer(self, text: str, header: Header) -> None:
        """Answer the cell's question."""
        self._channel.tell(Say(data=to_session(STDIN, {**header, "msg_type": "input_reply"}, {"value": text})))

    def say(self, kind: str, header: Header, content: dict[str, Any], buffers: Iterable[bytes]) -> None:
        """Pass on what a widget in the notebook says."""
        self._output.belongs(header)
        data = to_session(SHELL, {**header, "msg_type": kind}, content, list(buffers))
        if len(data) > MAX_SAID:
            raise HomieError(f"a widget says {show_size(len(data))} at once; {show_size(MAX_SAID)} are possible")
        self._channel.tell(Say(data=data))

    def put(self, files: Iterable[str], note: Callable[[str], None], progress: Callable[[str], None]) -> None:
        """Send files into its folder, and wait until they are there. Raises HomieError."""
        request = request_to_put(files, note)
        if request is None:
            return
        for news in self._client.put(self.job, request):
            match news:
                case Transfer(done=done, total=total):
                    progress(f"{show_size(done)} of {show_size(total)} to {self.peer}")
                case Uploaded(files=count):
                    errors = [self._next_placed() for _ in range(count)]
                    if wrong := [error for error in errors if error]:
                        raise TransferError("; ".join(wrong))
                case _:
                    pass

    def _next_placed(self) -> str:
        """Return what became of the next file that was sent, in words if it is not there."""
        while True:
            try:
                return self._placed.get(timeout=0.2)
            except queue.Empty:
                if self.closed.is_set():
                    raise HomieError(f"the session {self.name} ended meanwhile") from None

    def restart(self) -> None:
        """Begin anew in the same folder, without variables; wait for that. Raises HomieError."""
        self._restarted.clear()
        self._channel.tell(Restart())
        while not self._restarted.wait(0.1):
            if not self.alive:
                raise HomieError(f"the session {self.name} ended meanwhile")

    def finish(self) -> None:
        """End it; `closed` is set when that is done."""
        self._channel.tell(Finish())

    def attach(self, header: Header, mailbox: Mailbox) -> None:
        """Let the cell that runs show under this header, and its letters come into this mailbox."""
        with self._lock:
            if not self._runs:
                raise HomieError(f"nothing runs in the session {self.name} on {self.peer}")
            self._show_again(self._runs, header, mailbox)

    def leave(self, mailbox: Mailbox) -> None:
        """Nobody reads this mailbox any more."""
        self._attaching = None
        for id in [id for id, waits in list(self._waiting.items()) if waits is mailbox]:
            self._waiting.pop(id, None)

    def detach(self) -> None:
        """Hear no more of it; it goes on."""
        self._channel.close()

    # What it says; its own thread.

    def _listen(self) -> None:
        try:
            for news in self._channel.news():
                self._hear(news)
            if self.over is None and self.lost is None:
                self.lost = HomieError("the channel was closed")
        except HomieError as error:
            self.lost = error
        finally:
            self._tell_all()
            self._placing.set()
            self._started.set()
            self._output.close()
            self.closed.set()

    def _tell_all(self) -> None:
        letter = Over(self.over, self.limits) if self.over else Broken(self.lost or HomieError("it has ended"))
        for id in list(self._waiting):
            if mailbox := self._waiting.pop(id, None):
                mailbox.put(letter)

    def _say(self, text: str) -> None:
        """Show a sentence of Homie's own in the cell that runs."""
        for header in self._output.headers_of(self._waiting):
            self._publisher.publish("stream", {"name": "stderr", "text": f"homie: {text}\n"}, {}, header, [])

    def _progress(self, text: str) -> None:
        for mailbox in list(self._waiting.values()):
            mailbox.put(Progress(text))

    def _hear(self, news: News) -> None:
        match news:
            case Placed():
                self.peer, self.gpus, self._id = news.peer, news.gpus, news.id
                self._output.peer, self._output.filter.trusted = news.peer, news.trusted
                self._placing.set()
                self._progress(f"opening a session on {news.peer}: {news.why}")
            case Refused():
                self.lost = news.as_error()
            case Transfer(done=done, total=total):
                self._progress(f"{show_size(done)} of {show_size(total)} to {self.peer}")
            case Unreachable():
                self._say(f"{news.peer} cannot be reached, retrying ({news.why})")
            case Delivered():
                self.delivered = news
            case JobEvent():
                self._happened(news.record.event)
            case Uploaded():
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
                self._progress("")
                self._started.set()
            case event.Restarted():
                self._unpacker = Unpacker()
                self._output.close()
                gone = Broken(HomieError(f"the session on {self.peer} was restarted; its variables are gone"))
                for id in list(self._waiting):
                    self._waiting.pop(id).put(gone)
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
            self._runs, self._newest = cell, cell or self._newest
            if cell and self._attaching:
                (header, mailbox), self._attaching = self._attaching, None
                self._show_again(cell, header, mailbox)

    def _show_again(self, cell: str, header: Header, mailbox: Mailbox) -> None:
        self._output.belongs(header, cell)
        self._waiting[cell] = mailbox

    def _messages(self, data: bytes) -> None:
        try:
            for channel, parts in self._unpacker.feed(data):
                self._message(unpack(channel, parts))
        except ValueError as error:
            raise BadMessage(f"{self.peer} sent something that is no message: {error}") from error

    def _message(self, message: Message) -> None:
        mailbox = self._waiting.get(message.parent)
        if message.channel == STDIN and message.type == "input_request":
            if mailbox:
                prompt, password = message.content.get("prompt"), message.content.get("password")
                mailbox.put(Question(str(prompt or ""), password is True))
        elif message.channel == SHELL and message.type.endswith("_reply"):
            if mailbox:
                self._replies[message.parent] = message.content
                self._finish_cell(message.parent)
        elif message.channel == IOPUB:
            if message.type == GIVEN:
                if mailbox:
                    self._given[message.parent] = message
            elif message.type != "status":
                self._output.publish(message)
            elif message.content.get("execution_state") == "idle":
                if mailbox:
                    self._idle.add(message.parent)
                    self._finish_cell(message.parent)
                else:
                    self._output.settle(message.parent)

    def _finish_cell(self, id: str) -> None:
        """Let the cell go on, if all of it is here."""
        if id not in self._replies or id not in self._idle:
            return
        self._idle.discard(id)
        reply = self._replies.pop(id)
        error = self._output.take_error(id) if reply.get("status") == "error" else None
        self._waiting.pop(id).put(Answered(reply, error, self._given.pop(id, None)))
        self._output.settle(id)
