"""Heartbeats over real UDP on loopback."""

import asyncio
import socket

import pytest

from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, Capacity
from homie_core.net.discovery import Discovery
from homie_core.net.seal import Seal
from homie_core.store.identity import Group, new_secret

GROUP = Group.from_secret(new_secret(lambda size: b"\x01" * size))
STRANGERS = Group.from_secret(new_secret(lambda size: b"\x02" * size))
CAPACITY = Capacity(cores=1, cpu_percent=0.0, ram_total=1, ram_free=1)


def beat(seq=0):
    return Beat(id=PeerId("a" * 64), name=NodeName("desk"), boot=1, seq=seq, port=5556, capacity=CAPACITY)


class Ear:
    """A node's discovery and what it has heard."""

    def __init__(self, port, group=GROUP, listen="127.0.0.1"):
        self.heard = asyncio.Queue()
        self.discovery = Discovery(
            Seal(group.id, group.beat_key),
            port,
            listen,
            lambda: ["127.255.255.255"],
            lambda beat, source: self.heard.put_nowait((beat, source)),
        )

    async def next(self):
        return await asyncio.wait_for(self.heard.get(), 5)


@pytest.fixture
def port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def ears(port):
    made = []

    async def make(**changes):
        ear = Ear(**{"port": port, **changes})
        await ear.discovery.open()
        made.append(ear)
        return ear

    yield make
    for ear in made:
        ear.discovery.close()


async def test_several_daemons_of_one_machine_hear_a_broadcast(ears):
    a, b, c = [await ears() for _ in range(3)]
    a.discovery.send(beat())
    for ear in (a, b, c):
        assert (await ear.next())[0] == beat()


async def test_a_direct_answer_reaches_the_one_who_asked_and_nobody_else(ears):
    a, b, c = [await ears() for _ in range(3)]
    a.discovery.send(beat(1))
    for ear in (a, b, c):
        _, source = await ear.next()
    b.discovery.send_to(beat(2), source)
    assert (await a.next())[0].seq == 2
    b.discovery.send(beat(3))
    assert (await c.next())[0].seq == 3, "nothing came in between"


async def test_another_group_is_noticed_but_not_heard(ears, port):
    ours, theirs = await ears(), await ears(group=STRANGERS)
    theirs.discovery.send(beat(1))
    await theirs.next()
    ours.discovery.send(beat(2))
    assert (await ours.next())[0].seq == 2
    assert ours.discovery.strangers


async def test_rubbish_is_dropped_without_an_answer(ears, port):
    ear = await ears()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.setblocking(False)
        for data in (b"", b"x", b"HOMI", b"HOMI\x01" + b"\0" * 500, b"\xff" * 1400):
            stranger.sendto(data, ("127.0.0.1", port))
        ear.discovery.send(beat())
        await ear.next()
        with pytest.raises(BlockingIOError):
            stranger.recv(100)


async def test_a_taken_port_is_trouble_but_no_end(ears, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as selfish:
        selfish.bind(("", port))
        ear = await ears()
        assert f"UDP port {port} is taken" in ear.discovery.trouble
        ear.discovery.send(beat())
        assert selfish.recv(2000)
