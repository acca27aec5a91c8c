"""Whom a job is offered to, and that those who submit at the same moment do not all end on one peer."""

import random
from collections import Counter

import pytest

from homie_core.engine.admission import Admission
from homie_core.engine.asking import Asking
from homie_core.engine.lent import Lent
from homie_core.engine.placement import choose
from homie_core.model.event import Queued
from homie_core.model.job import Ask, Limits
from homie_core.model.names import JobId, NodeName, PeerId
from homie_core.model.peer import Capacity, Peer, Standing

GB = 1 << 30
LENT = Lent(cpus=2, memory=8 * GB, job_cpus=2, job_memory=4 * GB, job_timeout=600, job_disk=GB)


def peer(number):
    """One that looks as good as the others, and better the smaller its number is."""
    capacity = Capacity(
        cores=2, cpu_percent=float(number), ram_total=16 * GB, ram_free=8 * GB, sharing=True, free_cpus=2.0,
        free_memory=8 * GB, max_cpus=2.0, max_memory=4 * GB,
    )  # fmt: skip
    return Peer(
        id=PeerId(f"{number:064x}"), name=NodeName(f"peer{number}"), address="10.0.0.2", port=5556,
        capacity=capacity, standing=Standing.ONLINE, last_seen=0.0,
    )  # fmt: skip


def at(place):
    return Queued(position=place, reason="waits for 2 cores (0 free)")


A, B, C = (peer(number) for number in range(3))


def asked(asking):
    following = asking.next()
    return following and (following.peer, following.most)


def test_each_is_asked_whether_it_can_start_at_once_before_any_place_is_taken():
    asking = Asking([(A, "idle"), (B, "less idle"), (C, "busy")])
    assert asked(asking) == (A, 0)
    asking.waits(A, at(2))
    assert asked(asking) == (B, 0)
    asking.waits(B, at(1))
    assert asked(asking) == (C, 0)
    asking.waits(C, at(1))
    assert asked(asking) == (B, 1), "the best of those where it waits least"
    asking.waits(B, at(3))
    assert asked(asking) == (C, 1)
    asking.drop(C)
    following = asking.next()
    assert (following.peer, following.most) == (A, 2)
    assert following.why == "place 2 in its queue, where it waits for 2 cores (0 free)"


def test_the_only_one_is_asked_without_conditions():
    assert asked(Asking([(A, "idle")])) == (A, None)
    asking = Asking([(A, "idle"), (B, "busy")])
    asking.drop(A)
    assert asked(asking) == (B, None)
    asking.drop(B)
    assert asked(asking) is None


def test_it_ends_also_with_hosts_that_never_keep_their_word():
    asking = Asking([(A, ""), (B, "")])
    for number in range(1, 100):
        following = asking.next()
        if following.most is None:
            break
        asking.waits(following.peer, at(number))
    assert number <= 7


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize(("submitters", "hosts"), [(4, 4), (4, 6), (8, 4), (12, 4)])
def test_who_submit_at_the_same_moment_spread(seed, submitters, hosts):
    """Their offers and answers come in any order; each believes what the heartbeats said before."""
    chance = random.Random(seed)
    peers = [peer(number) for number in range(hosts)]
    there = {each.id: Admission(each.name, LENT) for each in peers}
    open_asks = {number: Asking(choose(peers, Ask())) for number in range(submitters)}
    took = Counter()
    while open_asks:
        number = chance.choice(list(open_asks))
        asking, job, me = open_asks[number], JobId(f"{number:012x}"), PeerId(f"{number + 100:064x}")
        following = asking.next()
        host = there[following.peer.id]
        answer = host.offer(job, me, Ask(), 0.0, following.most)
        if isinstance(answer, Queued):
            asking.waits(following.peer, answer)
            continue
        assert isinstance(answer, Limits)
        took[following.peer.name] += 1
        del open_asks[number]
        if chance.random() < 0.5:  # its files are there at once, or come later
            host.complete(job)
            host.start()
    fair = submitters / hosts
    assert all(fair - 1 < count < fair + 1 for count in took.values()), took
    assert len(took) == min(submitters, hosts)
