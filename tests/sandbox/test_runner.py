"""The runner without a sandbox: a plain process, spoken to as a host would."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from homie_core.model.errors import BadMessage
from homie_core.model.event import Output
from homie_core.runner import child, frames, spool
from homie_core.runner.clock import boottime
from homie_core.sandbox import link as link_module
from homie_core.sandbox.link import Link, Numbered, ProgramEnd, ProgramStarted
from homie_core.sandbox.program import Program

RUNNER = Path(frames.__file__).with_name("__main__.py")
SLEEPER = """
import runpy, sys
from homie_core.runner import clock
awake, _, slept, *sys.argv = clock.boottime, *sys.argv
clock.boottime = lambda: awake() + float(open(slept).read())
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a runner whose machine slept for so many seconds as a file says; its monotonic clock does not know."""


class Host:
    """A host with one runner; it can lose its connection and come back."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        assert process.stdin
        assert process.stdout
        self.process = process
        self.folder = folder
        self.link = Link(process.stdout, process.stdin)

    async def run(self, code: str, *args: str, timeout: float = 30.0) -> None:
        await self.link.connect()
        await self.link.start(self.program(code, *args, timeout=timeout))

    def program(self, code: str, *args: str, timeout: float = 30.0) -> Program:
        argv = (sys.executable, "-I", "-S", "-c", code, *args)
        return Program(argv=argv, env={}, timeout=timeout, cwd=str(self.folder))

    async def rest(self, acknowledge: bool = True) -> "Told":
        told = Told()
        async for record in self.link:
            told.add(record)
            if acknowledge:
                await self.link.ack(record.seq)
        return told


class Told:
    """What a runner said."""

    def __init__(self) -> None:
        self.records: list[Numbered] = []
        self.streams = {1: bytearray(), 2: bytearray()}
        self.end: ProgramEnd | None = None

    def add(self, record: Numbered) -> None:
        self.records.append(record)
        match record.fact:
            case Output(stream=stream, data=data):
                self.streams[stream] += data
            case ProgramEnd() as end:
                self.end = end

    @property
    def out(self) -> bytes:
        return bytes(self.streams[1])

    @property
    def err(self) -> bytes:
        return bytes(self.streams[2])


@asynccontextmanager
async def hosting(folder: Path, *sleeper: str) -> AsyncIterator[Host]:
    (folder / "spool").mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *(sleeper or ("-I", "-S")), str(RUNNER), str(folder / "spool"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 18,
    )  # fmt: skip
    try:
        yield Host(process, folder)
    finally:
        process._transport.close()  # type: ignore[attr-defined]  # kills it, and waits for no unread output
        await process.wait()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with hosting(tmp_path) as host:
        yield host


