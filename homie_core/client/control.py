"""The control API as methods: HTTP over the Unix socket of this user's daemon.

http.client, because a front end must start quickly: its import costs a tenth of an asynchronous client's.
"""

import http.client
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from homie_core.model import wire
from homie_core.model.control import (
    AddPeer,
    CaughtUp,
    Delivered,
    FetchRequest,
    GetRequest,
    JobEvent,
    JobView,
    JobViews,
    News,
    Plan,
    PutRequest,
    Refused,
    RunRequest,
    Status,
    Uploaded,
)
from homie_core.model.errors import BadMessage, ConfigError, DaemonUnreachable, HomieError, TransferError
from homie_core.model.event import Ended
from homie_core.model.names import JobId
from homie_core.model.peer import Peer
from homie_core.model.quantity import show_size
from homie_core.model.session import ParcelName
from homie_core.runner.parcel import bundle, unbundled
from homie_core.runner.values import Buffer

SOCKET = "control.sock"
"""Name of the daemon's socket in its home folder."""
LOG = "daemon.log"
"""Name of the file in the home folder that a daemon in the background writes to."""
MAX_SOCKET_PATH = 100
"""Bytes; the system's own limit is 104 (macOS) or 108 (Linux), with a closing zero."""

PIECE = 0.5
"""Seconds of one wait for news."""

_PACKED = {"Content-Type": "application/msgpack"}
_NEWS: Any = News
_PEERS: Any = tuple[Peer, ...]


