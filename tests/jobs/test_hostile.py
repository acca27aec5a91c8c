"""Both ends are hostile: strangers at the door, members who lie, hosts whose answers are traps.

Every attack meets a real daemon. Afterwards nothing was written that should not be, and the daemon still works.
"""

import asyncio
import gc
import hashlib
import io
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest
from pair import Pair

from homie_core.client import Client
from homie_core.config import config_file, load
from homie_core.model.control import JobEvent
from homie_core.model.errors import NoPeer
from homie_core.model.event import Accepted, Collected, Ended, Exited, Output, Record, Started
from homie_core.model.job import FileRef, How, JobSpec, Kind, Limits, Outcome
from homie_core.model.names import Digest, FileName, JobId, NodeName, PeerId
from homie_core.model.peer import Beat, Capacity, Hello
from homie_core.model.session import Finish, Place
from homie_core.model.wire import PROTOCOL, encode, frame
from homie_core.net.seal import Seal
from homie_core.net.server import PeerServer
from homie_core.net.tls import client_context, server_context
from homie_core.store.identity import Group, create_node, credentials, new_secret

pytestmark = [
    pytest.mark.docker,
    # The trap's TLS connections are still saying goodbye when the test's event loop ends.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DONE = Outcome(how=How.EXITED, status=0)
CAPACITY = Capacity(
    cores=64, cpu_percent=0.0, ram_total=1 << 40, ram_free=1 << 40, free_cpus=64.0, free_memory=1 << 40,
    max_cpus=64.0, max_memory=1 << 40, sharing=True,
)  # fmt: skip


def file(name, data=b"x"):
    return FileRef(name=FileName(name), digest=Digest(hashlib.sha256(data).hexdigest()), size=len(data))


def spec(**changes):
    good = {"id": JobId("0" * 12), "kind": Kind.SCRIPT, "entry": FileName("a.py"), "files": (file("a.py"),)}
    return JobSpec(**{**good, **changes})


def group_of(node):
    return Group.from_secret(load(config_file(node.home)).group_secret)


def contexts(home, group):
    create_node(home)
    mine = credentials(home, group)
    keys = (mine.cert_file, mine.key_file, mine.ca_pem)
    return client_context(*keys), server_context(*keys), mine.peer_id


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    """After each attack a job runs; each would have a sandbox made that waits for the next, a kernel in it."""
    with Pair(desk={"sandbox_pool": "0"}) as pair:
        yield pair


@pytest.fixture
def desk(pair):
    """Where desk's peer API listens."""
    return f"https://127.0.0.1:{load(config_file(pair.desk.home)).worker_port}/v1"


@pytest.fixture
def member(pair, tmp_path):
    """The TLS context of one more member of the group, who is up to no good."""
    return contexts(tmp_path / "member", group_of(pair.desk))[0]


@pytest.fixture(autouse=True)
def unharmed(pair, run, tmp_path):
    """After the attack: the same daemons, no traceback, no stray file, and a job still runs."""
    before = [Client(node.home).status().pid for node in (pair.laptop, pair.desk)]
    yield
    assert [Client(node.home).status().pid for node in (pair.laptop, pair.desk)] == before
    assert "Traceback" not in pair.laptop.log() + pair.desk.log()
    assert run("print('still works')", options=("-n", "desk")).stdout == "still works\n"
    for stray in ("x", "evil"):
        assert all(stray not in names + folders for _, folders, names in os.walk(pair.desk.home.parent))
        assert not (tmp_path.parent / stray).exists()
        assert not Path("/", stray).exists()


async def ask(url, context, body=b"", method="POST"):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=io.BytesIO(body), ssl=context) as answer,
    ):
        return answer.status, (await answer.read()).decode(errors="replace")


# Strangers


async def test_no_certificate_is_refused(desk):
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(aiohttp.ClientError):
        await ask(f"{desk}/jobs", anyone, encode(spec()))


async def test_another_secret_is_refused(desk, tmp_path):
    context, _, _ = contexts(tmp_path / "stranger", Group.from_secret(new_secret()))
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(aiohttp.ClientError):
        await ask(f"{desk}/jobs", context, encode(spec()))


async def test_plain_http_is_refused(desk):
    with pytest.raises(aiohttp.ClientError):
        await ask(f"{desk}/hello".replace("https", "http"), None)


def datagrams(pair, *data):
    port = load(config_file(pair.desk.home)).discovery_port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for each in data:
            speaker.sendto(each, ("127.255.255.255", port))


