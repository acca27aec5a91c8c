"""`homie up` and `homie down`: the daemon's life, as its owner sees it."""

import os
import sys
import time

import click

from homie_core.cli.render import DIM, GREEN, YELLOW, clean, hint, say, style
from homie_core.client import Client, ensure_daemon, wait_until_gone
from homie_core.home import home
from homie_core.model.control import Status


@click.command()
@click.option("-f", "--foreground", is_flag=True, help="Stay here and show what happens; Ctrl-C ends homie.")
def up(foreground: bool) -> None:
    """Start Homie on this machine."""
    client, started = ensure_daemon(home())
    if foreground:
        from homie_core.cli.dashboard import watch

        watch(client, ends_with_us=started)
        return
    status = client.status()
    say(f"{status.name} is {'up' if started else 'up already'} (homie {status.version}, pid {status.pid}).")
    say(f"  discovery  {clean(status.discovery)}")
    where = [f"{address}:{status.port}" for address in status.addresses]
    say(f"  address    {', '.join(where) or f'port {status.port}'}")
    try:
        status = wait_until_ready(client)
    except KeyboardInterrupt:
        hint("It gets ready in the background.")
    for line in sandbox_lines(status):
        say(line)


@click.command()
def down() -> None:
    """End Homie on this machine.

    Jobs of others that run here are ended, too.
    """
    client = Client(home())
    if not client.running():
        say("homie is not running.")
        return
    pid = client.status().pid
    client.shutdown()
    wait_until_gone(client, pid)
    say("homie is down.")


def wait_until_ready(client: Client) -> Status:
    """Show what the daemon prepares before it takes jobs; return its status when that is done."""
    terminal = os.isatty(2)
    shown = ""
    while (status := client.status()).preparing:
        if terminal:
            sys.stderr.write(f"\r\x1b[K  {clean(status.preparing)[:74]}")
            sys.stderr.flush()
        elif not shown:
            hint(f"  preparing: {clean(status.preparing)}")
        shown = status.preparing
        time.sleep(0.1)
    if shown and terminal:
        sys.stderr.write("\r\x1b[K")
    return status


def sandbox_lines(status: Status) -> list[str]:
    """Return what this node offers to others, or why it does not, with the way out."""
    if status.preparing:
        return [f"  sandbox    {style('getting ready', YELLOW)}: {clean(status.preparing)}"]
    if status.trouble:
        return [
            f"  sandbox    {style('takes no jobs of others', YELLOW)}: {clean(status.trouble)}",
            style("             Your own jobs can run on the machines of others nonetheless.", DIM),
        ]
    lines = [f"  sandbox    {style('takes jobs', GREEN)}, in {clean(status.sandbox)}"]
    if status.limits:
        lines.append(f"  limits     {clean(status.limits)}")
    if status.warning:
        lines.append(style(f"             {clean(status.warning)}", YELLOW))
    return lines
