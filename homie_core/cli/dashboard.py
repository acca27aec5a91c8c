"""`homie up -f`: who is there and what is under way, redrawn every second. Rich is loaded only here."""

import signal
import sys
import time
from contextlib import suppress
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from homie_core.cli.jobs import jobs_table
from homie_core.cli.peers import peers_table
from homie_core.cli.render import clean, hint, say
from homie_core.client import Client, wait_until_gone
from homie_core.model.control import JobView, Status
from homie_core.model.errors import DaemonUnreachable
from homie_core.model.peer import Peer, Standing
from homie_core.model.quantity import show_size

PERIOD = 1.0
"""Seconds between two pictures."""


def watch(client: Client, ends_with_us: bool) -> None:
    """Show the daemon until Ctrl-C or SIGTERM, and end it then if this command started it."""
    status = client.status()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        if sys.stdout.isatty():
            _draw(client, "Ctrl-C ends homie" if ends_with_us else "Ctrl-C leaves; homie goes on")
        else:  # under a service manager there is nobody to look at it
            say(f"{status.name} is up (pid {status.pid}).")
            while client.running():
                time.sleep(PERIOD)
            raise DaemonUnreachable("homie has ended")
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        if ends_with_us and client.running():
            client.shutdown()
            wait_until_gone(client, status.pid)
    hint("homie is down." if ends_with_us else "homie goes on in the background; `homie down` ends it.")


def picture(status: Status, peers: tuple[Peer, ...], jobs: tuple[JobView, ...], footer: str) -> Group:
    """Return what is drawn: this node, its peers, its jobs. Text from others is never read as markup."""
    known = sorted(peers, key=lambda peer: (peer.standing is not Standing.ONLINE, peer.name))
    me = Table.grid(padding=(0, 2))
    for key, value in _facts(status):
        me.add_row(Text(key, style="dim"), Text(clean(value)))
    parts: list[Text | Table] = [Text(f"{status.name}", style="bold"), me, Text()]
    parts.append(Text.from_ansi(peers_table(known)) if known else Text("Nobody else is there yet.", style="dim"))
    if jobs:
        parts += [Text(), Text.from_ansi(jobs_table(jobs))]
    return Group(*parts, Text(f"\n{footer}", style="dim"))


def _facts(status: Status) -> list[tuple[str, str]]:
    sandbox = status.trouble or status.preparing or f"takes jobs, in {status.sandbox}"
    return [
        ("discovery", status.discovery),
        ("address", ", ".join(f"{each}:{status.port}" for each in status.addresses)),
        ("sandbox", sandbox),
        ("limits", status.warning or status.limits),
        ("free", f"{status.free_cpus:g} cores and {show_size(status.free_memory)} of memory for jobs"),
    ]


def _draw(client: Client, footer: str) -> None:
    console = Console()
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(client.status(), client.peers(), client.jobs(), footer), refresh=True)
            time.sleep(PERIOD)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
