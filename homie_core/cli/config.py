"""`homie config` and `homie whoami`: what this machine is told to be."""

import json
import platform
import socket

import click

from homie_core import __version__
from homie_core.cli.render import clean, hint, say
from homie_core.config import Config, config_file, get_value, home, load, set_value, show
from homie_core.model.wire import PROTOCOL


@click.group(invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show or change the configuration."""
    if ctx.invoked_subcommand is None:
        pairs = show(load(config_file(home())))
        width = max(len(key) for key, _ in pairs)
        for key, value in pairs:
            say(f"{key.ljust(width)}  {value}")


@config.command()
@click.argument("key")
def get(key: str) -> None:
    """Print the value of KEY."""
    say(get_value(config_file(home()), key))


@config.command("set")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Change KEY to VALUE; comments in the file stay."""
    from homie_core.client import Client

    if key == "group_secret":
        from homie_core.store.identity import parse_secret

        parse_secret(value)
    set_value(config_file(home()), key, value)
    if Client(home()).running():
        hint("homie is running with the old value; it takes this over after: homie down, homie up")


@config.command()
def path() -> None:
    """Print where the configuration lies."""
    say(str(config_file(home())))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def whoami(as_json: bool) -> None:
    """Say who this machine is to others."""
    from homie_core.store.identity import group_id, read_peer_id

    mine = load(config_file(home()))
    facts = {
        "name": mine.name,
        "id": read_peer_id(home()),
        "group": group_id(mine.group_secret),
        "addresses": _addresses(mine),
        "version": __version__,
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "home": str(home()),
        **_sandbox(),
    }
    if as_json:
        say(json.dumps(facts))
        return
    for key, value in facts.items():
        say(f"{key:<10} {', '.join(value) or 'none' if isinstance(value, list) else value}")


def _sandbox() -> dict[str, str]:
    """What jobs of others run in here, as the daemon says; nothing if none runs."""
    if not (home() / "control.sock").exists():
        return {}
    from homie_core.client import Client

    client = Client(home())
    if not client.running():
        return {}
    status = client.status()
    facts = {"sandbox": status.sandbox or status.trouble or status.preparing, "limits": status.limits}
    return {key: clean(text) for key, text in (facts | {"WARNING": status.warning}).items() if text}


def _addresses(mine: Config) -> list[str]:
    """Where the others reach this machine: ADDRESS:PORT."""
    found = [mine.listen]
    if mine.listen == "0.0.0.0":  # noqa: S104 - compared, not listened on
        import psutil

        found = [
            each.address
            for name, addresses in psutil.net_if_addrs().items()
            for each in addresses
            if each.family == socket.AF_INET and not each.address.startswith("127.") and name != "docker0"
        ]
    return [f"{address}:{mine.worker_port}" for address in found]
