"""The network between simulated nodes: it loses, delays, reorders, doubles and cuts, one way or both.

`Wire` stands where `net.link.Link` stands, and calls what stands behind `net.server.PeerServer`.
"""

import asyncio
import contextvars
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from power import effect
from virtual import LIFE, Loop

from homie_core.model.errors import BadMessage, HomieError, LinkBroke, PeerUnreachable
from homie_core.model.event import Accepted, Queued, Record
from homie_core.model.job import JobSpec, Ticket
from homie_core.model.names import JobId
from homie_core.model.peer import Beat, Hello
from homie_core.model.report import Gone, Report, ReportRequest
from homie_core.model.wire import Unframer, decode, encode

CONNECT, READ, PING = 4.0, 30.0, 20.0
"""Seconds after which a connection, an answer, or a sign of life that does not come is given up."""


@dataclass
class Lan:
    """Who is where, and what passes between them."""

    loop: Loop
    random: random.Random
    nodes: dict[str, Any] = field(default_factory=dict)
    """By address."""
    cut: set[tuple[str, str]] = field(default_factory=set)
    """Pairs (from, to) of addresses between which nothing passes."""
    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.002
    """Seconds, on average."""
    datagrams: int = 0
    trace: Callable[[str], None] = lambda what: None

    def passes(self, a: str, b: str) -> bool:
        return (a, b) not in self.cut and not any(self.nodes[each].machine.asleep for each in (a, b))

    def heal(self) -> None:
        """From now on all arrives, once."""
        self.cut.clear()
        self.loss = self.doubling = 0.0

    def both(self, a: str, b: str) -> bool:
        return self.passes(a, b) and self.passes(b, a)

    def pause(self) -> float:
        """Return how long something is on its way: what was lost is sent again by TCP, later."""
        late = self.random.random()
        return self.random.expovariate(1 / self.delay) + (3 * self.random.random() if late < self.loss else 0.0)


class Air:
    """One node's `net.discovery.Discovery`: datagrams, which may never arrive."""

    trouble, strangers = "", False

    def __init__(self, lan: Lan, address: str, hear: Callable[[Beat, tuple[str, int]], None]) -> None:
        self._lan, self._address, self._hear = lan, address, hear

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, beat: Beat) -> None:
        for address in self._lan.nodes:
            if address != self._address:
                self.send_to(beat, (address, 0))

    def send_to(self, beat: Beat, place: tuple[str, int]) -> None:
        effect("datagram")
        lan, address = self._lan, place[0]
        lan.datagrams += 1
        for _ in range(1 + (lan.random.random() < lan.doubling)):
            if lan.passes(self._address, address) and lan.random.random() >= lan.loss:
                hear = lan.nodes[address].hear
                lan.loop.call_later(lan.pause(), hear, beat, self._address, context=contextvars.Context())

    def receive(self, beat: Beat, source: str) -> None:
        self._hear(beat, (source, 0))


