import sqlite3
from contextlib import ExitStack
from pathlib import Path

import pytest

from homie_core.model.errors import CannotWrite
from homie_core.model.event import Accepted
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import Digest, FileName, JobId, NodeName, PeerId
from homie_core.store.journal import Begun, Journal, Sent, open_journal

PEER = PeerId("b" * 64)
ACCEPTED = Accepted(limits=Limits(cpus=1, memory=1 << 30, timeout=60), missing=())


def spec(id="0" * 12):
    file = FileRef(name=FileName("a.py"), digest=Digest("0" * 64), size=1)
    return JobSpec(id=JobId(id), kind=Kind.SCRIPT, entry=file.name, files=(file,))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal_at(path):
    """`journal_at()`: open the journal, again and again, as after crashes: all are closed in the end."""
    with ExitStack() as opened:

        def journal_at():
            journal = Journal(path)
            opened.callback(journal.close)
            return journal

        yield journal_at


def test_what_was_accepted_is_there_after_a_crash(journal_at):
    journal_at().accept(PEER, spec(), ACCEPTED, at=5.0)
    (job,) = journal_at().hosted()
    assert (job.spec, job.submitter, job.accepted, job.at, job.outcome) == (spec(), PEER, ACCEPTED, 5.0, None)


def test_an_outcome_is_kept_until_the_job_is_forgotten(journal_at):
    journal = journal_at()
    journal.accept(PEER, spec(), ACCEPTED, at=5.0)
    outcome = Outcome(how=How.DEADLINE, status=124, detail="late")
    journal.end(spec().id, outcome)
    journal = journal_at()
    assert journal.hosted()[0].outcome == outcome
    journal.forget(spec().id)
    assert journal_at().hosted() == []


def test_what_a_job_runs_in_is_known_after_a_crash(journal_at):
    journal_at().accept(PEER, spec(), ACCEPTED, at=5.0)
    begun = Begun(
        kind="docker", box=JobId("1" * 12), folder="/box", limits=ACCEPTED.limits, environments=(), at=7.0
    )
    assert journal_at().hosted()[0].begun is None
    journal_at().begin(spec().id, begun)
    assert journal_at().hosted()[0].begun == begun


def test_a_journal_of_the_first_format_is_taken_over(path, journal_at):
    journal_at().accept(PEER, spec(), ACCEPTED, at=5.0)
    with sqlite3.connect(path) as db:
        db.executescript("ALTER TABLE hosted DROP COLUMN begun; DROP TABLE sent; PRAGMA user_version = 1")
        db.executescript("CREATE TABLE sent (job PRIMARY KEY, peer, peer_name, title, at)")
        db.execute("INSERT INTO sent VALUES (?, ?, 'desk', 'a.py', 1.0)", (spec().id, PEER))
    db.close()
    (job,) = journal_at().hosted()
    assert (job.spec, job.begun) == (spec(), None)
    assert journal_at().sent(spec().id) == Sent(spec().id, PEER, NodeName("desk"), "a.py", 1.0)


def test_what_is_known_of_a_job_that_was_sent(journal_at):
    journal = journal_at()
    jobs = [JobId(start * 12) for start in "abc"]
    for at, (job, kind) in enumerate(zip(jobs, (Kind.SESSION, Kind.SCRIPT, Kind.SCRIPT), strict=True)):
        journal.send(Sent(job, PEER, NodeName("desk"), "a.py", float(at), kind))
    outcome = Outcome(how=How.EXITED, status=3)
    journal.settle(jobs[0], outcome)
    journal.see(jobs[0], "/results")
    journal.settle(jobs[1], outcome)
    journal = journal_at()
    assert journal.sent(jobs[0]) == Sent(
        jobs[0], PEER, NodeName("desk"), "a.py", 0.0, Kind.SESSION, outcome, "/results"
    )
    assert [sent.job for sent in journal.newest_sent(5, seen=True)] == jobs[::-1]
    assert [sent.job for sent in journal.newest_sent(5, seen=False)] == jobs[:0:-1]
    assert [sent.job for sent in journal.newest_sent(1, seen=True)] == jobs[2:]
    assert [sent.job for sent in journal.sent_beginning("aa", 5)] == jobs[:1]
    assert journal.sent_beginning("%", 5) == []
    journal.send(Sent(jobs[0], PEER, NodeName("desk"), "a.py", 5.0, Kind.SESSION))
    assert [sent.job for sent in journal.newest_sent(5, seen=False)] == [jobs[0], *jobs[:0:-1]]
    journal.settle(jobs[0], outcome)
    assert [sent.job for sent in journal.newest_sent(5, seen=False)] == jobs[:0:-1], "a session that has ended"
    journal.unsend(jobs[0])
    assert journal.sent(jobs[0]) is None
    journal.send(Sent(jobs[1], PEER, NodeName("shelf"), "a.py", 9.0))
    assert journal.sent(jobs[1]) == Sent(jobs[1], PEER, NodeName("shelf"), "a.py", 9.0), "it begins anew there"


