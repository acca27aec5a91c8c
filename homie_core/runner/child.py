"""The job's program: started in a session of its own, read through pipes, ended with all it leaves behind."""

import contextlib
import errno
import fcntl
import json
import os
import signal

from homie_core.runner.frames import MAX_RECORD, RAISED, STDERR, STDOUT

REPORT_FD = 3
"""Where a cell reports its exception; its program finds the number in HOMIE_REPORT."""

GO_FD = 4
"""Where a program that was started in advance hears what to do; it finds the number in HOMIE_GO."""

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
        self.due = now if len(data) >= FLOOD else now + GATHER
        return data or None


class Child:
    """A running program; with `go`, one that was started in advance and waits on that pipe."""

    def __init__(
        self, argv: list[str], env: dict[str, str], cwd: str, report: bool, go: int | None = None
    ) -> None:
        self.pipes = [Pipe(STDOUT), Pipe(STDERR), *([Pipe(RAISED)] if report else [])]
        if report:
            env = {**env, "HOMIE_REPORT": str(REPORT_FD)}
        inner = [pipe.inner for pipe in self.pipes]
        if go is not None:
            assert report, "its pipe comes behind the one for the report"
            env, inner = {**env, "HOMIE_GO": str(GO_FD)}, [*inner, go]
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, env, cwd, inner)
        for pipe in self.pipes:
            os.close(pipe.inner)
        self.running = True

    def close(self, pipe: Pipe) -> None:
        """This one has come to its end."""
        self.pipes.remove(pipe)
        os.close(pipe.fd)

    def send_signal(self, number: int) -> None:
        """Send it to the program's process group."""
        with contextlib.suppress(OSError):  # gone already, or no such signal
            os.killpg(self.pid, number)


class Prepared:
    """A program started in advance: all but its last argument is known."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str) -> None:
        self.argv = argv
        go, self._go = os.pipe()
        self.child = Child(argv, env, cwd, report=True, go=go)
        os.close(go)

    def use(self, argv: list[str], env: dict[str, str]) -> Child | None:
        """Let it go on as this program; None if it was prepared for another, or is no more."""
        usable = self.argv[:-1] == argv[:-1]
        if usable:
            try:
                os.write(self._go, json.dumps({"argument": argv[-1], "env": env}).encode())
            except OSError:
                usable = False
        os.close(self._go)
        if not usable:
            self._end()
            return None
        return self.child

    def _end(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        os.waitpid(self.child.pid, 0)
        self.child.running = False
        for pipe in list(self.child.pipes):
            self.child.close(pipe)


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
        for at, fd in enumerate(fds, start=1):
            os.dup2(fd, at)
            os.set_inheritable(at, True)  # dup2 onto itself leaves it closed on exec
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)  # noqa: S606
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        os.write(2, f"homie: cannot start {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(code)
