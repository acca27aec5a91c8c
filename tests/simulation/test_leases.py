"""Jobs that may be started again, one trouble at a time, in virtual time."""

import pytest
from msgspec import structs
from people import Front
from world import World, world_of

from homie_core.model.control import Source
from homie_core.model.job import How
from homie_core.model.names import FileName

THREE = 8
"""A seed of three nodes; of its chance nothing else is used."""


@pytest.fixture
def world():
    with world_of(THREE) as world:
        world.lan.heal()
        for node in world.nodes:
            node.sharing = True
            node.boot()
        world.loop.run(8.0)
        yield world
        assert not world.faults


def job(world: World, *, lease: float, lines: int = 20, gap: float = 1.0, size: int = 1000) -> Front:
    """Let node0 submit a job that may be started again once; it has an input of so many bytes."""
    plan = ("abcdefabcdef", "1.0", str(lines), str(gap), "0", "False")
    front = Front(world, world.nodes[0], plan, 120.0, None, retry=1, lease=lease)
    data = Source(name=FileName("data"), content=bytes(size))
    front.request = structs.replace(front.request, files=(front.request.files[0], data))
    front._slow = 0.0
    world.fronts.append(front)
    front.begin()
    return front


def until(world: World, what, seconds: float = 600.0) -> None:
    world.loop.run(world.loop.now + seconds, what)
    assert what()


def ran(world: World, front: Front) -> list[str]:
    return [run.machine.name for run in world.ledger[front.job].runs]


def host(world: World, front: Front):
    return next(node for node in world.nodes if node.name == front.host)


@pytest.fixture
def running(world):
    """A job of 20 s on another machine than its submitter's."""
    front = job(world, lease=8.0)
    until(world, lambda: front.heard >= 4)
    assert front.host != "node0"
    return front


@pytest.mark.parametrize("stays", [True, False])
def test_its_files_may_take_longer_to_come_than_its_lease(world, stays):
    world.lan.delay = 0.05
    front = job(world, lease=8.0, lines=0, size=50_000)
    until(world, lambda: front.host is not None)
    if not stays:
        front.detach()
    until(world, lambda: front.concluded)
    assert (front.outcome.how, len(ran(world, front))) == (How.EXITED, 1)
    assert front.concluded_at > 20.0


def test_silence_for_less_than_half_its_lease_does_not_end_a_quiet_job(world):
    front = job(world, lease=40.0, lines=1, gap=60.0)
    until(world, lambda: front.heard == 2)
    ends = host(world, front).address, front.node.address
    world.troubles._cut({ends, ends[::-1]}, 19.9)
    until(world, lambda: front.concluded)
    assert (front.outcome.how, len(ran(world, front))) == (How.EXITED, 1)
    assert front.concluded_at > 60.0


def test_a_full_disk_of_its_submitter_only_delays_its_next_start(world, running):
    running.node.machine.disk_full = True
    host(world, running).lose_power()
    world.loop.run(world.loop.now + 60.0)
    assert len(ran(world, running)) == 1
    running.node.machine.disk_full = False
    until(world, lambda: running.concluded)
    assert (running.outcome.how, len(ran(world, running))) == (How.EXITED, 2)
    assert not running.node.runs.care._moves


def test_who_comes_while_it_is_moved_sees_it_move(world, running):
    first = host(world, running)
    first.lose_power()
    until(world, lambda: running.node.runs.journal.sent(running.job).peer != first.id)
    running._task.cancel()
    running.attach()
    until(world, lambda: running.concluded)
    assert (running.gone, running.outcome.how, len(ran(world, running))) == ("", How.EXITED, 2)


def test_who_comes_when_its_host_has_dropped_it_sees_it_start_again(world, running):
    first = host(world, running)
    running.node.crash()
    until(world, lambda: not first.hosting.jobs())
    hosted = first.hosting._jobs[running.job]
    first.life.context.copy().run(first.hosting.drop, hosted, "it took too much room")
    running.node.boot()
    until(world, lambda: running.concluded)
    assert (running.gone, running.outcome.how, len(ran(world, running))) == ("", How.EXITED, 2)


def test_another_host_may_turn_up_a_little_later(world, running):
    first, others = host(world, running), [node for node in world.nodes if node not in (running.node,)]
    for node in others:
        node.lose_power()
    world.loop.run(world.loop.now + 25.0)
    next(node for node in others if node is not first).boot()
    until(world, lambda: running.concluded)
    assert (running.outcome.how, len(ran(world, running))) == (How.EXITED, 2)


def test_one_that_is_stopped_while_it_is_moved_does_not_go_on(world, running):
    first = host(world, running)
    first.lose_power()
    until(world, lambda: running.node.runs.journal.sent(running.job).peer != first.id)
    running.node.runs.care.forgo(running.job)
    until(world, lambda: running.concluded)
    assert running.outcome.how is How.STOPPED


def test_one_that_was_stopped_is_not_started_again_by_the_next_daemon(world, running):
    running.node.runs.care.forgo(running.job)
    running.node.crash()
    host(world, running).gone = True
    host(world, running).lose_power()
    running.node.boot()
    world.loop.run(world.loop.now + 100.0)
    assert len(ran(world, running)) == 1
