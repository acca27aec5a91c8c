"""Who submits too much, or at the same moment as others: a real host's queue, over real TLS, without a sandbox."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pair import Pair
from rush import Member, rush, submit
from waiting import wait_until

from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import JobEvent, Placed
from homie_core.model.event import Ended, Queued

HOLD = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]):\n    time.sleep(0.01)\n"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What jobs of `HOLD` wait for."""
    return tmp_path / "gate"


async def test_a_thousand_submits_of_two_meet_a_queue_of_a_hundred(tmp_path: Path, gate: Path) -> None:
    with Pair(sandbox="none", desk={"max_jobs": "1"}) as pair:
        members = [Member(tmp_path / name, pair.desk) for name in ("ana", "ben")]
        async with members[0].link() as link:
            await submit(link, HOLD, str(gate))
        order = tmp_path / "order"
        found = await rush(members, 500, f"import sys\nopen({str(order)!r}, 'a').write(sys.argv[1])\n")
        assert found.accepted == {0: 50, 1: 50}
        assert found.refused.total() == 900
        assert set(found.refused) <= {
            "desk has 50 jobs of yours waiting, your share of its 100 places; try another peer, or later",
            "desk has 100 jobs waiting already; try another peer, or later",
        }
        assert found.p95 < 0.2

        gate.touch()
        wait_until(lambda: order.exists() and len(order.read_text()) >= 20, "no twenty began", 30)
        started = order.read_text()[:20]
        behind = [abs(started[:count].count("0") - started[:count].count("1")) for count in range(20)]
        assert max(behind) <= 2, f"not in turns: {started}"


def test_jobs_submitted_at_the_same_moment_go_where_they_start_at_once(
    tmp_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hold.py").write_text(HOLD)
    lends = {"max_jobs": "2", "container_cpu_limit": "0.1", "container_memory_limit": "64m"}
    with Pair(sandbox="none", desk=lends) as pair, ThreadPoolExecutor(5) as pool:
        pair.join("shelf", **lends)
        client = Client(pair.laptop.home)
        assert all(0 < peer.rtt < 1 for peer in client.peers()), "measured when they met"

        def news_of_one():
            request = request_for_script("hold.py", [str(gate)], results=tmp_path, job=new_job_id())
            return client.run(request)

        news = [news_of_one() for _ in range(4)]
        placed = list(pool.map(next, news))
        assert Counter(each.peer for each in placed if isinstance(each, Placed)) == {"desk": 2, "shelf": 2}

        news.append(news_of_one())
        assert next(news[4]).why.startswith("place 1 in its queue, where it waits for one of the jobs here to end")
        events = (each.record.event for each in news[4] if isinstance(each, JobEvent))
        assert next(event for event in events if isinstance(event, Queued)).position == 1
        gate.touch()
        assert [event.outcome.status for event in events if isinstance(event, Ended)] == [0]
