"""A session's kernel as its notebook speaks to it: requests out, messages in."""

import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from homie_core.model.event import Busy, Messages, Placed, Restarted
from homie_core.runner.messages import SHELL, Unpacker, pack
from homie_core.sandbox.link import Fact, Link, ProgramEnd

Message = tuple[int, dict[str, Any], dict[str, Any], dict[str, Any]]
"""Channel, header, parent header and content."""


class Kernel:
    """Speaks to a kernel over its runner's link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.facts: list[Fact] = []
        """What was not a message."""
        self._ids = itertools.count(1)
        self._told: defaultdict[str, Told] = defaultdict(Told)
        """What has been said about each request: the answers to two may come mixed."""
        self._unpacker = Unpacker()
        self._reading = self._read()

    async def execute(self, code: str, *, stdin: bool = False) -> str:
        """Send a cell; return the id of its request."""
        return await self.request("execute_request", code=code, silent=False, store_history=True,
                                  user_expressions={}, allow_stdin=stdin, stop_on_error=False)  # fmt: skip

    async def request(self, type: str, channel: int = SHELL, **content: Any) -> str:
        """Send any request; return its id."""
        id = f"request-{next(self._ids)}"
        header = {"msg_id": id, "session": "s", "username": "u", "date": "2026-01-01T00:00:00Z",
                  "msg_type": type, "version": "5.3"}  # fmt: skip
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        await self.link.say(pack(channel, parts))
        return id

    async def run(self, code: str) -> "Told":
        """Run a cell to its end."""
        return await self.rest(await self.execute(code))

    async def rest(self, id: str) -> "Told":
        """Read until this request has been answered and its output is complete."""
        told = self._told[id]
        while not (told.idle and told.reply is not None):
            message = await self.next()
            _, _, parent, _ = message
            self._told[parent.get("msg_id", "")].add(message)
        return told

    async def next(self) -> Message:
        """Return the next message."""
        return await anext(self._reading)

    async def until_the_end(self) -> None:
        """Read until the session has ended."""
        async for _ in self._reading:
            pass

    async def _read(self) -> AsyncIterator[Message]:
        async for numbered in self.link:
            await self.link.ack(numbered.seq)
            match numbered.fact:
                case Messages(data=data):
                    for channel, parts in self._unpacker.feed(data):
                        header, parent, _, content = (json.loads(part) for part in parts[:4])
                        yield channel, header, parent, content
                case Restarted() as fact:
                    self._unpacker = Unpacker()
                    self.facts.append(fact)
                case Busy() | Placed() | ProgramEnd() as fact:
                    self.facts.append(fact)
                case _:
                    pass


class Told:
    """What a kernel said about one request."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.streams = {"stdout": "", "stderr": ""}
        self.results: list[str] = []
        self.error: dict[str, Any] | None = None
        self.reply: dict[str, Any] | None = None
        self.idle = False

    def add(self, message: Message) -> None:
        _, header, _, content = message
        self.types.append(header["msg_type"])
        match header["msg_type"]:
            case "stream":
                self.streams[content["name"]] += content["text"]
            case "execute_result" | "display_data":
                self.results.append(content["data"]["text/plain"])
            case "error":
                self.error = content
            case "status":
                self.idle = content["execution_state"] == "idle"
            case "execute_reply":
                self.reply = content
            case _:
                pass

    @property
    def status(self) -> str:
        assert self.reply is not None
        return str(self.reply["status"])
