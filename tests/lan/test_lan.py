"""Who sees whom on a whole LAN, from one seed; a failing seed is in the test's name."""

import pytest
from lan import Lan

from homie_core.engine.peers import LOST, MAX_BACKOFF


@pytest.mark.parametrize("seed", range(20))
def test_everyone_sees_everyone_soon(seed):
    lan = Lan(nodes=8, seed=seed)
    lan.run(until=1.5)
    assert lan.everyone_sees_everyone()


@pytest.mark.parametrize("seed", range(20))
def test_loss_delays_but_never_hides(seed):
    lan = Lan(nodes=5, lose=0.3, seed=seed)
    lan.run(until=10.0)
    assert lan.everyone_sees_everyone()
    for second in range(11, 120):
        lan.run(until=float(second))
        assert lan.everyone_sees_everyone(), f"someone was dropped at {second} s"


@pytest.mark.parametrize("seed", range(10))
def test_a_crashed_node_is_gone_within_the_bound_and_found_again(seed):
    lan = Lan(nodes=5, seed=seed)
    lan.run(until=10.0)
    victim = lan.hosts[seed % 5]
    lan.crash(victim)
    lan.run(until=10.0 + LOST + 2.5)
    assert all(victim.id not in lan.sees(host) for host in lan.hosts if host.up)
    lan.restart(victim)
    lan.run(until=lan.now + 3.0)
    assert lan.everyone_sees_everyone()


@pytest.mark.parametrize("seed", range(10))
def test_a_partition_heals(seed):
    lan = Lan(nodes=6, seed=seed)
    lan.run(until=10.0)
    left, right = lan.hosts[:3], lan.hosts[3:]
    lan.cut = {pair for a in left for b in right for pair in ((a.address, b.address), (b.address, a.address))}
    lan.run(until=60.0)
    assert all(lan.sees(host) == {other.id for other in left} - {host.id} for host in left)
    lan.cut = set()
    lan.run(until=60.0 + MAX_BACKOFF + 2.5)
    assert lan.everyone_sees_everyone()


@pytest.mark.parametrize("seed", range(5))
def test_broadcast_that_passes_one_way_only_is_enough(seed):
    """The one who hears probes, and its hello introduces it to the other."""
    lan = Lan(nodes=2, seed=seed)
    a, b = lan.hosts
    silent = lan._send
    lan._send = lambda host, other, beat: silent(host, other, beat) if host is a else None
    lan.run(until=5.0)
    assert lan.sees(b) == {a.id}
    assert lan.sees(a) == {b.id}


def test_traffic_grows_with_the_square_of_the_nodes_and_not_faster():
    small, big = Lan(nodes=10, seed=1), Lan(nodes=40, seed=1)
    for lan in (small, big):
        lan.run(until=30.0)
        assert lan.everyone_sees_everyone()
    assert big.datagrams / small.datagrams < 1.2 * (40 / 10) ** 2
