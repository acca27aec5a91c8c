"""`homie trust` and `untrust`: whose outputs notebooks show unfiltered."""

import click

from homie_core.cli.parameters import NODE
from homie_core.cli.render import say
from homie_core.client import ensure_daemon, wait_for_peers
from homie_core.client.words import trusted_in_words, untrusted_in_words
from homie_core.home import home


@click.command()
@click.argument("which", metavar="NAME|ID", type=NODE)
def trust(which: str) -> None:
    """Show a machine's outputs in my notebooks unfiltered.

    What it sends may then run in my browser with my rights. The trust is in its key, not in its name.
    """
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    say(trusted_in_words(client.trust_peer(which)))


@click.command()
@click.argument("which", metavar="NAME|ID", type=NODE)
def untrust(which: str) -> None:
    """Filter a machine's outputs again."""
    client, _ = ensure_daemon(home())
    client.untrust_peer(which)
    say(untrusted_in_words(which))
