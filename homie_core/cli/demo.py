"""`homie demo`: two nodes on this machine; one trains a small model on the other."""

import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from homie_core.cli.follow import follow
from homie_core.cli.render import clean, say
from homie_core.cli.screen import Screen
from homie_core.cli.up import wait_until_ready
from homie_core.client import Client, ensure_daemon, new_job_id, request_for_script, wait_until_gone
from homie_core.config import config_file, create
from homie_core.model.errors import DaemonUnreachable, HomieError, NoPeer, SandboxError
from homie_core.model.peer import Peer, Standing
from homie_core.store.identity import create_node, new_secret

SCRIPT = Path(__file__).with_name("demo_train.py")


@click.command()
@click.option("--image", envvar="HOMIE_DEMO_IMAGE", help="Docker image with Python 3.11 or later to run in.")
@click.option(
    "-o", "--output", "results", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the model (default: homie-demo).",
)  # fmt: skip
def demo(image: str | None, results: Path | None) -> int:
    """Show on this machine alone how it works.

    Two nodes of a group of their own find each other; `laptop` trains a small model on `desk`. Your own
    configuration is neither used nor changed, nothing leaves this machine, nothing stays but the model.
    """
    results = (results or _new_folder()).absolute()
    with _ending_on_sigterm(), ExitStack() as nodes:
        folder = nodes.enter_context(_short_folder())
        say("Two nodes on this machine, as if they were two: laptop and desk.")
        shared: dict[str, object] = {"discovery_port": _free_port(socket.SOCK_DGRAM), "listen": "127.0.0.1"}
        if image:
            shared["container_base_image"] = image
        secret = new_secret()
        desk = nodes.enter_context(_node(folder / "desk", secret, shared))
        laptop = nodes.enter_context(_node(folder / "laptop", secret, {**shared, "sharing": False}))
        _must_take_jobs(desk)
        peer = _found(laptop, "desk")
        say(f"They have found each other: laptop sees {peer.name} at {peer.address}:{peer.port}.")
        say("laptop$ homie run -n desk -f data.csv demo_train.py 500")
        _write_points(folder / "data.csv")
        job = new_job_id()
        request = request_for_script(
            str(SCRIPT), ("500",), (str(folder / "data.csv"),), results=results, job=job, node="desk"
        )
        status = follow(laptop, job, laptop.run(request), Screen())
        model = results / "model.json"
        if status != 0 or not model.is_file():
            raise HomieError(f"the demo went wrong: status {status}, and {model} did not come back")
        say(f"The model that desk trained is here: {model}\n  {clean(model.read_text()[:200])}")
        say("Now for real, on each machine: homie setup, homie up")
    return 0


@contextmanager
def _node(home: Path, secret: str, settings: dict[str, object]) -> Iterator[Client]:
    """One daemon with a home of its own, ended in every case."""
    create_node(home)
    create(config_file(home), home.name, secret, worker_port=_free_port(socket.SOCK_STREAM), **settings)
    client, _ = ensure_daemon(home)
    pid = client.status().pid
    try:
        yield client
    finally:
        try:
            with suppress(DaemonUnreachable):  # it may have ended by itself
                client.shutdown()
            wait_until_gone(client, pid)
        except BaseException:  # it hangs, or a person is in a hurry: no daemon of a demo outlives it
            with suppress(ProcessLookupError, DaemonUnreachable):
                os.kill(pid, signal.SIGKILL)
                wait_until_gone(client, pid, patience=5.0)  # it still holds files of the folder until it is
            raise


def _must_take_jobs(desk: Client) -> None:
    status = wait_until_ready(desk)
    if status.trouble:
        raise SandboxError(f"the demo needs a sandbox on this machine, and there is none: {status.trouble}")
    say(f"Jobs of others run in {clean(status.sandbox)} on desk.")


def _found(laptop: Client, name: str, patience: float = 20.0) -> Peer:
    deadline = time.monotonic() + patience
    while True:
        for peer in laptop.peers():
            if peer.name == name and peer.standing is Standing.ONLINE and peer.capacity.sharing:
                return peer
        if time.monotonic() > deadline:
            why = "; ".join(f"{peer.name}: {peer.trouble or peer.standing.value}" for peer in laptop.peers())
            raise NoPeer(f"laptop has not found desk within {patience:.0f} s ({why or 'it heard nobody'})")
        time.sleep(0.05)


def _write_points(file: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - the same noise in every demo
    rows = [(x, 3 * x + 2 + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(200))]
    file.write_text("x,y\n" + "".join(f"{x:.4f},{y:.4f}\n" for x, y in rows))


def _new_folder() -> Path:
    """The first folder here with nothing in it yet: what comes back overwrites nothing."""
    names = ("homie-demo", *(f"homie-demo-{number}" for number in range(2, 1000)))
    return next(Path(name) for name in names if not Path(name).exists())


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a socket's name (macOS has long ones for each user)."""
    short = None if sys.platform == "win32" else "/tmp"  # noqa: S108 - mkdtemp makes it private
    folder = Path(tempfile.mkdtemp(prefix="homie-demo-", dir=short))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