def test_rubbish_and_forged_heartbeats_change_nothing(pair):
    stranger = Group.from_secret(new_secret())
    ours = group_of(pair.desk)
    beat = Beat(id=PeerId("e" * 64), name=NodeName("evil-node"), boot=1, seq=1, port=1, capacity=CAPACITY)
    datagrams(pair, b"", b"HOMI", b"\xff" * 8000, Seal(stranger.id, stranger.beat_key).close(beat))
    datagrams(pair, Seal(ours.id, stranger.beat_key).close(beat))
    assert [peer["name"] for peer in pair.desk.peers()] == ["laptop"]


def test_a_members_heartbeat_with_a_stolen_id_moves_nobody(pair):
    """Anyone in the group can seal a heartbeat; the address it names is used only if the id answers there."""
    group = group_of(pair.desk)
    (laptop,) = pair.desk.peers()
    forged = Beat(id=PeerId(laptop["id"]), name=NodeName("laptop"), boot=2**40, seq=0, port=9, capacity=CAPACITY)
    datagrams(pair, Seal(group.id, group.beat_key).close(forged))
    (after,) = pair.desk.peers()
    assert (after["address"], after["port"], after["online"]) == (laptop["address"], laptop["port"], True)


# Members who submit


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "a\\x", "c:x", "a/\x1b[2Jx", "x/" * 40 + "x", ""])
async def test_names_that_lead_out_of_the_jobs_folder_are_refused(desk, member, name):
    body = msgspec.to_builtins(spec())
    body["files"][0]["name"] = body["entry"] = name
    status, why = await ask(f"{desk}/jobs", member, msgspec.msgpack.encode(body))
    assert status == 400
    assert "unsafe file name" in why or "length" in why


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../../etc/x"},
        {"files": []},
        {"kind": "session"},
        {"files": 7},
        {"args": [1]},
        {"ask": {"cpus": -1}},
        {"ask": {"memory": "lots"}},
        {"kind": "shell"},
        {"entry": "other.py"},
    ],
)
async def test_a_job_with_wrong_types_or_values_is_refused(desk, member, change):
    body = {**msgspec.to_builtins(spec()), **change}
    status, why = await ask(f"{desk}/jobs", member, msgspec.msgpack.encode(body))
    assert (status, "not a valid message" in why) == (400, True)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"x" * (5 << 20)])
async def test_rubbish_instead_of_a_job_is_refused(desk, member, body):
    status, _ = await ask(f"{desk}/jobs", member, body)
    assert status in (400, 413)


async def test_files_that_cannot_fit_are_refused_before_they_are_sent(desk, member):
    huge = FileRef(name=FileName("a.py"), digest=Digest("0" * 64), size=1 << 50)
    for _ in range(3):
        status, why = await ask(f"{desk}/jobs", member, encode(spec(id=JobId("4" * 12), files=(huge,))))
        assert (status, "at most 10 GB of disk; its files are 1024 TB" in why) == (409, True)


async def test_an_upload_must_be_what_was_announced(desk, member):
    job = spec(id=JobId("1" * 12))
    assert (await ask(f"{desk}/jobs", member, encode(job)))[0] == 200
    for digest, body, words in [
        (job.files[0].digest, b"y", "not what was announced"),
        (job.files[0].digest, b"xx", "more than the 1 bytes"),
        ("0" * 64, b"x", "no file of this job"),
    ]:
        url = f"{desk}/jobs/{job.id}/inputs/{digest}"
        status, why = await ask(url, member, body, "PUT")
        assert (status, words in why) == (409, True), why
    await ask(f"{desk}/jobs/{job.id}/stop", member)


async def test_anothers_job_looks_like_none(pair, desk, member, tmp_path):
    job = spec(id=JobId("2" * 12))
    await ask(f"{desk}/jobs", member, encode(job))
    other, _, _ = contexts(tmp_path / "other", group_of(pair.desk))
    for method, path in [
        ("POST", "/stop"),
        ("GET", "/events?after=0"),
        ("DELETE", ""),
        ("GET", f"/results/{'0' * 64}"),
    ]:
        status, why = await ask(f"{desk}/jobs/{job.id}{path}", other, method=method)
        assert (status, "there is no job" in why) == (409, True), (method, path, why)
    assert "exists already" in (await ask(f"{desk}/jobs", other, encode(job)))[1]
    assert (await ask(f"{desk}/jobs/{job.id}/stop", member))[0] == 204


