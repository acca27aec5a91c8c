import asyncio
import os

import pytest

from homie_core.model.event import MAX_OUTPUT, Ended, Output, Record
from homie_core.model.job import How, Outcome
from homie_core.model.wire import Unframer, decode
from homie_core.store.spool import BATCH, STRIDE, Spool

END = Ended(outcome=Outcome(how=How.EXITED, status=0))


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
        spool.append(line(number), at=0.0)
    spool.append(END, at=0.0)
    assert [record.seq for record in await read(spool, after)] == list(range(after + 1, 1001))


async def test_a_reader_gets_what_is_written_while_it_reads(spool):
    spool.append(line(1), at=0.0)
    reading = asyncio.create_task(read(spool))
    for number in range(2, 50):
        await asyncio.sleep(0)
        spool.append(line(number), at=0.0)
    spool.append(END, at=0.0)
    records = await reading
    assert [record.event for record in records] == [*map(line, range(1, 50)), END]


async def test_a_reader_holds_one_batch_and_no_more(spool):
    big = Output(stream=1, data=b"x" * MAX_OUTPUT)
    for _ in range(8):
        spool.append(big, at=0.0)
    spool.append(END, at=0.0)
    sizes = [len(data) async for data in spool.follow(0)]
    assert max(sizes) <= max(BATCH, MAX_OUTPUT + 100)
    assert len(sizes) >= 8


async def test_a_record_that_a_crash_cut_is_dropped_and_its_number_is_used_again(tmp_path):
    path = tmp_path / "events"
    spool = Spool(path)
    for number in range(1, 600):
        spool.append(line(number), at=0.0)
    os.truncate(path, path.stat().st_size - 3)
    again = Spool(path)
    assert again.last == 598
    assert again.append(END, at=1.0) == 599
    assert [record.seq for record in await read(again)] == list(range(1, 600))


def test_rubbish_at_the_end_is_dropped(tmp_path):
    path = tmp_path / "events"
    Spool(path).append(line(1), at=0.0)
    with path.open("ab") as file:
        file.write(b"\xff" * 100)
    assert Spool(path).last == 1
