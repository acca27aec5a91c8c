"""A daemon of which only the control socket is real: it says what a test told it to say.

In a test: `with FakeDaemon(home) as daemon`. As a process: `python fake_daemon.py`, with HOMIE_HOME set; there it
plays one node of `homie demo`.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from homie_core.model.control import (
    AddPeer,
    Delivered,
    GetRequest,
    JobEvent,
    JobView,
    JobViews,
    News,
    Placed,
    Refused,
    RunRequest,
    Status,
)
from homie_core.model.event import Accepted, Ended, Event, Output, Record, Started
from homie_core.model.job import How, Kind, Limits, Outcome, State
from homie_core.model.names import FileName, GroupId, JobId, NodeName, PeerId
from homie_core.model.peer import Capacity, Peer, Standing
from homie_core.model.wire import decode, encode, frame

GB = 1 << 30
DESK = PeerId("de" * 32)
STATUS = Status(
    name=NodeName("laptop"),
    id=PeerId("1a" * 32),
    group=GroupId("ab" * 8),
    version="0.1.0",
    pid=os.getpid(),
    port=5556,
    discovery="on, port 5555",
    sandbox="docker 28.2 (python:3.12-slim)",
    trouble="",
    preparing="",
    addresses=("192.0.2.7",),
)


def peer(name: str = "desk", **changes: Any) -> Peer:
    """A peer that is online, unless the changes say otherwise."""
    there = Peer(
        id=DESK,
        name=NodeName(name),
        address="192.0.2.8",
        port=5556,
        capacity=Capacity(cores=8, cpu_percent=25.0, ram_total=32 * GB, ram_free=24 * GB, sharing=True),
        standing=Standing.ONLINE,
        last_seen=0.4,
    )
    return msgspec.structs.replace(there, **changes)


def job_view(id: str, **changes: Any) -> JobView:
    """A script of mine that runs on desk, unless the changes say otherwise."""
    there = JobView(
        id=JobId(id), mine=True, kind=Kind.SCRIPT, peer="desk", title="train.py", age=5.0, state=State.RUNNING
    )
    return msgspec.structs.replace(there, **changes)


class Story(list[News]):
    """News of one job, numbered as they are told."""

    def event(self, event: Event) -> "Story":
        at = 1 + sum(isinstance(news, JobEvent) for news in self)
        self.append(JobEvent(record=Record(seq=at, at=0.0, event=event)))
        return self

    def placed(self, name: str = "desk") -> "Story":
        self.append(Placed(peer=NodeName(name), id=DESK, why="it has the most free cores"))
        limits = Limits(cpus=2.0, memory=4 * GB, timeout=600.0)
        return self.event(Accepted(limits=limits, missing=())).event(Started(sandbox="docker"))

    def out(self, data: bytes, stream: int = 1) -> "Story":
        return self.event(Output(stream=stream, data=data))

    def ended(self, status: int = 0, how: How = How.EXITED, detail: str = "") -> "Story":
        return self.event(Ended(outcome=Outcome(how=how, status=status, detail=detail)))


class FakeDaemon:
    """Serves the control API in a thread of its own."""

    def __init__(self, home: Path) -> None:
        self.path = home / "control.sock"
        self.status = STATUS
        self.statuses: list[Status] = []
        """Told first, each once."""
        self.peers: list[Peer] = []
        self.jobs: list[JobView] = []
        self.news: list[News] = []
        self.told = lambda: None
        """Called when all of `news` has been sent."""
        self.after_stop: list[News] = []
        """Told after the job was stopped; without these the stream ends with `news`."""
        self.stopping = lambda: None
        """Called while the request to stop waits for its answer."""
        self.refuse: Refused | None = None
        """The answer to every request that changes something."""
        self.asked: list[Any] = []
        """What front ends have asked for, in order."""
        self.run_hook: Callable[[RunRequest], None] = lambda _: None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.hung_up = threading.Event()
        """A front end has closed a stream before its end."""
        self.ended = threading.Event()
        """Somebody has asked for shutdown."""
        self.on_shutdown = lambda: None

    def __enter__(self) -> "FakeDaemon":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/peers", self._peers),
                web.post("/v1/peers", self._add),
                web.delete("/v1/peers/{who}", self._remove),
                web.post("/v1/peers/{who}/trust", self._trust),
                web.delete("/v1/peers/{who}/trust", self._untrust),
                web.post("/v1/runs", self._run),
                web.get("/v1/runs/{job}", self._follow),
                web.get("/v1/jobs", self._jobs),
                web.get("/v1/jobs/{start}", self._job),
                web.get("/v1/jobs/{job}/past", self._past),
                web.post("/v1/jobs/{job}/results", self._get),
                web.post("/v1/runs/{job}/stop", self._stop_run),
                web.post("/v1/shutdown", self._shutdown),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.UnixSite(runner, str(self.path)).start())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()
        self.path.unlink(missing_ok=True)

    async def _status(self, _: web.Request) -> web.Response:
        return _answer(self.statuses.pop(0) if self.statuses else self.status)

    async def _peers(self, _: web.Request) -> web.Response:
        return _answer(self.peers)

    async def _add(self, request: web.Request) -> web.Response:
        wanted = decode(await request.read(), AddPeer)
        self.asked.append(wanted)
        return self._refusal() or _answer(peer(address=wanted.host, port=wanted.port))

    async def _remove(self, request: web.Request) -> web.Response:
        self.asked.append(("remove", request.match_info["who"]))
        return self._refusal() or web.Response(status=204)

    async def _trust(self, request: web.Request) -> web.Response:
        self.asked.append(("trust", request.match_info["who"]))
        return self._refusal() or _answer(peer(trusted=True))

    async def _untrust(self, request: web.Request) -> web.Response:
        self.asked.append(("untrust", request.match_info["who"]))
        return self._refusal() or web.Response(status=204)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        wanted = decode(await request.read(), RunRequest)
        self.asked.append(wanted)
        self.run_hook(wanted)
        return self._refusal() or await self._tell(request, self.news)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        after = int(request.query["after"])
        self.asked.append(("follow", request.match_info["job"], after, request.query.get("results")))
        late = [n for n in self.news if not isinstance(n, JobEvent) or n.record.seq > after]
        return self._refusal() or await self._tell(request, late)

    async def _jobs(self, request: web.Request) -> web.Response:
        seen = "ended" in request.query
        return _answer(JobViews(jobs=tuple(job for job in self.jobs if seen or not job.results)))

    async def _job(self, request: web.Request) -> web.Response:
        start = request.match_info["start"]
        found = [job for job in self.jobs if job.id.startswith(start)]
        error = Refused(error="HomieError", message=f"{len(found)} jobs of yours begin with {start}")
        return _answer(found[0]) if len(found) == 1 else _answer(error, 409)

    async def _past(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(("past", request.match_info["job"]))
        return self._refusal() or await self._tell(request, self.news)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        wanted = decode(await request.read(), GetRequest)
        self.asked.append(("get", request.match_info["job"], wanted.folder))
        return self._refusal() or await self._tell(request, self.news)

    async def _tell(self, request: web.Request, news: list[News]) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            for each in news:
                await response.write(frame(each))
            self.told()
            if self.after_stop:
                await self._stop.wait()
            for each in self.after_stop:
                await response.write(frame(each))
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise
        await response.write_eof()
        return response

    async def _stop_run(self, request: web.Request) -> web.Response:
        self.asked.append(("stop", JobId(request.match_info["job"])))
        self.stopping()
        if refusal := self._refusal():
            return refusal
        self._stop.set()
        return web.Response(status=204)

    async def _shutdown(self, _: web.Request) -> web.Response:
        self.asked.append("shutdown")
        self.on_shutdown()
        self.ended.set()
        return web.Response(status=204)

    def _refusal(self) -> web.Response | None:
        return _answer(self.refuse, 409) if self.refuse else None


def _answer(message: object, status: int = 200) -> web.Response:
    return web.Response(body=encode(message), status=status, content_type="application/msgpack")


def main() -> None:
    """Be `laptop` or `desk` of a demo: laptop sees desk, and what runs there leaves a model."""
    home = Path(os.environ["HOMIE_HOME"])
    if os.environ.get("FAKE_DAEMON_FAILS"):
        sys.stderr.write("some noise\nport 5556 is taken\n")
        sys.exit(3)
    daemon = FakeDaemon(home)
    daemon.status = msgspec.structs.replace(
        STATUS, name=home.name, pid=os.getpid(), trouble=os.environ.get("FAKE_DAEMON_TROUBLE", "")
    )
    daemon.peers = [peer("desk")]
    daemon.news = Story().placed().out(b"epoch 1\n").ended(int(os.environ.get("FAKE_DAEMON_STATUS", "0")))

    def leave_a_model(request: RunRequest) -> None:
        Path(request.results).mkdir()
        (Path(request.results) / "model.json").write_text('{"slope": 3}')
        delivered = Delivered(folder=request.results, files=(FileName("model.json"),))
        daemon.news.insert(-1, delivered)

    daemon.run_hook = leave_a_model
    signal.signal(signal.SIGTERM, lambda *_: daemon.ended.set())
    with daemon:
        daemon.ended.wait()
        if os.environ.get("FAKE_DAEMON_HANGS"):
            threading.Event().wait()


if __name__ == "__main__":
    main()
