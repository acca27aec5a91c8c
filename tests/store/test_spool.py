import asyncio
import os

import pytest

from homie_core.model.errors import PeerRefused
from homie_core.model.event import MAX_OUTPUT, Ended, Output, Record
from homie_core.model.job import How, Outcome
from homie_core.model.wire import Unframer, decode
from homie_core.store.spool import BATCH, LEAST, STRIDE, Spool

END = Ended(outcome=Outcome(how=How.EXITED, status=0))


def add(spool, event):
    spool.append(Record(seq=spool.last + 1, at=0.0, event=event))


def line(number):
    return Output(stream=1, data=b"%d\n" % number)


async def read(spool, after=0):
    unframer = Unframer()
    return [decode(each, Record) async for data in spool.follow(after) for each in unframer.feed(data)]


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "events")


@pytest.mark.parametrize("after", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE, 999, 1000])
async def test_events_after_n(spool, after):
    for number in range(1, 1000):
        add(spool, line(number))
    add(spool, END)
    assert [record.seq for record in await read(spool, after)] == list(range(after + 1, 1001))


async def test_a_reader_gets_what_is_written_while_it_reads(spool):
    add(spool, line(1))
    reading = asyncio.create_task(read(spool))
    for number in range(2, 50):
        await asyncio.sleep(0)
        add(spool, line(number))
    add(spool, END)
    records = await reading
    assert [record.event for record in records] == [*map(line, range(1, 50)), END]


async def test_a_reader_holds_one_batch_and_no_more(spool):
    big = Output(stream=1, data=b"x" * MAX_OUTPUT)
    for _ in range(8):
        add(spool, big)
    add(spool, END)
    sizes = [len(data) async for data in spool.follow(0)]
    assert max(sizes) <= max(BATCH, MAX_OUTPUT + 100)
    assert len(sizes) >= 8


async def test_a_record_that_a_crash_cut_is_dropped_and_its_number_is_used_again(tmp_path):
    path = tmp_path / "events"
    spool = Spool(path)
    for number in range(1, 600):
        add(spool, line(number))
    os.truncate(path, path.stat().st_size - 3)
    again = Spool(path)
    assert again.last == 598
    add(again, END)
    assert again.last == 599
    assert [record.seq for record in await read(again)] == list(range(1, 600))


def test_rubbish_at_the_end_is_dropped(tmp_path):
    path = tmp_path / "events"
    add(Spool(path), line(1))
    with path.open("ab") as file:
        file.write(b"\xff" * 100)
    assert Spool(path).last == 1


BIG = Output(stream=1, data=b"x" * MAX_OUTPUT)
MANY = 2 * LEAST // MAX_OUTPUT


def blocks(path):
    return path.stat().st_blocks * 512


async def test_what_is_dropped_costs_no_disk_and_the_rest_is_read_as_before(spool, tmp_path):
    for _ in range(MANY):
        add(spool, BIG)
    add(spool, line(1))
    before = blocks(tmp_path / "events")
    spool.drop(MANY)
    assert blocks(tmp_path / "events") < before / 10
    add(spool, END)
    assert [record.seq for record in await read(spool, MANY)] == [MANY + 1, MANY + 2]
    assert [record.seq for record in await read(spool, MANY + 1)] == [MANY + 2]
    with pytest.raises(PeerRefused, match=f"before event {MANY} is not kept"):
        await read(spool, MANY - 1)
    again = Spool(tmp_path / "events")
    assert (again.last, again.dropped, again.ended) == (MANY + 2, MANY, True)
    assert [record.seq for record in await read(again, MANY)] == [MANY + 1, MANY + 2]
    assert [type(record.event) for record in again.records()] == [Output, Ended]


async def test_what_a_reader_has_yet_to_read_is_kept(spool):
    for _ in range(MANY):
        add(spool, BIG)
    reader = spool.follow(0)
    await anext(reader)
    spool.drop(MANY)
    assert spool.dropped == 0
    await reader.aclose()
    spool.drop(MANY)
    assert spool.dropped == MANY
