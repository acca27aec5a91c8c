"""A live IPython kernel: `python3 -P kernel.py`, with ipykernel on PYTHONPATH.

It is an ordinary ipykernel that listens on sockets of its own process only. A thread, `Pump`, carries its messages
to and from the runner's pipes, so nothing outside ever opens a socket that job code could have swapped. Started in
advance it waits, all imported, like any idle kernel.
"""

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any

HERE = __file__.removesuffix("/homie_core/runner/kernel.py")
sys.path.insert(0, HERE)

from homie_core.runner.exchange import CANNOT_TAKE, GIVEN, WISH, Exchange
from homie_core.runner.frames import BUSY, MAX_RECORD, MESSAGES
from homie_core.runner.messages import (
    CONTROL,
    ENVIRONMENT,
    IN_FD,
    INTERRUPT,
    IOPUB,
    OUT_FD,
    RECORD,
    SHELL,
    STDIN,
    Unpacker,
    pack,
)

sys.path.remove(HERE)  # a job finds no homie_core here

import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from tornado.ioloop import IOLoop
from traitlets.config import Config

DELIMITER = b"<IDS|MSG>"
WELCOME_MS = 30_000
"""Milliseconds to wait for the kernel's welcome to a new listener."""
LAST_WORDS_MS = 50
"""Milliseconds of silence after which a kernel that has ended has said all."""
INSIST = 0.05
"""Seconds in which a signal is noticed, unless it came at a bad moment."""
PREFACE_MS = 5
"""Milliseconds that the news of a cell's beginning may wait for what it does."""


class Kernel(IPythonKernel):
    """An ipykernel that can be interrupted at any moment and still gives each request its one answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._armed = False
        """Whether an interrupt may be raised in the main thread now."""
        self._unwanted: set[str] = set()
        """Requests that were interrupted before they began."""
        self._running = ""
        self._folder = os.getcwd()

    def interrupt(self, requests: set[str]) -> None:
        """Interrupt these requests, of which one may run and others may not have begun; any thread."""
        self._unwanted |= requests
        if self._armed and self._running in requests:
            Interrupt.noticed = False
            os.killpg(0, signal.SIGINT)  # its children too, as Jupyter does it
            threading.Thread(target=self._insist, args=(self._running,), daemon=True).start()

    def _insist(self, request: str) -> None:
        """Signal again until it is noticed: one that comes just before a call that waits does not end the wait."""
        time.sleep(INSIST)
        while self._armed and self._running == request and not Interrupt.noticed:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(INSIST)

    def pre_handler_hook(self) -> None:
        """Leave SIGINT to `_arm`: between two cells it does nothing."""

    def post_handler_hook(self) -> None:
        """See above."""

    async def do_execute(self, code: str, *args: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return await super().do_execute(code, *args, **options)
        request = self.get_parent("shell")["header"]["msg_id"]
        self._running = request
        try:
            self._arm(True)
            try:
                if request in self._unwanted:
                    self._arm(False)  # it is interrupted once, not again while that is shown
                    code = "raise KeyboardInterrupt"
                return await self._exchanging(code, *args, **options)
            finally:
                self._arm(False)
        except KeyboardInterrupt:
            pass  # it hit between two lines of IPython itself
        finally:
            self._unwanted.discard(request)
        return await super().do_execute("raise KeyboardInterrupt", *args, **options)

    async def _exchanging(self, code: str, *args: Any, **options: Any) -> Any:
        """Run a cell with the values that come with it, and give those that it is to give."""
        request = self.get_parent("shell")
        wish = request["content"].get(WISH)
        if wish is None or self.shell is None:
            return await super().do_execute(code, *args, **options)
        exchange = Exchange(wish, request["buffers"], self._folder, self.shell.user_ns)
        if why := exchange.take():
            error = {"ename": CANNOT_TAKE, "evalue": why, "traceback": [why]}
            self.send_response(self.iopub_socket, "error", error)
            return {"status": "error", "execution_count": self.execution_count, **error}
        reply = await super().do_execute(code, *args, **options)
        if reply["status"] == "ok":
            try:
                content, buffers = exchange.give()
            except Exception as failed:  # whatever it is, the cell must be answered
                content = {"ename": type(failed).__name__, "evalue": str(failed), "traceback": [str(failed)]}
                self.send_response(self.iopub_socket, "error", content)
                return {**reply, "status": "error", **content}
            self.send_response(self.iopub_socket, GIVEN, content, buffers=buffers)
        return reply

    def _arm(self, armed: bool) -> None:
        """Let SIGINT raise KeyboardInterrupt, with no frame of ours in its traceback; or do nothing."""
        if not armed:
            self._armed = False
        signal.signal(signal.SIGINT, Interrupt if armed else _do_nothing)
        self._armed = armed


class Interrupt:
    """Handles SIGINT: notes that, then raises KeyboardInterrupt from C, with no frame of ours in its traceback."""

    noticed = False

    def __new__(cls, *_: Any) -> "Interrupt":
        cls.noticed = True
        return super().__new__(cls)

    __init__ = signal.default_int_handler


def _do_nothing(*_: Any) -> None:
    """Take a signal that came too late; ignoring it would be inherited by the processes that cells start."""


class App(IPKernelApp):
    """The kernel's application, without what only a kernel among strangers needs."""

    def init_heartbeat(self) -> None:
        """Nobody listens: its runner sees it die."""

    def init_iopub(self, context: Any) -> None:
        context.setsockopt(zmq.SNDHWM, 0)  # or output is dropped in silence, beyond a thousand messages
        super().init_iopub(context)
        context.setsockopt(zmq.SNDHWM, 1000)