@pytest.fixture
async def session_of_member(desk, member):
    """A session of the member's own."""
    mine = JobSpec(id=JobId(os.urandom(6).hex()), kind=Kind.SESSION)
    assert (await ask(f"{desk}/jobs", member, encode(mine)))[0] == 200
    yield mine.id
    assert (await ask(f"{desk}/jobs/{mine.id}/stop", member, b""))[0] == 204


async def test_anothers_session_looks_like_none(pair, desk, member, tmp_path):
    """Neither told, nor heard, nor given files."""
    from homie_core.client import request_for_session
    from homie_core.client.channel import Channel

    request = request_for_session("mine", results=tmp_path, job=JobId("6" * 12))
    channel = Channel(pair.laptop.home, request)
    for news in channel.news():
        if isinstance(news, JobEvent) and isinstance(news.record.event, Started):
            break
    for what in ("expect", "place"):
        status, why = await ask(f"{desk}/jobs/{request.id}/{what}", member, encode(Place(files=(file("a"),))))
        assert (status, "there is no job" in why) == (409, True)
    async with aiohttp.ClientSession() as session, session.get(
        f"{desk}/jobs/{request.id}/events", ssl=member, headers={"Upgrade": "websocket", "Connection": "Upgrade"}
    ) as answer:  # fmt: skip
        assert answer.status == 409
    channel.tell(Finish())
    assert any(isinstance(news, JobEvent) and isinstance(news.record.event, Ended) for news in channel.news())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        "text",
        {"origin": "../../x", "number": 1, "what": {"type": "restart"}},
        {"origin": "a" * 16, "number": 0, "what": {"type": "restart"}},
        {"origin": "a" * 16, "number": 1, "what": {"type": "shell", "data": b"rm"}},
        {"origin": "a" * 16, "number": 1, "what": {"type": "cell", "id": "", "data": b""}},
        {"origin": "a" * 16, "number": 1, "what": {"type": "cell", "id": "x", "data": b"", "timeout": -1}},
    ],
)
async def test_rubbish_told_to_a_session_hangs_up(desk, member, session_of_member, said):
    url = f"{desk}/jobs/{session_of_member}/events"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=member) as socket:
        if isinstance(said, str):
            await socket.send_str(said)
        else:
            await socket.send_bytes(said if isinstance(said, bytes) else msgspec.msgpack.encode(said))
        async with asyncio.timeout(20):
            async for message in socket:
                assert message.type is aiohttp.WSMsgType.BINARY, "nothing was taken"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a\x1b[2J"])
async def test_files_for_a_session_stay_in_its_folder(desk, member, session_of_member, name):
    body = msgspec.to_builtins(Place(files=(file("a"),)))
    body["files"][0]["name"] = name
    status, why = await ask(f"{desk}/jobs/{session_of_member}/place", member, msgspec.msgpack.encode(body))
    assert (status, "unsafe file name" in why) == (400, True)


@pytest.mark.parametrize("place", ["", "-1", "x", "1e3", "0" * 7])
async def test_a_place_that_is_none_is_refused(desk, member, place):
    status, why = await ask(f"{desk}/jobs?place={place}", member, encode(spec()))
    assert (status, "is the number of a place in the queue" in why) == (400, True)


async def test_submitting_twice_starts_once(desk, member):
    job = spec(id=JobId("3" * 12))
    answers = await asyncio.gather(*(ask(f"{desk}/jobs", member, encode(job)) for _ in range(50)))
    assert len(set(answers)) == 1
    assert answers[0][0] == 200
    await ask(f"{desk}/jobs/{job.id}/stop", member)


async def test_another_protocol_is_refused_naming_both(desk, member):
    hello = Hello(protocol=9, version="9.0", name=NodeName("new"), port=1, boot=1, seq=1, capacity=CAPACITY)
    status, why = await ask(f"{desk}/hello", member, encode(hello))
    assert status == 409
    assert f"speaks protocol 9 (Homie 9.0), this node {PROTOCOL}" in why


# Hosts whose answers are traps


class Trap:
    """A host that takes every job and answers with these events and contents."""

    def __init__(self, events, contents, folder):
        self.sent, self.contents, self.folder = events, contents, folder

    def offer(self, caller, spec, most):
        return Accepted(limits=Limits(cpus=1, memory=1 << 30, timeout=60), missing=())

    async def events(self, caller, job, after):
        for data in self.sent[after:]:
            yield data

    @contextmanager
    def result(self, caller, job, digest):
        path = self.folder / "content"
        path.write_bytes(self.contents)
        yield path

    def stop(self, caller, job):
        pass

    forget = stop

    @contextmanager
    def receive(self, caller, job, digest):
        raise AssertionError


def records(*events):
    return [frame(Record(seq=seq, at=0.0, event=event)) for seq, event in enumerate(events, 1)]


ACCEPTED = Accepted(limits=Limits(cpus=1, memory=1 << 30, timeout=60), missing=())
START = (ACCEPTED, Started(sandbox="x"))
END = (Exited(outcome=DONE), Ended(outcome=DONE))


def results(*files):
    """Events of a job that returns these files, whatever their names: no check of ours in between."""
    collected = msgspec.to_builtins(Record(seq=4, at=0.0, event=Collected(files=())))
    collected["event"]["files"] = [msgspec.to_builtins(file("ok")) | change for change in files]
    body = msgspec.msgpack.encode(collected)
    last = frame(Record(seq=5, at=0.0, event=END[1]))
    return [*records(*START, END[0]), len(body).to_bytes(4, "big") + body, last]


@pytest.fixture
async def evil(pair, tmp_path):
    """`await evil(events)`: what `homie run -n evil` does with a host that answers so."""
    opened = []

    async def evil(events, contents=b"x"):
        _, context, _ = contexts(tmp_path / "trap", group_of(pair.desk))
        hello = Hello(
            protocol=PROTOCOL, version="0", name=NodeName("evil-host"), port=1, boot=1, seq=1, capacity=CAPACITY
        )
        server = PeerServer(Trap(events, contents, tmp_path), lambda *_: hello, context)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        await server.open("127.0.0.1", port)
        opened.append(server)
        client = Client(pair.laptop.home)
        await asyncio.to_thread(client.add_peer, "127.0.0.1", port)
        (tmp_path / "script.py").write_text("")
        words = ("run", "-n", "evil-host", "-o", "back", "script.py")
        done = await asyncio.to_thread(pair.laptop.homie, *words, check=False)
        for who in (f"127.0.0.1:{port}", "evil-host"):
            with suppress(NoPeer):
                await asyncio.to_thread(client.remove_peer, who)
        return done

    yield evil
    while opened:
        await opened.pop().close()
    gc.collect()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "ok/../../x", "x\n", "\x1b]0;x\x07"])
