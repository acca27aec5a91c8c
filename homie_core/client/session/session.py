"""A session on a peer, as a front end uses it: told by the main thread, heard by a thread of its own."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from homie_core.client.channel import Channel
from homie_core.client.control import Client
from homie_core.client.request import fitting, request_to_put
from homie_core.client.session.letters import Broken, Reader, Sent
from homie_core.client.session.listening import Listening
from homie_core.client.session.messages import Header, to_session
from homie_core.client.session.output import Output
from homie_core.model.control import Delivered, FetchRequest, Follow, RunRequest, Transfer, Uploaded
from homie_core.model.errors import DaemonUnreachable, HomieError, TransferError
from homie_core.model.job import Ask
from homie_core.model.names import JobId
from homie_core.model.quantity import show_size
from homie_core.model.session import MAX_SAID, Cell, Finish, Offered, ParcelName, Restart, Say
from homie_core.runner.exchange import WISH
from homie_core.runner.messages import INTERRUPT, SHELL, STDIN, pack
from homie_core.runner.values import Buffer

PATIENCE = 5.0
"""Seconds in which the reason for a broken channel is heard."""


def cell_message(
    code: str, header: Header, stdin: bool, wish: dict[str, Any] | None, buffers: Sequence[Buffer]
) -> bytes:
    """Return the message that runs a cell."""
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
    return to_session(SHELL, header, content, buffers)


class Session(Listening):
    """A session that is open, or was."""

    def __init__(
        self,
        name: str,
        client: Client,
        opening: RunRequest | Follow,
        output: Callable[["Session"], Output],
        attaching: tuple[Header, Reader] | None = None,
    ) -> None:
        """Open it, or see it again; `attaching` is who shows its newest cell then. Raises DaemonUnreachable."""
        super().__init__(attaching)
        self.name = name
        self.job: JobId = opening.job if isinstance(opening, Follow) else opening.id
        self.asked = opening.ask if isinstance(opening, RunRequest) else Ask()
        self._client = client
        self._output = output(self)
        self._channel = Channel(client.home, opening)
        thread = threading.Thread(
            target=self._listen, args=(self._channel,), name=f"homie {self.job}", daemon=True
        )
        thread.start()

    def wait_placed(self) -> None:
        """Wait until it is known on which peer it is, or that it is on none."""
        self._placing.wait()

    def look_at_trust(self) -> None:
        """Ask whether the user trusts its peer, waited for if need be, and filter its outputs accordingly."""
        self.wait_placed()
        peers = self._client.peers()
        self._trust(any(peer.id == self.peer_id and peer.trusted for peer in peers))

    def run(
        self,
        code: str,
        header: Header,
        reader: Reader,
        *,
        stdin: bool,
        timeout: float | None,
        wish: dict[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        """Run a cell; its letters come into the reader. `wish`, `buffers`: its values, `client.values.wish`."""
        id = str(header["msg_id"])
        self._waiting[id] = reader
        self._output.belongs(header)
        if not self.alive:  # it ended a moment ago
            self._tell_all()
            return
        data = cell_message(code, header, stdin, wish, buffers)
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

    def send_parcel(self, name: ParcelName, buffers: Sequence[Buffer], reader: Reader) -> None:
        """Send values ahead of their cell, as soon as it runs; `Sent` or `Broken` comes into the reader."""

        def send() -> None:
            self.started.wait()
            if not self.alive:
                self._tell_all()
                return
            try:
                self._client.send_parcel(self.job, name, buffers)
            except HomieError as error:
                reader.put(Broken(error))
            else:
                reader.put(Sent())

        self._waiting[name] = reader
        threading.Thread(target=send, name=f"homie {name}", daemon=True).start()

    def fetch_parcel(self, name: ParcelName) -> list[memoryview]:
        """Return the buffers of values that a cell gave, once. Raises HomieError."""
        return self._client.fetch_parcel(self.job, name)

    def interrupt(self, id: str = "") -> None:
        """Raise KeyboardInterrupt in the cell that runs and in those behind it, or in this one only."""
        self._channel.tell(Say(data=pack(INTERRUPT, (id.encode(),) if id else ())))

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

    def fetch(self, files: Sequence[Offered], folder: Path, progress: Callable[[str], None]) -> Delivered:
        """Bring files that it offers into a folder; what lies there already stays as it is.

        Raises TransferError if not all of them came, HomieError.
        """
        request = fitting(FetchRequest(folder=str(folder.absolute()), files=tuple(files)))
        for news in self._client.fetch(self.job, request):
            match news:
                case Transfer(done=done, total=total):
                    progress(f"{show_size(done)} of {show_size(total)} from {self.peer}")
                case Delivered():
                    if len(news.files) < len(files):
                        came = f"{len(news.files)} of {len(files)} files came into {folder}"
                        raise TransferError(f"{came}; {'; '.join(news.notes[:5])}")
                    return news
                case _:
                    pass
        raise AssertionError("the news ended without an end")

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

    def end(self) -> None:
        """End it, begun or not; `closed` is set when that is done."""
        if self.started.is_set():
            self.finish()
        else:
            self._client.stop(self.job)  # what is told on the channel would wait for it to begin

    def attach(self, header: Header, reader: Reader) -> None:
        """Let the cell that runs show under this header, and its letters come into this reader."""
        with self._lock:
            if not self.runs:
                raise HomieError(f"nothing runs in the session {self.name} on {self.peer}")
            self._show_again(self.runs, header, reader)

    def leave(self, reader: Reader) -> None:
        """Nobody reads this reader any more."""
        self._attaching = None
        for id in [id for id, waits in list(self._waiting.items()) if waits is reader]:
            self._waiting.pop(id, None)

    def detach(self) -> None:
        """Hear no more of it; it goes on."""
        self._channel.close()
