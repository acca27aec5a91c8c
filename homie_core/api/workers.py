"""Warm sessions that calls run in: opened when needed, kept for a while, ended with this process."""

import atexit
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from homie_core.api.asking import Where, client
from homie_core.api.call import Call
from homie_core.api.console import Console
from homie_core.client import Client, new_job_id, request_for_session
from homie_core.client.session import Session
from homie_core.model.errors import HomieError
from homie_core.model.peer import Peer, Standing

KEEP = 60.0
"""Seconds for which a worker without work stays: its peer cannot lend meanwhile what it holds."""
NEWS = 5.0
"""Seconds until what a worker holds has been heard from its peer."""
GOODBYE = 3.0
"""Seconds that the end of this process waits for the end of its workers."""


class Worker:
    """A session that runs one call after another."""

    def __init__(self, session: Session, console: Console) -> None:
        self.session, self.console = session, console
        self.taken = time.monotonic()
        """When it was last given work: it lends nothing of what it holds then, but rests without."""
        self.loaded: object = None
        """Whose function it holds."""

    def runs(self, job: Call[Any], killable: bool = True) -> None:
        """Let it run this job, which may end it if `killable`."""
        self.console.shows(job)
        job.send(self.session, killable)


def open_worker(where: Where, title: str, home_client: Client | None = None) -> Worker:
    """Open a session on a peer, and wait until it is known which. Raises HomieError."""
    job, console = new_job_id(), Console()
    request = request_for_session(
        title, results=Path("homie-results") / job, job=job, ask=where.ask, node=where.node
    )
    session = Session(title, home_client or client(), request, lambda _: console)
    session.wait_placed()
    if session.lost:
        raise session.lost
    return Worker(session, console)


def places(peers: Iterable[Peer], where: Where, taken: Iterable[str] = ()) -> list[str]:
    """Return the ids of the peers that have room now, each once for each worker, taking turns.

    `taken` are the peers of workers that work for so short a time that their peers have not told of them.
    """
    ask, held = where.ask, Counter(taken)
    rooms: dict[str, int] = {}
    for peer in peers:
        has = peer.capacity
        cpus, memory = ask.cpus or has.max_cpus, ask.memory or has.max_memory
        if peer.standing is not Standing.ONLINE or not has.sharing or cpus <= 0 or memory <= 0:
            continue
        if where.node and peer.name.lower() != where.node.lower() and not peer.id.startswith(where.node.lower()):
            continue
        if cpus > has.max_cpus or memory > has.max_memory:
            continue
        fit = min(int(has.free_cpus / cpus + 1e-9), has.free_memory // memory, has.free_jobs)
        if ask.gpu:
            fit = min(fit, len(ask.gpu.free(has.gpus)) // ask.gpu.count)
        rooms[peer.id] = fit - held[peer.id]
    return [id for turn in range(max(rooms.values(), default=0)) for id, fit in rooms.items() if turn < fit]


class Pool:
    """The workers of one wish; more are opened as long as some peer has room, else calls wait."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self._lock = threading.RLock()
        self._idle: dict[Worker, threading.Timer] = {}
        self._busy: set[Worker] = set()
        self._pending: deque[Call[Any]] = deque()

    def run(self, job: Call[Any]) -> None:
        """Let a worker run this job as soon as one can. Raises HomieError if none can be had."""
        with self._lock:
            worker = self._taken() or self._opened()
            if worker is None:
                self._pending.append(job)
                return
        self._send(worker, job)

    def take(self) -> Worker:
        """Return a worker, the caller's until given back; it may have to wait for its peer. Raises HomieError."""
        with self._lock:
            return self._taken() or self._opened() or self._open(self.where)

    def more(self) -> Worker | None:
        """Return one more worker, the caller's until given back, if there is room for it."""
        with self._lock:
            return self._taken() or self._opened()

    def give_back(self, worker: Worker) -> None:
        """It has no work any more."""
        with self._lock:
            self._busy.discard(worker)
            job = self._pending.popleft() if self._pending else None
            if job is None:
                self._rest(worker)
                return
            try:
                next = self._keep(worker) or self._open(self.where)
            except HomieError as error:
                job.fail(error)
                return
        self._send(next, job)

    def close(self) -> list[Session]:
        """Ask for the end of all workers, and return their sessions."""
        with self._lock:
            workers = [*self._idle, *self._busy]
            for timer in self._idle.values():
                timer.cancel()
            self._idle.clear()
            self._busy.clear()
        for worker in workers:
            _end(worker)
        return [worker.session for worker in workers]

    def _send(self, worker: Worker, job: Call[Any]) -> None:
        job.future.add_done_callback(lambda _: self.give_back(worker))  # at once if it was cancelled
        worker.runs(job)

    def _taken(self) -> Worker | None:
        while self._idle:
            worker, timer = self._idle.popitem()
            timer.cancel()
            if kept := self._keep(worker):
                return kept
        return None

    def _keep(self, worker: Worker) -> Worker | None:
        if worker.session.alive:
            worker.taken = time.monotonic()
            self._busy.add(worker)
            return worker
        return None

    def _opened(self) -> Worker | None:
        """Return a new worker where there is room; the first one anywhere, and my daemon says why not."""
        if not self._busy:
            return self._open(self.where)
        mine = client()
        young = [worker for worker in self._busy if time.monotonic() - worker.taken < NEWS]
        free = places(mine.peers(), self.where, [worker.session.peer_id for worker in young])
        with suppress(HomieError):  # somebody was quicker
            return self._open(Where(free[0], self.where.ask, self.where.timeout), mine) if free else None
        return None

    def _open(self, where: Where, mine: Client | None = None) -> Worker:
        worker = open_worker(where, f"calls of {Path(sys.argv[0] or 'python').name}"[:100], mine)
        self._busy.add(worker)
        return worker

    def _rest(self, worker: Worker) -> None:
        if worker.session.alive:
            timer = threading.Timer(KEEP, self._expire, (worker,))
            timer.daemon = True
            self._idle[worker] = timer
            timer.start()

    def _expire(self, worker: Worker) -> None:
        with self._lock:
            if self._idle.pop(worker, None) is None:
                return
        _end(worker)


_pools: dict[Where, Pool] = {}
_lock = threading.Lock()


def pool_for(where: Where) -> Pool:
    """Return the workers that this process has for this wish."""
    key = Where(where.node, where.ask, None)
    with _lock:
        return _pools.setdefault(key, Pool(key))


@atexit.register
def close_all() -> None:
    """End all workers."""
    sessions = [session for pool in list(_pools.values()) for session in pool.close()]
    deadline = time.monotonic() + GOODBYE
    for session in sessions:
        session.closed.wait(max(0.0, deadline - time.monotonic()))


def _end(worker: Worker) -> None:
    with suppress(HomieError):
        worker.session.end()
