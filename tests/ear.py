"""A session as its notebook hears it: one thread that reads, and what is told to it as Jupyter would."""

import json
import queue
import threading
import time

from homie_core.client.channel import Channel
from homie_core.model.control import JobEvent
from homie_core.model.event import Busy, Messages, Restarted
from homie_core.model.session import Cell
from homie_core.runner.messages import SHELL, Unpacker, pack


class Ear:
    """Reads a channel in a thread of its own, when it is let."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.news: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.may_read = threading.Event()
        self.may_read.set()
        self._unpacker = Unpacker()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for news in self.channel.news():
            self.may_read.wait()
            self.news.put(news)

    def until(self, kind, patience=60.0):
        """Return the next news of this kind, and the Jupyter messages before it."""
        messages, deadline = [], time.monotonic() + patience
        while True:
            news = self.news.get(timeout=max(0.1, deadline - time.monotonic()))
            event = news.record.event if isinstance(news, JobEvent) else news
            if isinstance(event, Messages):
                for channel, parts in self._unpacker.feed(event.data):
                    header, parent, _, content = (json.loads(part) for part in parts[:4])
                    messages.append((channel, header["msg_type"], parent.get("msg_id"), content))
            if isinstance(event, Restarted):
                self._unpacker = Unpacker()
            if isinstance(event, kind):
                return event, messages

    def cell_end(self, patience=60.0):
        """Return the messages until the kernel has nothing to do again."""
        said = []
        while True:
            busy, messages = self.until(Busy, patience)
            said += messages
            if not busy.cell:
                return said


def cell(code, id="cell-1", timeout=None):
    header = {"msg_id": id, "session": "s", "username": "u", "date": "2026-01-01T00:00:00Z",
              "msg_type": "execute_request", "version": "5.3"}  # fmt: skip
    content = {"code": code, "silent": False, "stop_on_error": False}
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    return Cell(id=id, data=pack(SHELL, parts), timeout=timeout)


def text(messages):
    return "".join(content["text"] for _, kind, _, content in messages if kind == "stream")
