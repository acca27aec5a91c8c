"""Calling a peer's API over real mutual TLS on loopback: what goes wrong is said in words."""

import asyncio
import hashlib
from contextlib import closing, contextmanager

import pytest
from test_tls import node

from homie_core.model.errors import LinkBroke, PeerRefused, PeerUnreachable, TransferError
from homie_core.model.event import Queued, Record
from homie_core.model.job import FileRef
from homie_core.model.names import Digest, FileName, JobId, NodeName
from homie_core.model.peer import Capacity, Hello
from homie_core.model.wire import PROTOCOL, frame
from homie_core.net.link import Link, read_chunks
from homie_core.net.server import PeerServer
from homie_core.net.tls import client_context, server_context

JOB = JobId("0" * 12)
CAPACITY = Capacity(cores=1, cpu_percent=0.0, ram_total=1, ram_free=1)
HELLO = Hello(protocol=PROTOCOL, version="0", name=NodeName("desk"), port=1, boot=1, seq=1, capacity=CAPACITY)


class Host:
    """Takes uploads into memory, has one result, and knows nothing else."""

    def __init__(self):
        self.received = b""
        self.results = None

    @contextmanager
    def receive(self, caller, job, digest):
        got = bytearray()
        yield type("Sink", (), {"write": lambda _, data: got.extend(data)})()
        self.received = bytes(got)

    @contextmanager
    def result(self, caller, job, digest):
        yield self.results

    def stop(self, caller, job):
        raise PeerRefused("there is no such job")

    def events(self, caller, job, after):
        raise PeerRefused("there is no such job")


@pytest.fixture
async def host(tmp_path):
    mine = node(tmp_path / "host")
    host = Host()
    context = server_context(mine.cert_file, mine.key_file, mine.ca_pem)
    server = PeerServer(host, lambda *_: HELLO, context)
    await server.open("127.0.0.1", 0)
    host.id = mine.peer_id
    host.port = server._runner.addresses[0][1]
    yield host
    await server.close()


@pytest.fixture
async def link(host, tmp_path):
    mine = node(tmp_path / "caller")
    context = client_context(mine.cert_file, mine.key_file, mine.ca_pem)
    async with Link("127.0.0.1", host.port, host.id, context) as link:
        yield link


def ref(data):
    return FileRef(name=FileName("x"), digest=Digest(hashlib.sha256(data).hexdigest()), size=len(data))


async def test_a_hello_says_who_answered(host, link):
    assert await link.hello(HELLO) == (host.id, HELLO)


async def test_a_file_goes_up_in_pieces_and_each_is_counted(host, link, tmp_path):
    data = b"0123456789" * 100_000
    (tmp_path / "x").write_bytes(data)
    pieces = []
    await link.upload(JOB, ref(data), read_chunks(tmp_path / "x", len(data), pieces.append))
    assert host.received == data
    assert sum(pieces) == len(data)
    assert max(pieces) == 256 << 10


@pytest.mark.parametrize("now", [b"shorter", b"longer than it was"])
async def test_a_file_that_changes_while_it_is_sent_is_said_and_not_taken(host, link, tmp_path, now):
    (tmp_path / "x").write_bytes(now)
    with pytest.raises(TransferError, match="changed while it was being sent"):
        await link.upload(JOB, ref(b"as it was"), read_chunks(tmp_path / "x", 9, lambda _: None))
    assert host.received != now


async def test_a_file_that_has_gone_is_said(link, tmp_path):
    with pytest.raises(TransferError, match="cannot be read any more"):
        await link.upload(JOB, ref(b"x"), read_chunks(tmp_path / "gone", 1, lambda _: None))


async def test_a_result_comes_back(host, link, tmp_path):
    host.results = tmp_path / "result"
    host.results.write_bytes(b"model" * 200_000)
    got, pieces = bytearray(), []
    sink = type("Sink", (), {"write": lambda _, data: got.extend(data)})()
    await link.download(JOB, ref(b"model" * 200_000), sink, pieces.append)
    assert got == b"model" * 200_000
    assert sum(pieces) == len(got)


async def test_a_no_arrives_as_the_peer_said_it(link):
    with pytest.raises(PeerRefused, match="there is no such job"):
        await link.stop(JOB)


async def test_a_no_to_who_wants_to_read_events_is_no_broken_link(link):
    with pytest.raises(PeerRefused, match="there is no such job"):
        [record async for record in link.events(JOB, 0)]


async def test_a_host_that_falls_silent_is_a_broken_link(host, tmp_path, monkeypatch):
    """As behind a pulled cable: nothing is closed, and pings are not answered."""
    monkeypatch.setattr("homie_core.net.link.PING", 0.2)
    plugged, unused = asyncio.Event(), asyncio.Event()
    plugged.set()

    async def carry(reader, writer):
        with closing(writer):
            while data := await reader.read(1 << 16):
                await plugged.wait()
                writer.write(data)

    async def cable(*ours):
        theirs = await asyncio.open_connection("127.0.0.1", host.port)
        await asyncio.gather(carry(ours[0], theirs[1]), carry(theirs[0], ours[1]))
        unused.set()

    async def events(caller, job, after):
        yield frame(Record(seq=1, at=0.0, event=Queued(position=1, reason="")))
        await asyncio.Future()

    host.events = events
    mine = node(tmp_path / "caller")
    context = client_context(mine.cert_file, mine.key_file, mine.ca_pem)
    async with await asyncio.start_server(cable, "127.0.0.1", 0) as server:
        async with Link(*server.sockets[0].getsockname(), host.id, context) as link:
            records = link.events(JOB, 0)
            assert (await anext(records)).seq == 1
            plugged.clear()
            with pytest.raises(LinkBroke, match="in time"):
                await anext(records)
        plugged.set()
        await unused.wait()


async def test_nobody_there_is_said_with_the_address(link, host, tmp_path):
    mine = node(tmp_path / "caller")
    context = client_context(mine.cert_file, mine.key_file, mine.ca_pem)
    async with Link("127.0.0.1", 9, host.id, context) as nowhere:
        with pytest.raises(PeerUnreachable, match=r"no answer from 127.0.0.1:9 \(connection refused\)"):
            await nowhere.stop(JOB)
