"""The self-test's job, inside: tries what must not work; prints what it saw as JSON, then fills the memory.

Everything it does has an end of its own: a sandbox that holds nothing must not let this harm the machine.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time

PLACES = (
    "/",
    "/bin",
    "/etc",
    "/home",
    "/homie/runner/homie_core/runner",
    "/opt",
    "/root",
    "/run",
    "/usr/bin",
    "/var",
)
CHUNK = 1 << 20


def who() -> int:
    """Who it is; root of a user namespace is whom that is outside."""
    with open("/proc/self/uid_map") as file:  # noqa: PTH123
        first, outside, _ = file.readline().split()
    return os.getuid() or (int(outside) if first == "0" else 0)


def reached(port: int) -> list[str]:
    """Where it could connect. Of a datagram socket nothing is sent: the kernel only looks for a way."""
    ways = (
        ("this machine", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
        ("IPv4", socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 9)),
        ("IPv6", socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 9)),
    )
    found = []
    for name, family, kind, address in ways:
        with contextlib.suppress(OSError), socket.socket(family, kind) as there:
            there.settimeout(0.2)
            there.connect(address)
            found.append(name)
    return found


def written() -> list[str]:
    """Where it could make a file (which it removes again)."""
    found = []
    for place in PLACES:
        path = f"{place}/homie-selftest-{os.getpid()}"
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW))
            found.append(place)
            os.unlink(path)  # noqa: PTH108
    return found


def forks(limit: int) -> int:
    """How many children it got, of a few more than it may have."""
    hold, release = os.pipe()
    children: list[int] = []
    with contextlib.suppress(OSError):
        while len(children) < limit + 4:
            pid = os.fork()
            if pid == 0:
                os.close(release)
                os.read(hold, 1)
                os._exit(0)
            children.append(pid)
    os.close(release)
    for pid in children:
        os.waitpid(pid, 0)
    return len(children)


def disk(limit: int) -> int:
    """How many bytes it could write, of twice as many as it may."""
    done, chunk = 0, b"x" * CHUNK
    with contextlib.suppress(OSError):
        fd = os.open("fill", os.O_WRONLY | os.O_CREAT)
        try:
            while done < 2 * limit:
                done += os.write(fd, chunk)
        finally:
            os.close(fd)
            os.unlink("fill")  # noqa: PTH108
    return done


def cores(seconds: float) -> float:
    """How many cores two busy processes got."""
    start = time.monotonic()
    child = os.fork()
    while time.monotonic() < start + seconds:
        pass
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    spent = time.monotonic() - start
    usage = os.times()
    return (usage.user + usage.system + usage.children_user + usage.children_system - before) / spent


def memory(limit: int) -> str:
    """Whether a child could keep three times what it may have, for long enough that a watchdog looks."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("1000")
        kept = [bytearray(b"x" * CHUNK) for _ in range(3 * limit // CHUNK)]
        time.sleep(0.8)
        os._exit(0 if kept else 1)
    _, status = os.waitpid(child, 0)
    return "held" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "not held"


port, mark, pids, most, room = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
with open("/proc/self/status") as file:  # noqa: PTH123
    status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
seen = {
    "uid": who(),
    "capabilities": status["CapEff"].strip(),
    "privileges": status["NoNewPrivs"].strip(),
    "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "pid", "mnt", "ipc")},  # noqa: PTH115
    "reached": reached(port),
    "written": written(),
    "found": [mark] if os.path.exists(mark) else [],  # noqa: PTH110
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),  # noqa: PTH208
    "forks": forks(pids),
    "disk": disk(room),
}
usage = os.times()
before = usage.user + usage.system + usage.children_user + usage.children_system
seen["cpu"] = cores(0.4)
print(json.dumps(seen), flush=True)  # noqa: T201
print("memory", memory(most), flush=True)  # noqa: T201