def test_where_a_job_went(journal_at):
    journal = journal_at()
    sent = Sent(spec().id, PEER, NodeName("desk"), "a.py", 1.0)
    journal.send(sent)
    journal = journal_at()
    assert journal.sent(spec().id) == sent
    assert journal.sent(JobId("1" * 12)) is None
    journal.purge(before=1.0)
    assert journal.sent(spec().id) == sent
    journal.purge(before=1.1)
    assert journal.sent(spec().id) is None


def test_the_file_is_private(path, journal_at):
    journal_at()
    assert path.stat().st_mode & 0o777 == 0o600


def damaged(path: Path, journal: Journal) -> None:
    """Put other bytes in the midst of it: it opens, but not all can be read."""
    journal.close()
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"x" * (len(data) - 4096)
    path.write_bytes(data)


def no_spec(path: Path, journal: Journal) -> None:
    journal.accept(PEER, spec(), ACCEPTED, at=5.0)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE hosted SET spec = x'00'")
    db.close()


def rubbish(path: Path, journal: Journal) -> None:
    journal.close()
    path.write_bytes(b"rubbish" * 1000)


def folder(path: Path, journal: Journal) -> None:
    journal.close()
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [damaged, no_spec, rubbish, folder])
def test_a_damaged_journal_is_left_alone_and_named(path, harm):
    harm(path, Journal(path))
    before = path.read_bytes() if path.is_file() else None
    journal = open_journal(path)
    assert f"the journal {path} is damaged" in journal.damage
    assert f"mv {path}* {path.parent}/damaged" in journal.damage
    assert journal.hosted() == []
    sent = Sent(spec().id, PEER, NodeName("desk"), "a.py", 1.0)
    journal.send(sent)
    assert journal.sent(spec().id) == sent
    journal.close()
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_newer_journal_is_left_alone_and_named(path):
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    before = path.read_bytes()
    journal = open_journal(path)
    assert "format 9; this one knows 3" in journal.damage
    assert "pip install -U homie-compute" in journal.damage
    journal.close()
    assert path.read_bytes() == before


def test_a_journal_that_can_be_used_has_no_damage(path):
    journal = open_journal(path)
    assert not journal.damage
    journal.close()


def test_what_a_full_disk_does_not_take_is_an_error(tmp_path, journal_at):
    journal = journal_at()
    (most,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {most}")

    def accept_many():
        for number in range(100):
            journal.accept(PEER, spec(f"{number:012x}"), ACCEPTED, at=float(number))

    with pytest.raises(CannotWrite, match="database or disk is full"):
        accept_many()
    known = [job.spec.id for job in journal.hosted()]
    assert known == [f"{number:012x}" for number in range(len(known))]
    assert [job.spec.id for job in journal_at().hosted()] == known


def test_why_a_job_was_dropped_is_known_to_its_submitter_until_it_is_purged(journal_at):
    journal = journal_at()
    journal.accept(PEER, spec(), ACCEPTED, at=5.0)
    journal.drop(spec().id, "its results were too old", at=50.0)
    journal = journal_at()
    assert journal.hosted() == []
    assert journal.dropped(spec().id, PEER) == "its results were too old"
    assert journal.dropped(spec().id, PeerId("c" * 64)) == ""
    assert journal.dropped(JobId("1" * 12), PEER) == ""
    journal.purge(before=50.0)
    assert journal.dropped(spec().id, PEER)
    journal.purge(before=51.0)
    assert journal.dropped(spec().id, PEER) == ""
