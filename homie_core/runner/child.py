"""The job's program: started in a session of its own, spoken to through pipes, ended with all it leaves behind."""

import contextlib
import errno
import fcntl
import os
import signal

from homie_core.runner.frames import MAX_RECORD, MESSAGES, STDERR, STDOUT

PIPE = 1 << 20
"""What a pipe should hold: a flood then costs few wake-ups."""

GATHER = 0.008
"""Seconds between two reads of a pipe that brings little at a time; the first of a burst is read at once."""

FLOOD = 64 << 10
"""A read of so many bytes means that waiting would only slow the program down."""


class Pipe:
    """One stream of the program's, and when it is to be read next."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.due = 0.0
        self.fd, self.inner = os.pipe()
        os.set_blocking(self.fd, False)
        widen(self.fd)

    def read(self, now: float) -> bytes | None:
        """Return what is there, at most one record; None at the end."""
        try:
            data = os.read(self.fd, MAX_RECORD)
        except BlockingIOError:
            return b""
        # A kernel gathers by itself, and somebody waits for its answer.
        self.due = now if len(data) >= FLOOD or self.kind == MESSAGES else now + GATHER
        return data or None


class Inbox:
    """What a kernel is to hear: kept until its pipe takes it."""

    def __init__(self) -> None:
        self.inner, self.fd = os.pipe()
        os.set_blocking(self.fd, False)
        widen(self.fd)
        self.waiting = bytearray()
        self._closing = False

    def put(self, data: bytes) -> None:
        """Say this after all that was said before."""
        self.waiting += data
        self.flush()

    def close(self) -> None:
        """Say nothing more, once all is said."""
        self._closing = True
        self.flush()

    def flush(self) -> None:
        """Hand over as much as the pipe takes now."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.fd, self.waiting[:PIPE])]
        except BlockingIOError:
            return
        except OSError:  # it is no more; its end says so
            self.waiting.clear()
        if self._closing and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Child:
    """A running program; in a `session`, a kernel with one more pipe out and one in (see messages.py)."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str, session: bool) -> None:
        self.argv, self.env, self.cwd, self.session = argv, env, cwd, session
        kinds = (STDOUT, STDERR, MESSAGES) if session else (STDOUT, STDERR)
        self.pipes = [Pipe(kind) for kind in kinds]
        self.inbox = Inbox() if session else None
        inner = [pipe.inner for pipe in self.pipes] + ([self.inbox.inner] if self.inbox else [])
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, env, cwd, inner)
        for fd in inner:
            os.close(fd)
        self.running = True

    def again(self) -> "Child":
        """Return the same program, started anew; this one has ended."""
        self.abandon()
        return Child(self.argv, self.env, self.cwd, self.session)

    def abandon(self) -> None:
        """Hear and say nothing more."""
        for pipe in list(self.pipes):
            self.close(pipe)
        if self.inbox:
            self.inbox.waiting.clear()
            self.inbox.close()

    def close(self, pipe: Pipe) -> None:
        """This one has come to its end."""
        self.pipes.remove(pipe)
        os.close(pipe.fd)

    def send_signal(self, number: int) -> None:
        """Send it to the program's process group."""
        with contextlib.suppress(OSError):  # gone already, or no such signal
            os.killpg(self.pid, number)

    def discard(self) -> None:
        """End it now: it was started in advance and is not needed."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.running = False
        self.abandon()


def kill_everything(child: Child) -> None:
    """Kill whatever the program left behind.

    As process 1 of its own namespace the runner reaches every other process in one atomic step, so not even
    a fork bomb slips through; anywhere else, it may only touch the program's process group.
    """
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    else:
        child.send_signal(signal.SIGKILL)


def reap() -> list[tuple[int, int]]:
    """Return (process id, exit status or minus signal) of each process that has ended; as process 1, also
    those that the program abandoned."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def widen(fd: int) -> None:
    """Let a pipe hold more, where the kernel grants it (a user's pipes have a common limit)."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)


def _become(argv: list[str], env: dict[str, str], cwd: str, fds: list[int]) -> None:
    """In the forked child: become the program. Does not return."""
    code = 126
    try:
        os.setsid()
        for number in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):  # Python ignores them, and a program would inherit that
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        safe = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1 + len(fds)) for fd in fds]  # none lies in another's place
        for at, fd in enumerate(safe, start=1):
            os.dup2(fd, at)
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)  # noqa: S606
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        os.write(2, f"homie: cannot start {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(code)
