"""Sessions on their host, without a network: what they are told, how long they may take, what they may print."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs
from test_pool import COMMON, NODE, Host, host

from homie_core.daemon import session as sessions
from homie_core.daemon.progress import Progress
from homie_core.daemon.running import Running
from homie_core.daemon.session import Session
from homie_core.model.errors import PeerRefused
from homie_core.model.event import Busy, Collected, Event, Exited, Messages, Notice
from homie_core.model.job import FileRef, How, JobSpec, Kind
from homie_core.model.session import Cell, Finish, Input, Place, Restart, Say
from homie_core.runner.messages import INTERRUPT, SHELL, Unpacker, pack
from homie_core.store.inputs import MAX_ORIGINS, Inputs

__all__ = ["host"]

docker = pytest.mark.docker
LIMITS = structs.replace(COMMON, memory=512 << 20)


def session_in(folder, record, limits=LIMITS, spec=None, progress=None):
    spec = spec or JobSpec(id="0" * 12, kind=Kind.SESSION)
    return Session(spec, limits, folder / "received", Inputs(folder / "inputs"), record, progress or Progress())


class Talk:
    """A session that runs, and who speaks to it."""

    def __init__(self, host: Host, limits=LIMITS) -> None:
        self.spec = JobSpec(id=secrets.token_hex(6), kind=Kind.SESSION)
        self.folder = host.folder / self.spec.id
        (self.folder / "received").mkdir(parents=True)
        self.events: list[Event] = []
        self.news = asyncio.Event()
        self.session = session_in(self.folder, self.record, limits, self.spec)
        self.running = Running(
            host.workshop, host.pool, NODE, self.spec, limits, self.folder, lambda _: None, session=self.session
        )
        self._number = 0

    def record(self, event: Event) -> None:
        self.events.append(event)
        self.news.set()

    async def tell(self, what: Any) -> None:
        self._number += 1
        await self.session.tell(Input(origin="a" * 16, number=self._number, what=what))

    async def cell(self, code: str, timeout: float | None = None) -> str:
        id = f"cell-{self._number}"
        header = {"msg_id": id, "session": "s", "username": "u", "date": "2026-01-01T00:00:00Z",
                  "msg_type": "execute_request", "version": "5.3"}  # fmt: skip
        content = {"code": code, "silent": False, "stop_on_error": False}
        data = pack(SHELL, [json.dumps(part).encode() for part in (header, {}, {}, content)])
        await self.tell(Cell(id=id, data=data, timeout=timeout))
        return id

    async def until(self, wanted: Event) -> None:
        await self.hear(lambda: wanted in self.events)

    async def hear(self, heard: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not heard():
                self.news.clear()
                await self.news.wait()

    async def run(self, code: str, timeout: float | None = None) -> None:
        """Run a cell to its end."""
        id = await self.cell(code, timeout)
        await self.until(Busy(cell=id))
        await self.hear(lambda: Busy() in self.events[self.events.index(Busy(cell=id)) :])

    def said(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and content of all messages."""
        unpacker = Unpacker()
        data = [event.data for event in self.events if isinstance(event, Messages)]
        parts = [parts for each in data for _, parts in unpacker.feed(each)]
        return [(json.loads(part[0])["msg_type"], json.loads(part[3])) for part in parts]

    def printed(self) -> str:
        return "".join(content["text"] for kind, content in self.said() if kind == "stream")

    def errors(self) -> list[str]:
        return [content["ename"] for kind, content in self.said() if kind == "error"]


@asynccontextmanager
async def talk(host: Host, limits=LIMITS) -> AsyncIterator[Talk]:
    talk = Talk(host, limits)

    async def read() -> None:
        async for event, _ in talk.running.events():
            talk.record(event)

    reading = asyncio.create_task(read())
    talk.over = reading
    try:
        yield talk
        await talk.tell(Finish())
        async with asyncio.timeout(60):
            await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await talk.running.close()


@docker
async def test_a_session_takes_the_sandbox_that_waits_and_its_files_are_collected(host):
    await host.waiting()
    async with talk(host) as it:
        await it.run(
            "open('made', 'w').write('x'); print(open('/sys/fs/cgroup/memory/memory.limit_in_bytes').read())"
        )
        place = it.running._ready.box.folder.parent.name
    assert place == "pool"
    assert int(it.printed()) == 512 << 20
    assert it.running.outcome.how is How.EXITED
    (collected,) = [event for event in it.events if isinstance(event, Collected)]
    assert [file.name for file in collected.files] == ["made"]


@docker
async def test_a_cell_over_its_time_is_interrupted_and_the_session_lives(host):
    async with talk(host) as it:
        await it.run("kept = 1")
        await it.run("import time; time.sleep(60)", timeout=0.5)
        await it.run("print('kept' in globals())")
    assert it.errors() == ["KeyboardInterrupt"]
    assert it.printed() == "True\n"
    assert [event.text for event in it.events if isinstance(event, Notice)] == [
        "it ran longer than 0.5 s, so it is interrupted"
    ]


@docker
async def test_a_cell_that_will_not_be_interrupted_ends_its_session(host, monkeypatch):
    monkeypatch.setattr(sessions, "GRACE", 0.5)
    it = Talk(host, structs.replace(LIMITS, timeout=1.0))
    await it.cell("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)")
    async with asyncio.timeout(60):
        async for event, _ in it.running.events():
            it.record(event)
    await it.running.close()
    assert it.running.outcome.how is How.DEADLINE