class Wire:
    """The way from one node to another; in the place of `Link(address, port, expect, context)`."""

    def __init__(self, address: str, port: int, expect: str | None, here: Any) -> None:
        self.address = (address, port)
        self._expect, self._here, self._there = expect, here, address
        self._lan: Lan = here.lan

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def close(self) -> None:
        pass

    async def hello(self, mine: Hello) -> tuple[str, Hello]:
        node = self._lan.nodes[self._there]
        theirs = await self._ask(lambda host: host.greet(self._here.id, self._here.address, mine), doubled=False)
        return node.id, theirs

    async def offer(self, spec: JobSpec) -> Accepted:
        answer = await self.offer_for(spec, None)
        assert isinstance(answer, Accepted)
        return answer

    async def offer_for(self, spec: JobSpec, most: int | None) -> Accepted | Queued:
        sent = encode(spec)

        def offer(node: Any) -> bytes:
            return encode(node.reception.offer(self._here.id, decode(sent, JobSpec), most))

        return decode(await self._ask(offer), Accepted | Queued)  # type: ignore[arg-type]

    async def renew(self, job: str, ticket: Ticket) -> Ticket:
        return await self._ask(lambda node: node.reception.renew(self._here.id, job, ticket))

    async def stop(self, job: str) -> None:
        await self._ask(lambda node: node.reception.stop(self._here.id, job))

    async def report(self, jobs: Sequence[JobId]) -> dict[JobId, Report | Gone]:
        request = ReportRequest(jobs=tuple(jobs))
        answer = await self._ask(lambda node: node.reception.report(self._here.id, request))
        return {report.job: report for report in answer.jobs}

    async def forget(self, job: str) -> None:
        await self._ask(lambda node: node.reception.forget(self._here.id, job))

    async def upload(self, job: str, file: Any, chunks: AsyncIterator[bytes]) -> None:
        content = [chunk[at : at + 100] async for chunk in chunks for at in range(0, len(chunk), 100)]

        async def receive(node: Any) -> None:
            with node.reception.receive(self._here.id, job, file.digest) as sink:
                for chunk in content:
                    await asyncio.sleep(self._lan.pause())
                    if not self._lan.passes(self._here.address, self._there) or not life.alive:
                        await asyncio.sleep(READ)
                        raise ConnectionResetError("the one who sends has gone")
                    sink.write(chunk)

        life = LIFE.get()
        await self._ask(receive)

    async def download(self, job: str, file: Any, sink: Any, progress: Callable[[int], None]) -> None:
        def result(node: Any) -> bytes:
            with node.reception.result(self._here.id, job, file.digest) as path:
                return bytes(path.read_bytes())

        data = await self._ask(result, doubled=False)
        for at in range(0, len(data), 100):
            await asyncio.sleep(self._lan.pause())
            if not self._lan.both(self._there, self._here.address):
                await asyncio.sleep(READ)
                raise LinkBroke("the link broke in mid-file")
            sink.write(data[at : at + 100])
            progress(len(data[at : at + 100]))

    async def events(self, job: str, after: int, outbox: Any = None) -> AsyncIterator[Record]:
        stream: asyncio.Queue[bytes | HomieError | None] = asyncio.Queue()
        unframer = Unframer()
        lan, here, there = self._lan, self._here.address, self._there

        async def serve(node: Any) -> None:
            events = node.reception.events(self._here.id, job, after)
            node.life.at_end.append(lambda: arrive(LinkBroke("the other side is gone")))
            sending.append(node.start(send(events), f"send events of {job}"))

        async def send(events: AsyncIterator[bytes]) -> None:
            async for data in events:
                if not await passes(data):
                    return
            await passes(None)

        async def passes(data: bytes | None) -> bool:
            await asyncio.sleep(lan.pause())
            silent = 0.0
            while not lan.both(there, here):
                await asyncio.sleep(1.0)
                silent += 1.0
                if silent > PING or not life.alive:
                    arrive(LinkBroke("nothing was heard for too long"))
                    return False
            arrive(data)
            return True

        def hang_up() -> None:
            for task in sending:
                lan.loop.call_later(lan.pause(), task.cancel, context=contextvars.Context())

        def arrive(data: Any) -> None:
            life.context.copy().run(stream.put_nowait, data)

        sending: list[asyncio.Task[Any]] = []
        life = LIFE.get()
        await self._ask(serve, doubled=False)
        life.at_end.append(hang_up)
        try:
            while True:
                try:
                    data = await asyncio.wait_for(stream.get(), PING)
                except TimeoutError:
                    if lan.both(here, there):
                        continue  # it answers pings
                    raise LinkBroke("no ping was answered") from None
                if data is None:
                    return
                if isinstance(data, HomieError):
                    raise data
                for record in (decode(each, Record) for each in unframer.feed(data)):
                    after += 1
                    if record.seq != after:
                        raise BadMessage(f"event {record.seq} where {after} was due")
                    yield record
        finally:
            hang_up()

    async def _ask(self, serve: Callable[[Any], Any], doubled: bool = True) -> Any:
        """Ask the node there and wait for its answer, as over one connection of HTTP."""
        lan, here, there = self._lan, self._here.address, self._there
        effect("request")
        kept = lan.random.random() < 0.5  # a connection that was made before
        if not lan.passes(here, there) or not (kept or lan.passes(there, here)):
            await asyncio.sleep(CONNECT)
            raise (LinkBroke if kept else PeerUnreachable)(f"no answer from {there}")
        await asyncio.sleep(lan.pause())
        node = lan.nodes[there]
        if not node.up:
            raise PeerUnreachable(f"no answer from {there} (connection refused)")
        if self._expect and node.id != self._expect:
            raise PeerUnreachable(f"{there} answers with another key than the one known")
        answer = lan.loop.create_future()
        life = LIFE.get()

        def settle(result: Any, error: BaseException | None) -> None:
            if life.alive and not answer.done():
                answer.set_result((result, error))

        def later(result: Any, error: BaseException | None) -> None:
            if lan.passes(there, here):
                lan.loop.call_later(lan.pause(), settle, result, error, context=life.context.copy())

        async def handle(first: bool) -> None:
            result = error = None
            try:
                result = serve(node)
                if isinstance(result, Awaitable):
                    result = await result
            except HomieError as caught:
                error = caught
            except ConnectionError as caught:
                error = LinkBroke(str(caught))
            except Exception as caught:
                node.machine.troubles.append("".join(traceback.format_exception(caught)))
                error = HomieError("an error inside the daemon")
            if first:
                later(result, error)

        node.life.at_end.append(lambda: settle(None, LinkBroke(f"{there} hung up")))
        node.start(handle(True), "request")
        if doubled and lan.random.random() < lan.doubling:
            again = lan.random.uniform(0.0, 20.0)
            serving = node.life.context.copy()
            lan.loop.call_later(again, lambda: node.start(handle(False), "request, again"), context=serving)
        try:
            async with asyncio.timeout(READ):
                result, error = await answer
        except TimeoutError:
            raise LinkBroke(f"no answer from {there} in time") from None
        if error:
            raise error
        return result
