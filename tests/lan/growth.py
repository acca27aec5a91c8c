"""How a node's traffic and state grow with its LAN: `python tests/lan/growth.py [NODES ...]` prints a table.

A LAN in memory on the real peer tables; everyone starts within a second. Heard are heartbeats that come to one
node, and their bytes as they are sealed. Said is one broadcast per interface, whatever the number of nodes. State
is what one table holds in memory, each peer with a capacity of its own, as it is decoded from a heartbeat.
"""

import sys
import time
import tracemalloc

from lan import CAPACITY, Lan

from homie_core.engine.peers import PeerTable, Probe
from homie_core.model.names import GroupId, NodeName, PeerId
from homie_core.model.peer import Beat, BeatKind, Hello
from homie_core.net.seal import Seal

NODES = (3, 10, 30, 100, 300, 1000)
SEAL = Seal(GroupId("0" * 16), bytes(64))
WARM, STEADY = 3.0, 2.0
"""Seconds of virtual time: for everyone to see everyone, and then to count."""


def grow(nodes: int) -> tuple[float, float, float, int, float]:
    """Return seconds until everyone sees everyone, heartbeats heard per second, bytes heard per second, bytes of
    state, and seconds of a core per second, all of one node."""
    lan = Lan(nodes=nodes, seed=1)
    seen = None
    while lan.now < WARM:
        lan.run(until=lan.now + 0.25)
        if seen is None and lan.everyone_sees_everyone():
            seen = lan.now
    assert seen is not None, f"not everyone sees everyone of {nodes} nodes within {WARM} s"
    before = lan.datagrams
    lan.run(until=WARM + STEADY)
    heard = (lan.datagrams - before) / STEADY / nodes
    return seen, heard, heard * len(SEAL.close(_beat(1, 1))), _state(nodes - 1), heard * _cost(nodes - 1)


def _beat(number: int, seq: int) -> Beat:
    id, name = PeerId(f"{number:064x}"), NodeName(f"node{number}")
    return Beat(id=id, name=name, boot=1, seq=seq, port=5556, capacity=CAPACITY, kind=BeatKind.HERE)


def _table(sealed: list[bytes]) -> PeerTable:
    """Return a table in which the senders of these heartbeats are online."""
    table = PeerTable(PeerId(f"{0:064x}"))
    for at, data in enumerate(sealed):
        beat, address = SEAL.open(data), _address(at)
        table.heard(beat, address, 0.0)
        hello = Hello(protocol=2, version="0", name=beat.name, port=5556, boot=1, seq=2, capacity=beat.capacity)
        table.proved(Probe(address, 5556, beat.id), beat.id, hello, 0.0)
    assert len(list(table.online())) == len(sealed)
    return table


def _address(at: int) -> str:
    return f"10.0.{at // 250}.{at % 250}"


def _state(peers: int) -> int:
    """Return the bytes of a table in which so many peers are online."""
    sealed = [SEAL.close(_beat(number, 1)) for number in range(1, peers + 1)]
    _table(sealed)  # what is made once, whatever the number
    tracemalloc.start()
    table = _table(sealed)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del table
    return size


def _cost(peers: int) -> float:
    """Return the seconds that it takes to open a heartbeat of one of so many peers and to take it in."""
    table = _table([SEAL.close(_beat(number, 1)) for number in range(1, peers + 1)])
    rounds = max(1, 1000 // peers)
    sealed = [(at, SEAL.close(_beat(at + 1, 2 + turn))) for turn in range(rounds) for at in range(peers)]
    began = time.process_time()
    for at, data in sealed:
        table.heard(SEAL.open(data), _address(at), 1.0)
    return (time.process_time() - began) / len(sealed)


def main() -> None:
    print("| nodes | all see all | heartbeats heard | bytes heard | state of the table | CPU for them |")
    print("| --- | --- | --- | --- | --- | --- |")
    for nodes in map(int, sys.argv[1:] or NODES):
        seen, heard, size, state, cost = grow(nodes)
        print(
            f"| {nodes} | {seen:.2f} s | {heard:.1f} /s | {size / 1000:.1f} kB/s | {state / 1000:.0f} kB "
            f"| {100 * cost:.2f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
