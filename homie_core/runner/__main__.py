"""The loop between host, program and spool: `python3 -I -S __main__.py SPOOL`, the host on stdin and stdout.

Nothing here may block: the host may stop reading, vanish and come back, while the program runs on and its
deadline stays in force. A record is in the spool before it is sent; with a full spool, the program waits.
"""

import json
import os
import select
import signal
import sys
import time

sys.path.insert(0, __file__.removesuffix("/homie_core/runner/__main__.py"))

from homie_core.runner.child import Child, Pipe, kill_everything, reap, widen
from homie_core.runner.clock import boottime
from homie_core.runner.files import Incoming
from homie_core.runner.frames import (
    ACK,
    BUSY,
    CLOSE,
    DATA,
    EXITED,
    FILE,
    HEARD,
    HEARD_EVERY,
    INPUT,
    LEASE,
    MAX_RECORD,
    MESSAGES,
    NUMBER,
    OUT_OF_MEMORY,
    PIPES,
    PLACED,
    PREPARE,
    REPLAY,
    RESTART,
    RESTARTED,
    SIGNAL,
    START,
    STARTED,
    Commands,
    answer_to,
)
from homie_core.runner.messages import ENVIRONMENT, RECORD, pack
from homie_core.runner.spool import Spool

TERM_GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL at the deadline."""

DRAIN_GRACE = 0.5
"""Seconds that what the program left behind may hold its pipes open."""

LAST_GRACE = 5.0
"""Seconds to wait for what does not even die of SIGKILL, and for a host that reads no more."""

LEASE_LOOK = 1.0
"""Seconds between two looks at a lease, at most: a poll does not wake when the machine does."""

HOST_IN, HOST_OUT = 0, 1

MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where the kernel counts what it killed in this sandbox for its memory: control groups of version 2 and 1."""