@docker
async def test_output_is_counted_for_each_cell(host):
    async with talk(host, structs.replace(LIMITS, output=400_000)) as it:
        for _ in range(3):
            await it.run("print('x' * 200_000)")
        await it.cell("print('x' * 600_000)")
        async with asyncio.timeout(60):
            await it.over
    assert it.running.outcome.how is How.OUTPUT


@docker
async def test_a_stop_ends_a_session_in_good_order(host):
    it = Talk(host)
    await it.cell("import time; time.sleep(60)")
    async with asyncio.timeout(60):
        async for event, _ in it.running.events():
            it.record(event)
            if isinstance(event, Busy):
                it.running.stop(How.EVICTED)
    await it.running.close()
    assert it.running.outcome.how is How.EVICTED
    assert it.errors() == ["KeyboardInterrupt"]
    assert any(isinstance(event, Exited) for event in it.events)


@docker
async def test_files_that_came_and_stayed_as_they_were_do_not_come_back(host):
    async with talk(host) as it:
        await it.run("pass")
        (it.folder / "received").mkdir()
        refs = [FileRef(name="same", digest="5" * 64, size=1), FileRef(name="changed", digest="c" * 64, size=1)]
        sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
        (it.folder / "received" / sha).write_text("x")
        refs = [structs.replace(ref, digest=sha) for ref in refs]
        await it.session.place(Place(files=tuple(refs)))
        await it.run("open('changed', 'w').write('y'); open('new', 'w').write('z')")
    (collected,) = [event for event in it.events if isinstance(event, Collected)]
    assert sorted(file.name for file in collected.files) == ["changed", "new"]


# Without a sandbox:


@pytest.fixture
def again(tmp_path):
    """`again()`: the session of this folder, as each new daemon would have it."""
    return lambda **progress: session_in(tmp_path, lambda _: None, progress=Progress(**progress))


def said(number, origin="a" * 16, what=None):
    return Input(origin=origin, number=number, what=what or Say(data=pack(INTERRUPT, ())))


class Runner:
    """A link that only listens, to a runner that has heard so much."""

    def __init__(self, heard=0):
        self.heard = heard
        self.calls = []

    def __getattr__(self, name):
        async def call(*arguments):
            self.calls.append((name, arguments[-1]))

        return call


async def serve(session, heard=0):
    link, ends = Runner(heard), []

    async def end(how):
        ends.append(how)

    task = asyncio.create_task(session.serve(link, end))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    return link.calls


async def test_what_comes_twice_counts_once(again):
    session = again()
    for number in (1, 2, 2, 1, 3):
        await session.tell(said(number))
    await session.tell(said(1, origin="b" * 16, what=Restart()))
    assert await serve(session) == [("say", 1), ("say", 2), ("say", 3), ("restart", 4)]


async def test_the_next_daemon_says_what_the_runner_has_not_heard(again):
    session = again()
    for number in (1, 2, 3):
        await session.tell(said(number))
    await serve(session)
    session.close()
    session = again()
    await session.tell(said(3))  # whose answer was lost
    await session.tell(said(4))
    assert await serve(session, heard=2) == [("say", 3), ("say", 4)]
    assert await serve(session, heard=2**61) == [], "a runner that lies gets nothing"


async def test_the_next_daemon_knows_which_cells_are_due(again):
    session = again()
    for number, name in enumerate("abc", start=1):
        await session.tell(said(number, what=Cell(id=name, data=b"")))
    await serve(session)
    session.close()
    for progress, due in (
        ({}, ["a", "b", "c"]),
        ({"begun": "a", "runs": "a"}, ["a", "b", "c"]),
        ({"begun": "a"}, ["b", "c"]),
        ({"begun": "c", "runs": "c"}, ["c"]),
        ({"begun": "c"}, []),
    ):
        session = again(**progress)
        await serve(session, heard=3)
        assert list(session._told) == due
        session.close()


async def test_a_gap_is_refused(again):
    session = again()
    await session.tell(said(1))
    with pytest.raises(PeerRefused, match="input 3 came where 2 was due"):
        await session.tell(said(3))


async def test_front_ends_that_come_and_go_cost_no_memory(again):
    session = again()
    task = asyncio.create_task(session.serve(Runner(), None))
    for number in range(3 * MAX_ORIGINS):
        await session.tell(said(1, origin=f"{number:016x}"))
        await asyncio.sleep(0)
    task.cancel()
    assert len(session._inputs.taken) == MAX_ORIGINS


async def test_only_a_session_that_does_nothing_is_idle(again):
    session = again()
    later = session._quiet_since + 5000
    assert session.quiet(later) == pytest.approx(5000)
    await session.tell(said(1, what=Cell(id="c", data=b"")))
    assert session.quiet(later) == 0, "it waits to be told"
    await serve(session)
    assert session.quiet(later) == 0, "it has been told"
    session.heard(Busy(cell="c"))
    assert session.quiet(later) == 0, "it runs"
    session.heard(Busy())
    assert session.quiet(session._quiet_since + 7) == pytest.approx(7)
    session.close()
