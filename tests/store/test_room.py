"""A full disk is said in one word, whoever wrote; nothing is half written, and there is a way on."""

import errno
import os

import pytest

from homie_core.model.errors import CannotWrite
from homie_core.model.event import Output, Record
from homie_core.store.journal import Journal, Sent
from homie_core.store.room import room
from homie_core.store.spool import Spool


def record(seq, size=100):
    return Record(seq=seq, at=0.0, event=Output(stream=1, data=b"x" * size))


async def test_a_record_that_does_not_fit_is_written_whole_when_there_is_room(tmp_path, monkeypatch):
    spool, write = Spool(tmp_path / "events"), os.pwrite
    spool.append(record(1))

    def half(file, data, at):
        if len(data) > 50:
            return write(file, data[:50], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(CannotWrite, match="events is full; make room there"):
        spool.append(record(2))
    assert spool.last == 1
    monkeypatch.undo()
    spool.append(record(2, size=10))
    assert [each.seq for each in Spool(tmp_path / "events").records()] == [1, 2]


def test_a_journal_on_a_full_disk_says_so(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    big = Sent("0" * 12, "0" * 64, "desk", "x" * 100_000, 0.0)
    with pytest.raises(CannotWrite, match=r"journal\.db cannot be written .*full.*; make room there"):
        journal.send(big)
    journal._db.execute("PRAGMA max_page_count = 100000")
    journal.send(Sent("f" * 12, "0" * 64, "desk", "x", 0.0))
    assert journal.sent("f" * 12)
    journal.close()


def test_another_trouble_keeps_its_name(tmp_path):
    with pytest.raises(PermissionError), room(tmp_path):
        raise PermissionError(errno.EACCES, "no")
