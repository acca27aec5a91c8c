"""How a job finds its host when hosts fall silent, have no room, or do not keep their word. Links are played."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homie_core.daemon import submitting
from homie_core.daemon.meter import Meter
from homie_core.daemon.submitting import Submitter
from homie_core.daemon.tasks import Tasks
from homie_core.model.control import Placed, RunRequest
from homie_core.model.errors import BadMessage, LinkBroke, PeerRefused, PeerUnreachable
from homie_core.model.event import Accepted, Queued
from homie_core.model.job import JobSpec, Kind, Limits
from homie_core.model.names import JobId, NodeName, PeerId
from homie_core.model.peer import Capacity, Peer, Standing
from homie_core.store.journal import Journal

GB = 1 << 30
JOB = JobId("0" * 12)
YES = Accepted(limits=Limits(cpus=1, memory=GB, timeout=60), missing=())


class Host:
    """Answers offers as it is told, one after another, the last answer for ever."""

    def __init__(self, number: int, *answers: Accepted | Queued | Exception) -> None:
        self.answers, self.asked, self.stops = list(answers), list[int | None](), list[Exception | None]()
        self.peer = Peer(
            id=PeerId(f"{number:064x}"), name=NodeName(f"host{number}"), address="10.0.0.2", port=5556,
            capacity=Capacity(
                cores=4, cpu_percent=float(number), ram_total=8 * GB, ram_free=8 * GB, sharing=True, free_cpus=4,
                free_memory=8 * GB, max_cpus=2, max_memory=GB,
            ),
            standing=Standing.ONLINE, last_seen=0.0,
        )  # fmt: skip
        self.stopped = 0

    async def offer_for(self, spec: JobSpec, most: int | None) -> Accepted | Queued:
        self.asked.append(most)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stop(self, job: JobId) -> None:
        self.stopped += 1
        if self.stops and (error := self.stops.pop(0)):
            raise error


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(submitting, "PATIENCE", 0.05)
    monkeypatch.setattr(submitting, "PAUSE", 0.01)
    monkeypatch.setattr(submitting, "PAUSE_BETWEEN", 0.0)

    async def submit(*hosts: Host, job: JobId = JOB) -> Placed:
        by_id = {host.peer.id: host for host in hosts}
        links: Any = SimpleNamespace(peers=lambda: [host.peer for host in hosts], to=by_id.__getitem__)
        journal, tasks = Journal(tmp_path / "journal.db"), Tasks()
        placing: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        request = RunRequest(id=job, kind=Kind.SESSION, results=str(tmp_path))
        try:
            sent = await Submitter(journal, links, lambda: 0.0, tasks).submit(request, placing, Meter(up=True))
            assert journal.sent(job) == sent
            assert sent.peer == placing.result().id
        finally:
            await tasks.settle(5)
            journal.close()
        return placing.result()

    return submit


async def test_one_whose_answer_was_lost_ends_the_job_when_it_is_back(submit):
    silent, other = Host(1, LinkBroke("no answer")), Host(2, YES)
    silent.stops = [PeerUnreachable("not yet"), None]
    assert (await submit(silent, other)).peer == "host2"
    assert len(silent.asked) > 1, "the same offer counts once, so it is made again first"
    assert (silent.stopped, other.stopped) == (2, 0)


async def test_one_that_was_never_reached_is_not_told_anything(submit):
    away, other = Host(1, PeerUnreachable("nobody there")), Host(2, YES)
    assert (await submit(away, other)).peer == "host2"
    assert (away.asked, away.stopped) == ([0], 0)


async def test_one_that_had_not_heard_the_offer_says_so_and_is_left_alone(submit):
    silent, other = Host(1, LinkBroke("no answer")), Host(2, YES)
    silent.stops = [PeerRefused("there is no job here"), AssertionError("asked again")]
    await submit(silent, other)
    assert silent.stopped == 1


async def test_it_waits_where_it_waits_least(submit):
    full, fuller = (Host(n, Queued(position=p, reason="waits for 2 cores"), YES) for n, p in ((1, 3), (2, 1)))
    placed = await submit(full, fuller)
    assert (full.asked, fuller.asked) == ([0], [0, 1])
    assert (placed.peer, placed.why) == ("host2", "place 1 in its queue, where it waits for 2 cores")


async def test_one_that_says_no_or_rubbish_is_passed_over(submit):
    placed = await submit(Host(1, PeerRefused("full")), Host(2, BadMessage("rubbish")), Host(3, YES))
    assert placed.peer == "host3"
    silent = Host(3, LinkBroke("no answer"))
    with pytest.raises(PeerRefused, match="full; rubbish; no answer"):
        await submit(Host(1, PeerRefused("full")), Host(2, BadMessage("rubbish")), silent, job=JobId("1" * 12))
    assert silent.stopped == 1