async def test_output_status_and_order(host: Host) -> None:
    await host.run("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    told = await host.rest()
    assert isinstance(told.records[0].fact, ProgramStarted)
    assert (told.out, told.err) == (b"one\n", b"two\n")
    assert told.end == ProgramEnd(status=3, signal=None, deadline=False)
    assert [record.seq for record in told.records] == list(range(1, len(told.records) + 1))
    assert await host.process.wait() == 0


async def test_a_million_lines_arrive_complete_and_in_order(host: Host) -> None:
    await host.run("import sys\nfor i in range(1_000_000): sys.stdout.write(f'{i}\\n')")
    told = await host.rest()
    assert told.out == b"".join(b"%d\n" % i for i in range(1_000_000))
    assert len(told.records) < 2000, "a flood travels in few records"


async def test_first_line_comes_at_once_though_more_may_follow(host: Host) -> None:
    await host.run("import sys, time; print('now', flush=True); time.sleep(30)")
    told = Told()
    async with asyncio.timeout(5):
        async for record in host.link:
            told.add(record)
            if told.out == b"now\n":
                break
    await host.link.signal(9)
    rest = await host.rest()
    assert rest.end == ProgramEnd(status=None, signal=9, deadline=False)
    assert rest.end.exit_status == 137
    assert rest.end.signal_name == "SIGKILL"


async def test_missing_program_is_127(host: Host) -> None:
    await host.link.connect()
    await host.link.start(Program(argv=("/no/such",), env={}, timeout=5, cwd="/"))
    told = await host.rest()
    assert told.end == ProgramEnd(status=127, signal=None, deadline=False)
    assert b"cannot start /no/such: No such file" in told.err


async def test_a_lease_that_nobody_renews_ends_the_program_without_its_host(host: Host) -> None:
    endless = "import signal, time; signal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(0.01)"
    await host.link.connect()
    began = boottime()
    program = Program(argv=(sys.executable, "-c", endless), env={}, timeout=60, cwd="/", lease=began + 0.5)
    await host.link.start(program)
    await host.link.renew(began + 1.5)
    told = await host.rest()
    assert told.end == ProgramEnd(status=None, signal=9, deadline=False, lapsed=True)
    assert boottime() - began > 1.4, "it was renewed"


ENDLESS = (sys.executable, "-c", "import time\nwhile True: time.sleep(0.01)")


async def test_a_renewal_that_is_heard_late_counts_from_when_it_was_said(host: Host) -> None:
    began = boottime()
    await host.link.connect()
    await host.link.start(Program(argv=ENDLESS, env={}, timeout=60, cwd="/", lease=began + 2))
    assert isinstance((await anext(aiter(host.link))).fact, ProgramStarted)
    host.process.send_signal(signal.SIGSTOP)
    await host.link.renew(began + 10)
    await asyncio.sleep(began + 10.5 - boottime())  # it sleeps for longer than it may
    host.process.send_signal(signal.SIGCONT)
    told = await host.rest()
    assert told.end == ProgramEnd(status=None, signal=9, deadline=False, lapsed=True)
    assert boottime() - began < 17, "it began again when it woke"


@pytest.mark.parametrize(("lease", "timeout", "lapsed"), [(60.0, 600.0, True), (2000.0, 20.0, False)])
async def test_time_asleep_counts_for_a_lease_and_is_no_running_time(
    tmp_path: Path, lease: float, timeout: float, lapsed: bool
) -> None:
    slept = tmp_path / "slept"
    slept.write_text("0")
    code = f"import time\nwhile open({str(slept)!r}).read() == '0': time.sleep(0.01)\ntime.sleep(3)"
    async with hosting(tmp_path, "-c", SLEEPER, str(slept)) as host:
        await host.link.connect()
        program = structs.replace(host.program(code, timeout=timeout), lease=boottime() + lease)
        await host.link.start(program)
        assert isinstance((await anext(aiter(host.link))).fact, ProgramStarted)
        (tmp_path / "new").write_text("1000")
        (tmp_path / "new").rename(slept)
        told = await host.rest()
    assert told.end
    assert (told.end.lapsed, told.end.status) == (lapsed, None if lapsed else 0)


async def test_deadline_ends_a_program_that_ignores_sigterm(host: Host) -> None:
    await host.run(
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n"
        "print('ready', flush=True)\nwhile True: time.sleep(1)",
        timeout=0.5,
    )
    told = await host.rest()
    assert told.out == b"ready\nno\n"
    assert told.end == ProgramEnd(status=None, signal=9, deadline=True)


async def test_deadline_holds_while_nobody_reads(host: Host) -> None:
    await host.run("import os; print(os.getpid(), flush=True)\nwhile True: print('x' * 10_000)", timeout=0.7)
    told = Told()
    async for record in host.link:
        told.add(record)
        if b"\n" in told.out:
            break
    await gone(int(told.out.split()[0]))
    rest = await host.rest()
    assert rest.end
    assert rest.end.deadline


async def gone(pid: int) -> None:
    """Wait until that process has ended."""
    loop, ended, fd = asyncio.get_running_loop(), asyncio.Event(), os.pidfd_open(pid)
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(20):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def test_grandchild_that_holds_the_pipes_does_not_hang_it(host: Host) -> None:
    await host.run(
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('parent')",
    )
    async with asyncio.timeout(10):
        told = await host.rest()
    assert told.out == b"parent\n"
    assert told.end == ProgramEnd(status=0, signal=None, deadline=False)


async def test_full_spool_makes_the_program_wait_and_loses_nothing(host: Host) -> None:
    size = 100 << 20
    await host.run(f"import os\nleft = {size}\nwhile left: left -= os.write(1, bytes(min(left, 1 << 20)))")
    taken, fullest, waited = 0, 0, 0
    folder, records = host.folder / "spool", aiter(host.link)
    while True:
        try:
            async with asyncio.timeout(0.5):
                record = await anext(records)
        except TimeoutError:  # the program waits for us
            waited += 1
            fullest = max(fullest, sum(segment.stat().st_size for segment in folder.iterdir()))
            await host.link.ack(record.seq)
            records = aiter(host.link)
            continue
        if isinstance(record.fact, Output):
            taken += len(record.fact.data)
        if isinstance(record.fact, ProgramEnd):
            break
    assert taken == size
    assert waited == 1
    assert spool.FULL <= fullest <= spool.FULL + (1 << 20)
    await host.link.ack(record.seq)
    assert await host.process.wait() == 0
    assert sum(segment.stat().st_size for segment in folder.iterdir()) <= 2 * spool.SEGMENT


async def test_many_small_writes_travel_in_few_records(host: Host) -> None:
    started = time.monotonic()
    await host.run("import os\nfor i in range(50_000): os.write(1, b'%d\\n' % i)")
    told = await host.rest()
    seconds = time.monotonic() - started
    assert told.out == b"".join(b"%d\n" % i for i in range(50_000))
    assert len(told.records) <= 10 + seconds / child.GATHER


async def test_a_host_that_comes_back_misses_nothing_and_repeats_nothing(host: Host) -> None:
    await host.run("import sys\nfor i in range(1_000_000): sys.stdout.write(f'line {i}\\n')")
    told, connections = Told(), 1
    while not told.end:
        taken = 0
        async for record in host.link:
            told.add(record)
            taken += 1
            if taken == 3 and connections < 8:
                break  # what is under way to the old connection is old news to the next
        else:
            break
        last = told.records[-1].seq
        await host.link.ack(max(0, last - 2))
        assert host.process.stdin
        assert host.process.stdout
        host.process.stdin.write(frames.HEADER.pack(frames.START, 0, 5000) + b"half a command")
        host.link = Link(host.process.stdout, host.process.stdin)
        await host.link.connect(after=last)
        connections += 1
    assert connections == 8
    assert told.out == b"".join(b"line %d\n" % i for i in range(1_000_000))
    assert [record.seq for record in told.records] == list(range(1, len(told.records) + 1))


async def test_job_outlives_a_host_that_is_gone_for_good(host: Host) -> None:
    assert host.process.stdin
    assert host.process.stdout
    await host.run("print('x' * 100_000); open('done', 'w').write('yes')")
    host.process.stdin.close()
    host.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        assert await host.process.wait() == 0
    assert (host.folder / "done").read_text() == "yes"


async def test_full_disk_ends_the_job_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    process = await asyncio.create_subprocess_exec(
        "prlimit", f"--fsize={1 << 20}", sys.executable, "-I", "-S", str(RUNNER), str(tmp_path / "spool"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    host = Host(process, tmp_path)
    await host.run("while True: print('x' * 1000)")
    told = await host.rest()
    assert told.end is None
    assert process.stderr
    assert b"runner: OSError: [Errno 27] File too large" in await process.stderr.read()
    assert await process.wait() == 70
    process._transport.close()  # type: ignore[attr-defined]


class Sandbox:
    """A hostile runner: says what it likes."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader(limit=1 << 16)
        self.asked = bytearray()

    def write(self, data: bytes) -> None:
        self.asked += data
        if data.startswith(frames.MARK):
            nonce = data.split(b'"nonce":"')[1][: frames.NONCE].decode()
            self.reader.feed_data(b"old" * 70_000 + frames.answer_to(nonce) + 3 * frames.NUMBER.pack(0))

    async def drain(self) -> None:
        pass

    async def hear(self, *said: bytes, end: bool = True) -> list[Numbered]:
        link = Link(self.reader, self)  # type: ignore[arg-type]
        await link.connect(after=4)
        for data in said:
            self.reader.feed_data(data)
        if end:
            self.reader.feed_eof()
        return [record async for record in link]


async def test_link_discards_what_an_older_connection_left() -> None:
    records = await Sandbox().hear(frames.frame(frames.STDOUT, 5, b"hi"))
    assert records == [Numbered(5, Output(stream=1, data=b"hi"))]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (frames.frame(frames.STDOUT, 6, b""), "record 6 after record 4"),
        (frames.frame(frames.STDOUT, 4, b""), "record 4 after record 4"),
        (frames.frame(99, 5), "unknown kind 99"),
        (frames.HEADER.pack(frames.STDOUT, 5, frames.MAX_RECORD + 1), "262145 bytes"),
        (frames.frame(frames.EXITED, 5, b"{}"), "nonsense"),
        (frames.frame(frames.EXITED, 5, b'{"status": 256, "signal": null, "deadline": false}'), "nonsense"),
        (frames.frame(frames.EXITED, 5, b'{"status": 0, "signal": 9, "deadline": false}'), "nonsense"),
        (frames.frame(frames.EXITED, 5, b"[" * 100_000), "nonsense"),
        (frames.frame(frames.BUSY, 5, b"x" * 300), "nonsense"),
        (frames.frame(frames.BUSY, 5, b"\xff"), "nonsense"),
    ],
)
async def test_nonsense_from_a_sandbox_is_refused(said: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        await Sandbox().hear(said)


async def test_a_runner_cut_off_in_a_record_just_ends() -> None:
    assert await Sandbox().hear(frames.frame(frames.STDOUT, 5, b"hello")[:-1]) == []


async def test_a_sandbox_that_only_babbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "MAX_DISCARD", 1 << 20)
    reader = asyncio.StreamReader(limit=1 << 16)
    reader.feed_data(b"\xff" * (2 << 20))
    with pytest.raises(BadMessage, match="does not answer"):
        await Link(reader, Sandbox()).connect()  # type: ignore[arg-type]


def test_commands_after_garbage_are_understood() -> None:
    commands = frames.Commands()
    whole = frames.MARK + frames.frame(frames.REPLAY, 0, b"{}") + frames.frame(frames.ACK, 7)
    said = b"garbage" + whole + frames.HEADER.pack(frames.START, 0, 999) + b"half" + whole
    expected = [(frames.REPLAY, 0, b"{}"), (frames.ACK, 7, b"")] * 2
    assert list(commands.feed(said)) == expected
    commands = frames.Commands()
    assert [command for byte in said for command in commands.feed(bytes([byte]))] == expected