class Pump:
    """Carries messages between the kernel's sockets and the runner's pipes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._sockets = {
            SHELL: self._connect(zmq.DEALER, app.shell_socket),
            CONTROL: self._connect(zmq.DEALER, app.control_socket),
            STDIN: self._connect(zmq.DEALER, app.stdin_socket),
            IOPUB: self._connect(zmq.SUB, app.iopub_thread.socket),
        }
        self._over = threading.Event()
        self._due: set[str] = set()
        """Cells that have been passed on and have not ended."""
        self._held = bytearray()
        """Messages that are not yet written."""
        self._preface = False
        """Whether they only say that a cell begins: then the first that shows something may go with them."""

    def run(self) -> None:
        """Work until the runner closes its end; then let the kernel end, and pass on its last words."""
        poller, unpacker = zmq.Poller(), Unpacker()
        for source in (IN_FD, *self._sockets.values()):
            poller.register(source, zmq.POLLIN)
        channels = {socket: channel for channel, socket in self._sockets.items()}
        self._sockets[IOPUB].poll(WELCOME_MS)  # what is published before we are known would be lost
        patience = None
        while True:
            over = self._over.is_set()
            ready = dict(poller.poll(PREFACE_MS if self._preface else patience))
            if not ready:
                self._flush()
                if over:
                    return
            if ready.pop(IN_FD, None):
                data = os.read(IN_FD, 1 << 16)
                for channel, parts in unpacker.feed(data):
                    self._pass_in(channel, parts)
                if not data:
                    poller.unregister(IN_FD)
                    patience = LAST_WORDS_MS
                    self._app.kernel.interrupt(self._due)
                    self._app.kernel.io_loop.add_callback(self._app.kernel.io_loop.stop)
            for socket in ready:
                self._pass_out(channels[socket], socket)

    def finish(self) -> None:
        """The kernel has ended: all that it said is to be passed on."""
        self._over.set()

    def _connect(self, kind: int, to: Any) -> Any:
        assert self._app.context
        socket = self._app.context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        else:
            socket.identity = b"homie"  # the same one: input requests go to whom the cell came from
        socket.connect(to.getsockopt(zmq.LAST_ENDPOINT))
        return socket

    def _pass_in(self, channel: int, parts: list[bytes]) -> None:
        if channel == INTERRUPT:
            self._app.kernel.interrupt({part.decode() for part in parts} & self._due if parts else self._due)
        elif channel == ENVIRONMENT:
            os.environ.update(json.loads(parts[0]))
        elif channel in (SHELL, CONTROL, STDIN):
            header = json.loads(parts[0])
            if header["msg_type"] == "execute_request":
                self._due.add(header["msg_id"])
            self._sockets[channel].send_multipart([DELIMITER, b"", *parts])

    def _pass_out(self, channel: int, socket: Any) -> None:
        """Write what this socket has, as far as it fits into one record (a larger message takes several)."""
        while len(self._held) < MAX_RECORD:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            parts = parts[parts.index(DELIMITER) + 2 :]
            if channel == IOPUB and (cell := _begun_or_ended(parts)) is not None:
                self._flush()
                _write(BUSY, cell)
                self._preface = bool(cell)
                if not cell:
                    self._due.discard(json.loads(parts[1])["msg_id"])
            elif b'"execute_input"' not in parts[0]:
                self._preface = False
            self._held += pack(channel, parts)
        if not self._preface:
            self._flush()

    def _flush(self) -> None:
        for at in range(0, len(self._held), MAX_RECORD):
            _write(MESSAGES, self._held[at : at + MAX_RECORD])
        self._held.clear()
        self._preface = False


def _begun_or_ended(parts: list[bytes]) -> bytes | None:
    """Return the id of the cell that begins with this message, nothing if one has ended; None: neither."""
    if b'"status"' not in parts[0] or b'"execute_request"' not in parts[1]:
        return None
    state = json.loads(parts[3]).get("execution_state")
    request = json.loads(parts[1])["msg_id"].encode()[:200]
    return {"busy": request, "idle": b""}.get(state)


def _write(kind: int, payload: bytes | bytearray) -> None:
    view = memoryview(RECORD.pack(kind, len(payload)) + payload)
    while view:
        view = view[os.write(OUT_FD, view) :]


def _keep_from_children() -> None:
    """Let no process that a cell starts hold, or write to, the runner's pipes."""
    for fd in (OUT_FD, IN_FD):
        os.set_inheritable(fd, False)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.register_at_fork(after_in_child=lambda: [os.dup2(nowhere, fd) for fd in (OUT_FD, IN_FD)])


def main() -> None:
    """Be a kernel until the runner has had enough of it."""
    _keep_from_children()
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.IPythonKernel._execute_sleep = 0.0  # it gives slow readers time; here all is read, and in order
    config.Session.key = b""  # the sockets lie in a folder of this user's, in a sandbox of its own
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        app = App.instance(
            config=config,
            kernel_class=Kernel,
            transport="ipc",
            ip=f"{folder}/ipc",
            connection_file=f"{folder}/kernel.json",
            log_level=logging.CRITICAL,  # its hints are for those who started a kernel by hand
        )
        app.initialize([])
        pump = Pump(app)
        pumping = threading.Thread(target=pump.run, name="homie", daemon=True)
        IOLoop.current().add_callback(pumping.start)  # the kernel has begun by then
        app.start()
        sys.stdout.flush()
        sys.stderr.flush()
        pump.finish()
        pumping.join(2.0)


if __name__ == "__main__":
    main()
