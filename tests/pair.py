"""Two nodes of one group on this machine, used as people use them: by the `homie` command.

    with Pair() as pair:
        assert pair.laptop.homie("run", "-n", "desk", "hello.py").stdout == "hello\n"

They talk over loopback only. Nothing outlives the `with`: neither a daemon nor a home.
"""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import plain_user
import psutil
from made_ready import give_environments, keep_environments, remove_tree

from homie_core.client import Client
from homie_core.config import config_file, create, set_value
from homie_core.model.peer import Standing
from homie_core.store.identity import create_node, new_secret, read_peer_id

HOMIE = Path(sys.executable).with_name("homie")
IMAGE = os.environ.get("HOMIE_TEST_IMAGE", "homie-base:bookworm")
FOUND_WITHIN = 20.0
"""Seconds that two nodes get to find each other."""
WARM_WITHIN = 60.0
"""Seconds that a node gets until its first sandbox waits."""
END_WITHIN = 40.0
"""Seconds that a daemon gets to end by itself."""


PACKAGES = (
    "ipykernel",
    "ipython",
    "ipywidgets",
    "jinja2",
    "matplotlib",
    "pandas",
    "pyarrow",
    "rich",
    "sympy",
    "tqdm",
)
"""What notebooks of the tests need, the same here and there."""


def packages_of_here() -> str:
    """Return the setting `packages` that gives a node's sessions what this environment has."""
    return ", ".join(f"{name}=={version(name)}" for name in PACKAGES)


