"""The host's end of the runner's protocol: what comes out of a sandbox is hostile until it is checked here."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, structs

from homie_core.model.errors import BadMessage
from homie_core.model.event import Busy, Messages, Output, Placed, Restarted
from homie_core.model.job import FileRef
from homie_core.model.wire import Frozen
from homie_core.runner import frames, messages
from homie_core.runner.clock import boottime
from homie_core.sandbox.program import Program

MAX_DISCARD = 16 << 20
"""Bytes of old output that a connection may bring before the runner's answer: more than all pipes hold."""

ANSWER_TIMEOUT = 60.0
"""Seconds for a runner to answer; generous, since a loaded machine may take long to start one."""


class ProgramStarted(Frozen, frozen=True):
    """The program runs."""


class Heard(Frozen, frozen=True):
    """The runner has heard every input up to this one."""

    number: Annotated[int, Meta(ge=0, lt=2**62)]


class ProgramEnd(Frozen, frozen=True):
    """The program has ended, all its output came before; either a status or the signal that ended it."""

    status: Annotated[int, Meta(ge=0, le=255)] | None
    signal: Annotated[int, Meta(ge=1, le=128)] | None
    deadline: bool
    """Whether it was ended because its running time was used up."""
    lapsed: bool = False
    """Whether it was ended because nobody renewed its lease."""

    def __post_init__(self) -> None:
        if (self.status is None) == (self.signal is None):
            raise ValueError("either a status or a signal")

    @property
    def exit_status(self) -> int:
        """What a shell would report."""
        return self.status if self.status is not None else 128 + (self.signal or 0)

    @property
    def signal_name(self) -> str:
        """`SIGKILL`, or empty if no signal ended it."""
        with contextlib.suppress(ValueError):
            return signal.Signals(self.signal or 0).name
        return f"signal {self.signal}" if self.signal else ""


Fact = ProgramStarted | Output | Messages | Busy | Restarted | Placed | Heard | ProgramEnd


class Numbered(NamedTuple):
    """One record of the runner's; numbers grow by exactly one."""

    seq: int
    fact: Fact