class Client:
    """The daemon of one home folder; each call is a connection of its own, so calls may overlap.

    Every method raises DaemonUnreachable if the daemon does not answer, and the class of `errors` that the
    daemon named if it says no.
    """

    def __init__(self, home: Path, timeout: float = 10.0) -> None:
        """`timeout` (seconds) bounds each answer, except the news of a job, which may be silent for hours."""
        self.home = home
        self._socket = home / SOCKET
        self._timeout = timeout
        if len(str(self._socket).encode()) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"the path {self._socket} is longer than {MAX_SOCKET_PATH} bytes, too long for a socket. "
                f"Set HOMIE_HOME to a shorter folder, for example HOMIE_HOME=/tmp/homie-$USER"
            )

    def status(self) -> Status:
        """Return how the daemon is doing."""
        return wire.decode(self._ask("GET", "/v1/status"), Status)

    def running(self) -> bool:
        """Return whether a daemon listens on the socket."""
        with closing(_UnixConnection(self._socket, self._timeout)) as connection:
            try:
                connection.connect()
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError as error:
                raise self._unreachable(error) from error
            return True

    def peers(self) -> tuple[Peer, ...]:
        """Return everyone of my group that the daemon knows, online or not."""
        peers: tuple[Peer, ...] = wire.decode(self._ask("GET", "/v1/peers"), _PEERS)
        return peers

    def add_peer(self, host: str, port: int) -> Peer:
        """Say hello to a peer that broadcast cannot reach, and return it."""
        return wire.decode(self._ask("POST", "/v1/peers", AddPeer(host=host, port=port)), Peer)

    def remove_peer(self, which: str) -> None:
        """Forget a peer: its name, the start of its id, or its host:port."""
        self._ask("DELETE", f"/v1/peers/{quote(which, safe='')}")

    def trust_peer(self, which: str) -> Peer:
        """Let notebooks show a peer's outputs unfiltered, and return it: its name, or the start of its id."""
        return wire.decode(self._ask("POST", f"/v1/peers/{quote(which, safe='')}/trust"), Peer)

    def untrust_peer(self, which: str) -> None:
        """Let a peer's outputs be filtered again: its name, or the start of its id."""
        self._ask("DELETE", f"/v1/peers/{quote(which, safe='')}/trust")

    def run(self, request: RunRequest) -> Iterator[News]:
        """Run it, and yield what happens until `Refused` or `Ended`; to stop reading early only detaches.

        The request is sent when the first item is taken.
        """
        return self._news("POST", "/v1/runs", request)

    def plan(self, request: RunRequest) -> Plan:
        """Return what would become of it; nothing leaves this machine. Raises NoPeer if nobody could take it."""
        return wire.decode(self._ask("POST", "/v1/plan", request, in_time=False), Plan)  # it hashes the files

    def follow(self, job: JobId, after: int, results: Path | None) -> Iterator[News]:
        """Yield what happened to a job of mine after its record number `after`, until its end.

        Its files come into this folder, and its host forgets it then; None: nothing comes, all is kept there.
        """
        where = f"&results={quote(str(results), safe='')}" if results else ""
        return self._news("GET", f"/v1/runs/{job}?after={after}{where}")

    def jobs(self, *, ended: bool = False) -> tuple[JobView, ...]:
        """Return the jobs that are under way or whose end nobody has seen, mine and others' here; `ended`: all."""
        return wire.decode(self._ask("GET", f"/v1/jobs{'?ended=1' if ended else ''}"), JobViews).jobs

    def job(self, start: str) -> JobView:
        """Return the job of mine whose id begins so."""
        return wire.decode(self._ask("GET", f"/v1/jobs/{quote(start, safe='')}"), JobView)

    def past(self, job: JobId) -> Iterator[News]:
        """Yield what happened to a job of mine so far; `CaughtUp` or its end is the last. Raises HomieError."""
        return self._told("GET", f"/v1/jobs/{job}/past")

    def get(self, job: JobId, folder: Path) -> Iterator[News]:
        """Bring the files of an ended job of mine here; yield progress until `Delivered`. Raises HomieError."""
        return self._told("POST", f"/v1/jobs/{job}/results", GetRequest(folder=str(folder)))

    def put(self, job: JobId, request: PutRequest) -> Iterator[News]:
        """Send files to a session of mine; yield the progress until `Uploaded`, or raise why they cannot be."""
        return self._told("POST", f"/v1/runs/{job}/files", request)

    def fetch(self, job: JobId, request: FetchRequest) -> Iterator[News]:
        """Bring files of a session of mine here; yield the progress until `Delivered`. Raises HomieError."""
        return self._told("POST", f"/v1/runs/{job}/fetch", request)

    def send_parcel(self, job: JobId, name: ParcelName, buffers: Sequence[Buffer]) -> None:
        """Send these buffers to a session of mine that runs."""
        size = sum(map(len, bundle(buffers)))
        headers = {"Content-Length": str(size)}
        with self._open("PUT", f"/v1/runs/{job}/parcels/{name}", bundle(buffers), None, headers) as response:
            response.read()

    def fetch_parcel(self, job: JobId, name: ParcelName) -> list[memoryview]:
        """Return the buffers of a parcel that a session of mine made.

        Raises BadMessage if it is none, TransferError if it is larger than the memory that is free.
        """
        import psutil

        with self._open("GET", f"/v1/runs/{job}/parcels/{name}", None, None) as response, self._translated():
            size, free = response.length or 0, psutil.virtual_memory().available
            if size > free:
                raise TransferError(f"values of {show_size(size)} would come; {show_size(free)} of memory is free")
            try:
                return unbundled(size, response.readinto)
            except ValueError as error:
                raise BadMessage(f"the session sent {error}") from error

    def stop(self, job: JobId) -> None:
        """Ask for the end of a job of mine; its news go on until it has ended."""
        self._ask("POST", f"/v1/runs/{job}/stop")

    def shutdown(self) -> None:
        """Ask the daemon to end; it answers before it does."""
        self._ask("POST", "/v1/shutdown")

    def _ask(self, method: str, path: str, body: object = None, *, in_time: bool = True) -> bytes:
        payload = None if body is None else wire.encode(body)
        timeout = self._timeout if in_time else None
        with self._open(method, path, payload, timeout) as response, self._translated():
            return response.read(wire.MAX_MESSAGE + 1)

    def _news(self, method: str, path: str, body: object = None) -> Iterator[News]:
        unframer = wire.Unframer()
        payload = None if body is None else wire.encode(body)
        with self._open(method, path, payload, None) as response:
            while data := self._next(response):
                for message in unframer.feed(data):
                    news: News = wire.decode(message, _NEWS)
                    yield news
                    if _is_last(news):
                        return
        raise DaemonUnreachable(f"the daemon ended in mid-sentence; {self.home / LOG} says more")

    def _told(self, method: str, path: str, body: object = None) -> Iterator[News]:
        """Yield news that are about files, or about the past, to their end; raise what is `Refused`."""
        for news in self._news(method, path, body):
            if isinstance(news, Refused):
                raise news.as_error()
            yield news
            if isinstance(news, Delivered):
                return

    def _next(self, response: http.client.HTTPResponse) -> bytes:
        with self._translated():
            return response.read1(1 << 16)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[memoryview] | None,
        timeout: float | None,
        headers: Mapping[str, str] = _PACKED,
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(_UnixConnection(self._socket, timeout)) as connection:
            with self._translated():
                connection.request(method, path, body, headers)
                response = connection.getresponse()
            with response:
                if not 200 <= response.status < 300:
                    raise self._refusal(response)
                yield response

    def _refusal(self, response: http.client.HTTPResponse) -> HomieError:
        with self._translated():
            body = response.read(wire.MAX_MESSAGE)
        try:
            return wire.decode(body, Refused).as_error()
        except BadMessage:
            return BadMessage(
                f"the daemon answered {response.status} {response.reason} without a reason; "
                "is it of another version? Restart it: `homie down`, then `homie up`"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> DaemonUnreachable:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnreachable("homie is not running here; start it with `homie up`")
        if isinstance(error, TimeoutError):
            what = f"has not answered within {self._timeout:.0f} s"
        elif isinstance(error, PermissionError):
            what = "belongs to another user"
        else:
            what = f"broke the connection ({type(error).__name__})"
        return DaemonUnreachable(f"the daemon of {self.home} {what}; {self.home / LOG} says more")


def _is_last(news: News) -> bool:
    return isinstance(news, Refused | Uploaded | CaughtUp) or (
        isinstance(news, JobEvent) and isinstance(news.record.event, Ended)
    )


class _Interruptible(socket.socket):
    """Waits for silent news in pieces, so that a signal just before a wait begins is noticed soon all the same."""

    def recv_into(self, *arguments: Any) -> int:
        while self.gettimeout() is None and not select.select([self], [], [], PIECE)[0]:
            pass  # Python runs signal handlers between two steps, not inside a wait that has begun
        return super().recv_into(*arguments)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a path instead of a host."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("homie", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = _Interruptible(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