async def test_a_result_that_leads_out_of_the_folder_is_refused(evil, tmp_path, name):
    done = await evil(results({"name": name}))
    assert done.returncode == 1
    assert "unsafe file name" in done.stderr
    assert not (tmp_path / "back").exists()


async def test_a_result_with_another_content_is_refused(evil, tmp_path):
    for contents in (b"y", b"xx", b""):
        done = await evil(results({}), contents)
        assert done.returncode == 1
        assert not list((tmp_path / "back").glob("*"))


async def test_a_results_link_in_my_own_folder_is_not_followed(evil, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back/sub").symlink_to(outside)
    done = await evil(results({"name": "sub/x"}))
    assert done.returncode == 1
    assert "no folder below the results" in done.stderr
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "events",
    [
        [frame(Record(seq=2, at=0.0, event=ACCEPTED))],
        [*records(ACCEPTED), *records(ACCEPTED)],
        [b"\xff\xff\xff\xff"],
        [b"\x00\x00\x00\x04rubb"],
        [frame({"seq": 1, "at": 0.0, "event": {"type": "output", "stream": 9, "data": b""}})],
        [frame({"seq": 1, "at": 0.0, "event": {"type": "output", "stream": 1, "data": b"x" * (1 << 19)}})],
    ],
    ids=["gap", "twice", "huge", "rubbish", "stream-9", "too-long"],
)
async def test_events_that_are_none_end_the_run_with_a_reason(evil, events):
    done = await evil(events)
    assert done.returncode == 1
    assert done.stderr.startswith("homie: ")


async def test_an_honest_host_of_the_same_make_is_believed(evil, tmp_path):
    """The trap itself works: without a trick the run succeeds."""
    sent = [*records(*START, Output(stream=1, data=b"hi\n")), *results({})[3:]]
    sent[3:3] = [frame(Record(seq=4, at=0.0, event=END[0]))]
    sent[4] = frame(Record(seq=5, at=0.0, event=Collected(files=(file("ok"),))))
    sent[5] = frame(Record(seq=6, at=0.0, event=END[1]))
    done = await evil(sent)
    assert (done.returncode, done.stdout) == (0, "hi\n")
    assert (tmp_path / "back/ok").read_bytes() == b"x"
