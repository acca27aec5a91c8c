"""The lease of a job: it never runs on when its submitter may have started it elsewhere."""

import random

import pytest

from homie_core.engine.lease import MARGIN, TICKETS, Lease, Tenure


def test_a_ticket_counts_from_when_it_was_handed_out():
    lease = Lease(length=60, until=60)
    lease.hand_out("a", now=10)
    lease.hand_out("b", now=20)
    lease.renew("b")
    assert lease.until == 80
    lease.renew("a")
    assert lease.until == 80, "an older one takes nothing away"
    lease.renew("of another life")
    assert lease.until == 80


def test_tickets_that_never_come_back_cost_no_memory():
    lease = Lease(length=60, until=60)
    for number in range(1000):
        lease.hand_out(str(number), now=number)
    lease.renew("5")
    assert lease.until == 60
    lease.renew("999")
    assert lease.until == 999 + 60
    assert len(lease._tickets) == TICKETS


@pytest.mark.parametrize("seed", range(50))
def test_whatever_the_network_does_the_job_has_ended_when_its_submitter_may_start_it_again(seed):
    """Renewals and answers are lost, late, and overtake each other; the host's clock is another one."""
    chance, ahead = random.Random(seed), random.Random(seed).uniform(-1e6, 1e6)
    lease, tenure = Lease(60, ahead + 60), Tenure(60, 0)
    now, ticket, under_way = 0.0, "", []
    tenure.sent(now)
    for number in range(200):
        now += chance.uniform(0, 20)
        assert lease.until - ahead <= tenure.until - MARGIN
        if chance.random() < 0.5:
            tenure.sent(now)
            under_way.append(("renewal", ticket))
        for _ in range(chance.randrange(3)):
            if under_way:
                what, carried = under_way.pop(chance.randrange(len(under_way)))
                if what == "renewal":
                    lease.renew(carried)
                    lease.hand_out(str(number), now + ahead)
                    under_way.append(("answer", str(number)))
                else:
                    ticket = carried
        if chance.random() < 0.2 and under_way:
            under_way.pop(0)
