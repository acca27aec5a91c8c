"""Which ended jobs a host lets go: by their age, and by the room that they take; not while they are fetched."""

from pathlib import Path

import pytest

from homie_core.daemon import hosted as module
from homie_core.daemon.hosted import GRACE, Hosted
from homie_core.daemon.keeping import KEEP, Keeping
from homie_core.engine.lifecycle import accept
from homie_core.model.event import Accepted
from homie_core.model.job import FileRef, JobSpec, Kind, Limits
from homie_core.model.names import Digest, FileName, JobId, PeerId

ACCEPTED = Accepted(limits=Limits(cpus=1, memory=1 << 30, timeout=60), missing=())
BLOCK = 64 << 10


@pytest.fixture
def jobs(tmp_path: Path) -> dict[JobId, Hosted]:
    """Three jobs of 64 KiB of events and as much of results each, the second of which still runs."""
    jobs = {}
    for number in range(3):
        id, folder = JobId(str(number) * 12), tmp_path / str(number)
        (folder / "results").mkdir(parents=True)
        (folder / "events").write_bytes(b"x" * BLOCK)
        (folder / "results" / "one").write_bytes(b"x" * BLOCK)
        file = FileRef(name=FileName("a.py"), digest=Digest("0" * 64), size=1)
        spec = JobSpec(id=id, kind=Kind.SCRIPT, entry=file.name, files=(file,))
        jobs[id] = Hosted(accept(spec, PeerId("a" * 64), ACCEPTED), ACCEPTED, folder, at=0.0)
        jobs[id].ended = None if number == 1 else float(number)
    return jobs


async def test_the_oldest_goes_with_the_reason_and_what_runs_stays(jobs: dict[JobId, Hosted]) -> None:
    first, runs, _ = jobs
    assert await Keeping("desk", 4 * BLOCK).over(jobs, wall=10.0) == {}
    over = await Keeping("desk", 4 * BLOCK - 1).over(jobs, wall=10.0)
    assert list(over) == [first]
    assert "to keep within desk's kept_disk_limit (256 KB)" in over[first]
    assert jobs[runs].size is None


async def test_what_is_old_goes_without_a_word(jobs: dict[JobId, Hosted]) -> None:
    first, _, last = jobs
    keeping = Keeping("desk", 100 * BLOCK)
    assert await keeping.over(jobs, wall=KEEP) == {}
    assert await keeping.over(jobs, wall=KEEP + 1.0) == {first: ""}
    assert await keeping.over(jobs, wall=KEEP + 3.0) == {first: "", last: ""}


async def test_what_is_fetched_stays_until_it_has_been(
    jobs: dict[JobId, Hosted], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, keeping = next(iter(jobs)), Keeping("desk", 0)
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with jobs[first].reading(), jobs[first].reading():
        now[0] += 10 * GRACE
        assert await keeping.over(jobs, wall=10.0) == {}
    assert await keeping.over(jobs, wall=10.0) == {}, "its next file may be asked for"
    now[0] += GRACE
    assert list(await keeping.over(jobs, wall=10.0)) == [first]