class Link:
    """One connection to a runner. Use `connect` first, then read it to the end with `async for`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = 0
        self.heard = 0
        """Number of the last input that the runner had heard when it was connected to."""
        self.recorded = 0
        """Number of its newest record then; 0 if it had started nothing."""
        self._ahead = 0.0
        """Seconds by which its clock is at least ahead of the one here."""

    async def connect(self, after: int = 0) -> None:
        """Ask for every record after this one. Raises BadMessage if the runner does not answer properly."""
        nonce = secrets.token_hex(frames.NONCE // 2)
        wish = msgspec.json.encode({"after": after, "nonce": nonce})
        await self._send(frames.MARK + frames.frame(frames.REPLAY, 0, wish))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._discard_until(frames.answer_to(nonce))
                heard, recorded, clock = [await self._number() for _ in range(3)]
        except TimeoutError as error:
            raise BadMessage(f"the runner in the sandbox gave no answer in {ANSWER_TIMEOUT:.0f} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise BadMessage("the runner in the sandbox ended before it answered") from error
        self._last, self.heard, self.recorded = after, heard, recorded
        self._ahead = clock / 1000 - boottime()  # it has gone on since

    async def start(self, program: Program) -> None:
        """Start the program; harmless if it has been started."""
        if program.lease is not None:
            program = structs.replace(program, lease=program.lease + self._ahead)
        payload = msgspec.json.encode(program)
        if len(payload) > frames.MAX_COMMAND:
            raise BadMessage("the program's arguments are too long")
        await self._send(frames.frame(frames.START, 0, payload))

    async def prepare(self, program: Program) -> None:
        """Start a kernel in advance; it goes on if `start` names the same."""
        await self._send(frames.frame(frames.PREPARE, 0, msgspec.json.encode(program)))

    async def ack(self, seq: int) -> None:
        """Records up to this one are safe here. After the ack of ProgramEnd the sandbox ends by itself."""
        await self._send(frames.frame(frames.ACK, seq))

    async def renew(self, until: float) -> None:
        """Let a program that has a lease run until then, in seconds of `boottime`."""
        await self._send(frames.frame(frames.LEASE, max(0, int((until + self._ahead) * 1000))))

    async def signal(self, number: int) -> None:
        """Send a signal to the program's process group."""
        await self._send(frames.frame(frames.SIGNAL, number))

    # What is said to a session has a number, by which it counts once: `heard` tells from where on to say it.

    async def say(self, data: bytes, number: int = 0) -> None:
        """Say whole messages to a session's kernel."""
        await self._send(frames.frame(frames.INPUT, number, data))

    async def interrupt(self, cell: str = "") -> None:
        """Interrupt this cell of a session, now or when its turn comes; without one all that it was told."""
        await self.say(messages.pack(messages.INTERRUPT, (cell.encode(),) if cell else ()))

    async def restart(self, number: int = 0) -> None:
        """Put another kernel in the place of a session's."""
        await self._send(frames.frame(frames.RESTART, number))

    async def finish(self, number: int = 0) -> None:
        """Let a session's kernel end."""
        await self._send(frames.frame(frames.CLOSE, number))

    async def place(self, file: FileRef, content: Iterator[bytes], number: int = 0) -> None:
        """Write a file into a session's folder; `Placed` tells how it went."""
        about = {"name": file.name, "size": file.size, "executable": file.executable}
        await self._send(frames.frame(frames.FILE, number, msgspec.json.encode(about)))
        for chunk in content:
            await self._send(frames.frame(frames.DATA, 0, chunk))

    def close(self) -> None:
        """Hang up: what still comes is for nobody."""
        self._writer.close()

    async def __aiter__(self) -> AsyncIterator[Numbered]:
        """Yield records until ProgramEnd, or until the sandbox is gone. Raises BadMessage."""
        while True:
            try:
                kind, seq, length = frames.HEADER.unpack(await self._reader.readexactly(frames.HEADER.size))
                if length > frames.MAX_RECORD:
                    raise BadMessage(f"the sandbox sent a record of {length} bytes")
                payload = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if seq != self._last + 1:
                raise BadMessage(f"the sandbox sent record {seq} after record {self._last}")
            self._last = seq
            fact = _fact(kind, payload)
            yield Numbered(seq, fact)
            if isinstance(fact, ProgramEnd):
                return

    async def _number(self) -> int:
        (number,) = frames.NUMBER.unpack(await self._reader.readexactly(frames.NUMBER.size))
        return int(number)

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the reading side notices, and knows what it means
            self._writer.write(data)
            await self._writer.drain()

    async def _discard_until(self, answer: bytes) -> None:
        discarded = 0
        while discarded <= MAX_DISCARD:
            try:
                await self._reader.readuntil(answer)
                return
            except asyncio.LimitOverrunError as error:
                discarded += len(await self._reader.readexactly(error.consumed))
        raise BadMessage("the runner in the sandbox does not answer")


def _fact(kind: int, payload: bytes) -> Fact:
    """Return the record's meaning; raise BadMessage if it has none."""
    try:
        match kind:
            case frames.STARTED:
                return ProgramStarted()
            case frames.STDOUT | frames.STDERR:
                return Output(stream=1 if kind == frames.STDOUT else 2, data=payload)
            case frames.MESSAGES:
                return Messages(data=payload)
            case frames.BUSY:
                return msgspec.convert({"cell": payload.decode()}, Busy)
            case frames.RESTARTED:
                return Restarted()
            case frames.PLACED:
                return msgspec.convert({"error": payload.decode()}, Placed)
            case frames.HEARD if len(payload) == frames.NUMBER.size:
                return msgspec.convert({"number": frames.NUMBER.unpack(payload)[0]}, Heard)
            case frames.EXITED:
                return msgspec.json.decode(payload, type=ProgramEnd)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"the sandbox sent nonsense: {error}") from error
    raise BadMessage(f"the sandbox sent a record of unknown kind {kind}")
