"""Front ends start the daemon when it does not run."""

import fcntl
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homie_core.client.control import LOG, Client
from homie_core.home import config_file
from homie_core.model.errors import ConfigError, DaemonUnreachable
from homie_core.model.peer import Standing

if TYPE_CHECKING:
    import subprocess

DAEMON = (sys.executable, "-P", "-m", "homie_core.daemon")
"""-P: else a `queue.py` in the folder where somebody typed `homie run` would become the daemon's."""

_ERROR = re.compile(r"[-\d]+ [:,\d]+ (?:ERROR|CRITICAL) +(.+)")
"""An error in the daemon's log, without its date."""

MAX_LOG = 10 << 20
"""Bytes; a log that is longer is put aside at the next start."""

_started: list["subprocess.Popen[bytes]"] = []
"""Held, so that a daemon that ends before a long-lived front end does not stay a zombie."""


def ensure_daemon(home: Path, patience: float = 20.0, command: Sequence[str] = DAEMON) -> tuple[Client, bool]:
    """Return a client of the running daemon, and whether it was started by this call.

    `patience` is in seconds. Raises ConfigError when the home is not set up, and DaemonUnreachable, with the
    last line of the daemon's log, when it does not come up.
    """
    client = Client(home)
    if client.running():
        return client, False
    if not config_file(home).is_file():
        raise ConfigError(f"there is no configuration in {home}; make one with `homie setup`")
    with _alone(home):  # two front ends at once: the second finds the daemon that the first one started
        if client.running():
            return client, False
        _start(client, patience, command)
        return client, True


def wait_for_peers(client: Client, patience: float = 2.0) -> None:
    """Give a daemon that has just started the time (in seconds) in which peers answer its first call."""
    deadline = time.monotonic() + patience
    while not any(peer.standing is Standing.ONLINE for peer in client.peers()):
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def wait_until_gone(client: Client, pid: int, patience: float = 30.0) -> None:
    """Wait (seconds) until a daemon that was told to end has done so; raise DaemonUnreachable."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + patience
        # a zombie holds no port and no file; who started it has not asked yet how it ended
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                what = f"the daemon (pid {pid}) has not ended within {patience:.0f} s"
                raise DaemonUnreachable(f"{what}; {client.home / LOG} says more")
            time.sleep(0.02)


def _start(client: Client, patience: float, command: Sequence[str]) -> None:
    import subprocess  # rarely needed, and every front end imports this file

    handle = os.open(client.home / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before = os.fstat(handle).st_size
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
            cwd=client.home,
            env={**os.environ, "HOMIE_HOME": str(client.home)},
        )
    except OSError as error:
        raise DaemonUnreachable(f"the daemon cannot be started: {error}") from error
    finally:
        os.close(handle)
    _started.append(process)
    try:
        _wait_until_up(client, process, patience, before)
    except BaseException:  # Ctrl-C, too: what is half started is nobody's
        process.terminate()
        raise


def _wait_until_up(client: Client, process: "subprocess.Popen[bytes]", patience: float, before: int) -> None:
    deadline = time.monotonic() + patience
    pause = 0.01
    while not client.running():
        status = process.poll()
        if status is not None or time.monotonic() > deadline:
            log = client.home / LOG
            what = (
                f"has not come up within {patience:.0f} s"
                if status is None
                else f"ended at once (status {status})"
            )
            raise DaemonUnreachable(f"the daemon {what}: {_last_error(log, before)}\nAll it said is in {log}")
        time.sleep(pause)
        pause = min(0.1, pause * 1.5)


def _last_error(log: Path, start: int) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - (16 << 10)))
        lines = [line.strip() for line in file.read().decode(errors="replace").split("\n") if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.match(line))]
    return (errors or lines or ["it said nothing"])[-1]


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    handle = os.open(home / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