class Node:
    """One node: a name and a home of its own; `uid`: of this plain user, instead of ours."""

    def __init__(self, name: str, folder: Path, uid: int | None = None) -> None:
        self.name = name
        self.home = folder / name
        self.env = {**os.environ, "HOMIE_HOME": str(self.home), "NO_COLOR": "1"}
        self.uid = uid
        self._command: list[str | Path] = [HOMIE]
        self._where: dict[str, Any] = {}
        if uid is not None:
            self._command = [*plain_user.python(uid), "-m", "homie_core.cli"]
            self._where = {"cwd": "/"}
            self.env |= {"PYTHONPATH": plain_user.search_path(), "HOME": str(self.home)}
            self.home.mkdir(mode=0o700)
            os.chown(self.home, uid, uid)

    def homie(
        self, *arguments: str | Path, check: bool = True, timeout: float = 60.0, **kwargs: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `homie ARGUMENTS` to its end; text in and out, AssertionError if it fails and `check`."""
        kwargs = {"env": self.env, "capture_output": True, "text": True, **self._where, **kwargs}
        done = subprocess.run([*self._command, *arguments], timeout=timeout, check=False, **kwargs)
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}$ homie {' '.join(map(str, arguments))}: status {done.returncode}\n"
                f"{done.stdout}{done.stderr}{self.log()}"
            )
        return done

    def popen(self, *arguments: str | Path, **kwargs: Any) -> subprocess.Popen[Any]:
        """Start `homie ARGUMENTS`."""
        return subprocess.Popen([*self._command, *arguments], **{"env": self.env, **self._where, **kwargs})

    def set_up(self, secret: str, settings: Mapping[str, str]) -> None:
        """Do what `homie setup` and `homie config set` do, without a process for each where the files are ours."""
        file = config_file(self.home)
        if self.uid is None:
            create_node(self.home)
            create(file, self.name, secret)
        else:
            self.homie("setup", "--name", self.name, "--secret", secret, "--yes")
        for key, value in settings.items():
            if self.uid is None:
                set_value(file, key, value)
            else:
                self.homie("config", "set", key, value)

    def sees(self, name: str, sharing: bool = True) -> bool:
        """Return whether the peer of this name is online and says that it takes jobs, or that it takes none."""
        if self.uid is None:
            peers = Client(self.home).peers()
            found = [(peer.name, peer.standing is Standing.ONLINE, peer.capacity.sharing) for peer in peers]
        else:
            found = [(peer["name"], peer["online"], peer["sharing"]) for peer in self.peers()]
        return (name, True, sharing) in found

    def peers(self) -> list[dict[str, Any]]:
        """Return what `homie peers --json` says."""
        peers: list[dict[str, Any]] = json.loads(self.homie("peers", "--json").stdout)
        return peers

    def wait_until_warm(self) -> None:
        """Wait until a sandbox waits there in advance; AssertionError with the log if that takes too long."""
        until = time.monotonic() + WARM_WITHIN
        while not any((self.home / "pool").glob("*/etc")):
            if time.monotonic() > until:
                raise AssertionError(f"no sandbox waits on {self.name}\n{self.log()}")
            time.sleep(0.1)

    def log(self) -> str:
        """Return the end of the daemon's log, for the message of a failed test."""
        logs = self.home.glob("*.log")
        return "".join(f"--- {log.name} of {self.name}\n{log.read_text()[-4000:]}" for log in logs)

    def processes(self) -> list[psutil.Process]:
        """Return what runs for this node: its environment names this home, which nobody else's does."""
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOMIE_HOME") == str(self.home):
                    mine.append(process)
        return mine

    def end(self) -> None:
        """End the daemon: as its owner would, and by force, with its sandboxes, if that does not help."""
        if self.home.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.homie("down", check=False, timeout=END_WITHIN)
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until = time.monotonic() + 10
        while any(runs(process) for process in left) and time.monotonic() < until:
            time.sleep(0.01)
        if left and self.uid is None:  # a plain user has none of Docker's
            self._remove_sandboxes()
        for mount in reversed(psutil.disk_partitions(all=True)):
            if Path(mount.mountpoint).is_relative_to(self.home):
                subprocess.run(["umount", "--lazy", mount.mountpoint], check=False)

    def _remove_sandboxes(self) -> None:
        with contextlib.closing(docker.from_env()) as client:
            mine = {"label": f"homie.node={read_peer_id(self.home)}"}
            for container in client.containers.list(all=True, filters=mine):
                container.remove(force=True)


OPEN: set["Pair"] = set()
"""The pairs that run in this process."""


class Pair:
    """`laptop` and `desk`, set up, running, and aware of each other while the `with` lasts.

    Only desk takes jobs. `settings` hold for both, those under a node's name for that one, and that one
    only: `Pair(container_timeout="5", laptop={"sharing": "true"})`. `desk_uid` makes desk a plain user's.
    """

    def __init__(
        self,
        desk: Mapping[str, str] | None = None,
        laptop: Mapping[str, str] | None = None,
        *,
        desk_uid: int | None = None,
        **settings: str,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
        self._folder.chmod(0o700 if desk_uid is None else 0o711)
        self.laptop = Node("laptop", self._folder)
        self.desk = Node("desk", self._folder, desk_uid)
        both = {"listen": "127.0.0.1", "container_base_image": IMAGE} | settings
        both["discovery_port"] = str(free_port(socket.SOCK_DGRAM))
        self._both, self._joined = both, list[Node]()
        self.secret = new_secret()
        """The group's."""
        self._settings = [
            (self.laptop, both | {"sharing": "false"} | dict(laptop or {})),
            (self.desk, both | dict(desk or {})),
        ]

    def __enter__(self) -> Self:
        try:
            for pair in OPEN:
                pair.keep()
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._start, *zip(*self._settings, strict=True)))
            self.wait_until_found()
            OPEN.add(self)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_until_found(self) -> None:
        """Wait until each sees the other as it is; AssertionError with both logs if that takes too long."""
        (laptop, its), (desk, desks) = self._settings
        self._wait_until(lambda: laptop.sees("desk", _shares(desks)) and desk.sees("laptop", _shares(its)))

    def join(self, name: str, **settings: str) -> Node:
        """Return one more node, which takes jobs, once laptop sees it; it stays as long as the pair."""
        node = Node(name, self._folder)
        self._joined.append(node)
        self._start(node, self._both | settings)
        self._wait_until(lambda: self.laptop.sees(name))
        return node

    def _start(self, node: Node, settings: Mapping[str, str]) -> None:
        node.set_up(self.secret, {"worker_port": str(free_port(socket.SOCK_STREAM)), **settings})
        if node.uid is None:
            give_environments(node.home)
        node.homie("up")

    def _nodes(self) -> tuple[Node, ...]:
        return self.laptop, self.desk, *self._joined

    def _wait_until(self, found: Callable[[], bool]) -> None:
        until = time.monotonic() + FOUND_WITHIN
        while not found():
            if time.monotonic() > until:
                seen = "".join(f"{node.name} sees {node.peers()}\n{node.log()}" for node in self._nodes())
                raise AssertionError(f"after {FOUND_WITHIN:.0f} s {seen}")
            time.sleep(0.02)

    def keep(self) -> None:
        """Let later pairs have what these nodes have made ready so far: some of them live as long as the tests."""
        for node in self._nodes():
            if node.uid is None:
                keep_environments(node.home)

    def close(self) -> None:
        """End all daemons and remove their homes; harmless if they are gone."""
        OPEN.discard(self)
        try:
            self.keep()
            for node in self._nodes():
                node.end()
        finally:
            if self._folder.exists():
                remove_tree(self._folder)


def _shares(settings: Mapping[str, str]) -> bool:
    return settings.get("sharing", "true") == "true"


def runs(process: psutil.Process) -> bool:
    """Return whether it still does; not by waiting for it, which would take the status from its Popen."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def free_port(kind: socket.SocketKind) -> int:
    """Return a port of loopback that is free; below those that the system hands out to others meanwhile."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port found")
