import sqlite3
from contextlib import ExitStack

import pytest

from homie_core.model.errors import HomieError
from homie_core.model.event import Accepted
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import Digest, FileName, JobId, NodeName, PeerId
from homie_core.store.journal import Begun, Journal, Sent

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
        db.executescript("ALTER TABLE hosted DROP COLUMN begun; PRAGMA user_version = 1")
    db.close()
    (job,) = journal_at().hosted()
    assert (job.spec, job.begun) == (spec(), None)


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


def test_a_damaged_journal_is_left_alone_and_named(path):
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(HomieError, match=r"Nothing was rerun or deleted"):
        Journal(path)
    assert path.read_bytes() == b"rubbish" * 1000


def test_a_newer_journal_is_refused(path):
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(HomieError, match="format 9; this one knows 2"):
        Journal(path)