class Runner:
    """One program, from START until the host has everything."""

    def __init__(self, folder: str) -> None:
        self.spool = Spool(folder)
        self.commands = Commands()
        self.child: Child | None = None
        self.prepared: Child | None = None
        """A kernel that waits to be the child."""
        self.host_may_come = True
        """False once stdin has ended: nobody can connect over it again."""
        self.listening = False
        """Whether a host has connected and its end of stdout is open."""
        self.answer = b""
        """What is left to send of the answer to REPLAY."""
        self.said = bytearray()
        """The beginning of a record of the kernel's that is not whole yet."""
        self.incoming: Incoming | None = None
        self.file = 0
        """Number of the input that it is."""
        self.heard = 0
        """Number of the last input that was obeyed."""
        self.untold = 0
        """Bytes of inputs since the host was told so."""
        self.restarting = False
        self.early = bytearray()
        """What the next kernel is to hear, while the one before is on its way out."""
        self.timeout = 0.0
        """Seconds that the program may run; in a session, without a word from outside."""
        self.deadline: float | None = None
        """When the program is told to end; then, when it is killed; None when it is not waited for."""
        self.too_late = False
        self.lease: float | None = None
        """When the program ends unless it is renewed, by a clock that goes on while the machine sleeps."""
        self.lapsed = False
        self.status: int | None = None
        """The program's exit status, or minus the signal that ended it."""
        self.drain_until: float | None = None
        self.killed = False
        self.over_since: float | None = None

    def run(self) -> None:
        """Serve until the host has everything, or can never have it."""
        woken, wake = os.pipe()
        for fd in (HOST_IN, HOST_OUT, woken, wake):
            os.set_blocking(fd, False)
        widen(HOST_OUT)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which process 1 does not hear
        now = time.monotonic()
        while not self.finished(now):
            ready = self.wait(woken, now)
            now = time.monotonic()
            if woken in ready:
                os.read(woken, 4096)
            if HOST_IN in ready:
                self.hear(now)
            for pipe in list(self.child.pipes) if self.child else ():
                if pipe.fd in ready:
                    self.take(pipe, now)
            if self.child:
                if self.child.inbox and self.child.inbox.fd in ready:
                    self.child.inbox.flush()
                self.watch(self.child, now)
            if self.listening:
                self.send()

    def wait(self, woken: int, now: float) -> set[int]:
        """Return what is ready, of all that matters now."""
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        times = [self.deadline, self.drain_until]
        if self.lease is not None:
            times.append(now + min(LEASE_LOOK, max(0.0, self.lease - boottime())))
        if self.host_may_come:
            poll.register(HOST_IN, select.POLLIN)
        elif self.over_since is not None:
            times.append(self.over_since + LAST_GRACE)
        if self.listening and (self.answer or self.spool.pending):
            poll.register(HOST_OUT, select.POLLOUT)
        if self.child and self.child.inbox and self.child.inbox.waiting:
            poll.register(self.child.inbox.fd, select.POLLOUT)
        if self.child and (self.killed or not self.spool.full):
            for pipe in self.child.pipes:
                if pipe.due <= now or not self.child.running:
                    poll.register(pipe.fd, select.POLLIN)
                else:
                    times.append(pipe.due)
        soonest = min((at for at in times if at is not None), default=None)
        timeout = None if soonest is None else max(0.0, soonest - now) * 1000 + 0.5
        return {fd for fd, _ in poll.poll(timeout)}

    def hear(self, now: float) -> None:
        """Take in what the host says."""
        try:
            data = os.read(HOST_IN, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.host_may_come = False
        for kind, number, payload in self.commands.feed(data):
            if kind == REPLAY:
                self.replay(**json.loads(payload))
            elif kind == PREPARE and self.child is None and self.prepared is None:
                wish = json.loads(payload)
                argv, env, cwd = self.placed(wish["argv"], wish["env"], wish["cwd"])
                self.prepared = Child(argv, {**os.environ, **env}, cwd, session=True)
            elif kind == START and self.child is None:
                self.start(now, **json.loads(payload))
            elif kind == ACK:
                self.spool.acknowledge(number)
            elif kind == LEASE and self.lease is not None:
                self.lease = max(self.lease, number / 1000)
            elif kind == SIGNAL and number < signal.NSIG and self.child and self.child.running:
                self.child.send_signal(number)
            elif self.child and self.child.inbox and self.child.running:
                self.obey(self.child, kind, number, payload, now)

    def obey(self, child: Child, kind: int, number: int, payload: bytes, now: float) -> None:
        """Do what the host says to a session, unless an earlier host has said it."""
        assert child.inbox
        if not self.too_late:
            self.deadline = now + self.timeout
        if kind == FILE and self.incoming:
            self.incoming.abandon()
            self.incoming = None
        if number and number <= self.heard:
            return
        if kind == INPUT and self.restarting:
            self.early += payload
        elif kind == INPUT:
            child.inbox.put(payload)
        elif kind == CLOSE:
            child.inbox.close()
        elif kind == RESTART:
            self.restarting = True
            kill_everything(child)
        elif kind == FILE:
            self.incoming = Incoming(child.cwd, **json.loads(payload))
            self.file, number = number, 0
        elif kind == DATA and self.incoming:
            self.incoming.write(payload)
        if self.incoming and self.incoming.complete:
            self.incoming.publish()
            self.spool.append(PLACED, self.incoming.error.encode())
            self.incoming, number = None, self.file
        self.heard = number or self.heard
        self.untold += len(payload)
        if self.untold > HEARD_EVERY and number:
            self.spool.append(HEARD, NUMBER.pack(self.heard))
            self.untold = 0

    def replay(self, after: int, nonce: str) -> None:
        """A host has connected: answer, then send everything after what it has."""
        numbers = (self.heard, self.spool.last, int(1000 * boottime()))
        self.answer = answer_to(nonce) + b"".join(map(NUMBER.pack, numbers))
        self.spool.seek(after)
        self.listening = True

    def start(
        self,
        now: float,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        timeout: float,
        session: bool,
        lease: float | None = None,
    ) -> None:
        """Start the program, or let the kernel that waits be it."""
        argv, env, cwd = self.placed(argv, env, cwd)
        self.spool.append(STARTED, b"")
        waiting, self.prepared = self.prepared, None
        if waiting and waiting.pid in dict(reap()):
            waiting.running = False
        if waiting and waiting.inbox and waiting.running and session and waiting.argv == argv:
            waiting.inbox.put(pack(ENVIRONMENT, [json.dumps(env).encode()]))
            waiting.env = {**os.environ, **env}
            self.child = waiting
        else:
            if waiting:
                waiting.discard()
            self.child = Child(argv, {**os.environ, **env}, cwd, session)
        self.timeout, self.deadline = timeout, now + timeout
        self.lease = lease

    def placed(self, argv: list[str], env: dict[str, str], cwd: str) -> tuple[list[str], dict[str, str], str]:
        """Return a program as it is found here; in a sandbox, everything has the place that it is said to have."""
        return argv, env, cwd

    def take(self, pipe: Pipe, now: float) -> None:
        """Move what the program wrote into the spool."""
        assert self.child
        data = pipe.read(now)
        if data is None:
            self.child.close(pipe)
        elif pipe.kind == MESSAGES:
            self.cut(data)
        elif data:
            self.spool.append(pipe.kind, data)

    def cut(self, data: bytes) -> None:
        """Move the kernel's records into the spool, those that are whole."""
        self.said += data
        at = 0
        while len(self.said) - at >= RECORD.size:
            kind, length = RECORD.unpack_from(self.said, at)
            if kind not in (MESSAGES, BUSY) or length > MAX_RECORD:
                raise ValueError("the job wrote nonsense into its kernel's pipe")
            if len(self.said) - at < RECORD.size + length:
                break
            self.spool.append(kind, bytes(self.said[at + RECORD.size : at + RECORD.size + length]))
            at += RECORD.size + length
        del self.said[:at]

    def watch(self, child: Child, now: float) -> None:
        """Enforce the deadline, notice the end, and see that everything ends with the program."""
        for pid, status in reap():
            if pid == child.pid:
                self.status, child.running = status, False
                self.deadline, self.drain_until = None, now + DRAIN_GRACE
                self.lease = None
        if self.restarting and not child.running:
            kill_everything(child)
            self.restart(child, now)
            return
        if self.lease is not None and boottime() >= self.lease:
            self.lapsed, self.lease = True, None
            kill_everything(child)
        if self.deadline is not None and now >= self.deadline:
            if self.too_late:
                kill_everything(child)
                self.deadline = now + LAST_GRACE
            else:
                child.send_signal(signal.SIGTERM)
                self.too_late, self.deadline = True, now + TERM_GRACE
        if self.drain_until is None:
            return
        if not self.killed and (not child.pipes or now >= self.drain_until):
            kill_everything(child)
            self.killed, self.drain_until = True, now + LAST_GRACE
        if self.killed and (not child.pipes or now >= self.drain_until):
            self.conclude()
            self.drain_until, self.over_since = None, now

    def restart(self, child: Child, now: float) -> None:
        """Put another kernel in the place of the one that has ended."""
        self.restarting, self.status, self.drain_until = False, None, None
        self.said.clear()
        self.spool.append(RESTARTED, b"")
        self.child = child.again()
        assert self.child.inbox
        self.child.inbox.put(bytes(self.early))
        self.early.clear()
        self.deadline = now + self.timeout

    def conclude(self) -> None:
        """Write the last record."""
        assert self.status is not None
        ended = {
            "status": self.status if self.status >= 0 else None,
            "signal": -self.status if self.status < 0 else None,
            "deadline": self.too_late,
            "lapsed": self.lapsed,
        }
        self.spool.append(EXITED, json.dumps(ended).encode())

    def send(self) -> None:
        """Give the host as much as it takes now."""
        try:
            while self.answer:
                self.answer = self.answer[os.write(HOST_OUT, self.answer) :]
            while data := self.spool.peek(MAX_RECORD):
                self.spool.sent(os.write(HOST_OUT, data))
        except BlockingIOError:
            pass
        except ConnectionError:
            self.listening = False

    def finished(self, now: float) -> bool:
        """Whether there is nothing more to do."""
        if self.host_may_come:
            return self.over_since is not None and self.spool.acknowledged == self.spool.last
        if self.child is None:
            return True
        undelivered = self.listening and self.spool.pending
        return self.over_since is not None and (not undelivered or now >= self.over_since + LAST_GRACE)


def main() -> int:
    """Run; a full disk or a host that talks nonsense ends the job with a sentence, never in silence.

    A second argument is JSON with what some engines leave to it: {pipes}: the folder of those that the host is at;
    {rlimits}, by their short names; {tell_memory}: whether its exit status is to tell of a kill for memory.
    """
    asked = json.loads(sys.argv[2]) if sys.argv[2:] else {}
    if asked.get("pipes"):
        take_up(asked["pipes"])
    hold(asked.get("rlimits", {}))
    runner, killed_before = Runner(sys.argv[1]), memory_kills()
    try:
        runner.run()
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.stderr.write(f"runner: {type(error).__name__}: {error}\n")
        if runner.child:
            kill_everything(runner.child)
        return 70
    return OUT_OF_MEMORY if asked.get("tell_memory") and memory_kills() > killed_before else 0


def take_up(folder: str) -> None:
    """Let named pipes be standard input, output and error. The first comes last: once it is open, all are."""
    for number, name in reversed(list(enumerate(PIPES))):
        fd = os.open(f"{folder}/{name}", os.O_RDWR)  # both ways: so it waits for nobody, and no host's end ends it
        os.dup2(fd, number)
        os.close(fd)


def hold(limits: dict[str, int]) -> None:
    """Limit this process and all to come; no limit can be raised again."""
    if limits:
        import resource

        for name, value in limits.items():
            number = getattr(resource, f"RLIMIT_{name.upper()}")
            most = resource.getrlimit(number)[1]
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(number, (value, value))


def memory_kills() -> int:
    """Return how many processes the kernel killed here for their memory; 0 where that cannot be seen."""
    for path in MEMORY_EVENTS:
        try:
            with open(path) as file:
                return int(dict(line.split() for line in file)["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


if __name__ == "__main__":
    sys.exit(main())
