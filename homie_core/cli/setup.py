"""`homie setup`: a name for this machine and a secret for its group."""

import platform
import re
import sys
from pathlib import Path

import click

from homie_core.cli.render import hint, say
from homie_core.config import config_file, create, home, load, set_value
from homie_core.model.errors import HomieError
from homie_core.model.names import NODE_NAME_PATTERN
from homie_core.store.identity import create_node, group_id, new_secret, parse_secret

STDIN = "-"


@click.command()
@click.option("--name", help="What your friends call this machine.")
@click.option(
    "--secret",
    help="The secret of your friends' group; `-` to type or pipe it in: other users of this "
    "machine see what stands in a command line.",
)
@click.option("--new-group", is_flag=True, help="Make a new group with a new secret.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: host name and new group unless given.")
def setup(name: str | None, secret: str | None, new_group: bool, yes: bool) -> None:
    """Name this machine and make or join a group.

    A group is the machines that share one secret. Make it on the first machine, give it to all others.
    """
    if secret is not None and new_group:
        raise click.UsageError("--secret joins a group, --new-group makes one: choose one of them")
    if secret == STDIN:
        secret = _read_secret()
    if secret is not None:
        parse_secret(secret)
    if config_file(home()).exists():
        _change(home(), name, secret, new_group, yes)
        return
    name = name or (_host_name() if yes else _ask_name())
    if secret is None and not new_group and not yes:
        secret = _ask_secret()
    made = secret is None
    secret = secret or new_secret()
    create_node(home())
    create(config_file(home()), name, secret)
    say(f"This machine is set up as {name}, in {'the new ' if made else ''}group {group_id(secret)}.")
    if made:
        _hand_over(secret)
    say("Next: homie up")


def _change(home: Path, name: str | None, secret: str | None, new_group: bool, yes: bool) -> None:
    file = config_file(home)
    config = load(file)
    create_node(home)
    if name is None and secret is None and not new_group:
        say(f"Already set up: {config.name}, in group {group_id(config.group_secret)} ({file}).")
        say("Another name: homie setup --name NAME; another group: homie setup --secret - or --new-group")
        return
    if new_group:
        secret = new_secret()
    if secret is not None and group_id(secret) != group_id(config.group_secret):
        _agree(yes, "Leave the present group? Its machines will not see this one any more")
        set_value(file, "group_secret", secret)
        say(f"This machine is now in group {group_id(secret)}.")
        if new_group:
            _hand_over(secret)
    if name is not None and name != config.name:
        _agree(yes, f"Change this machine's name from {config.name} to {name}?")
        set_value(file, "name", name)
        say(f"This machine is now called {name}.")
    hint("If homie is running, it takes this over after: homie down, homie up")


def _agree(yes: bool, question: str) -> None:
    if not (yes or click.confirm(question)):
        raise HomieError("nothing was changed")


def _hand_over(secret: str) -> None:
    say(f"\nThe secret of the group:\n\n    {secret}\n\nOn each friend's machine:\n")
    say("    homie setup --secret -     (asks for it)\n")
    say("Who knows it may run programs on the machines of the group: hand it over in person or by a private")
    say("message. To see it again: homie config get group_secret\n")


def _ask_name() -> str:
    while True:
        name: str = click.prompt("What shall your friends call this machine?", default=_host_name())
        if re.match(NODE_NAME_PATTERN, name):
            return name
        hint("Up to 40 letters, digits, dots, dashes and underscores; first a letter or digit.")


def _ask_secret() -> str | None:
    secret: str = click.prompt(
        "Secret of your friends' group (empty for a new group)", default="", show_default=False
    )
    if secret:
        parse_secret(secret)
    return secret or None


def _read_secret() -> str:
    """Return the secret that somebody types, or pipes in; it is shown, for it is long and easily mistyped."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Secret of your friends' group")
        return typed
    return sys.stdin.readline(1000).strip()


def _host_name() -> str:
    """The name of this computer, made into a node name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node().split(".")[0]).strip("-._")[:40]
    return name or "homie"
