"""`%homie trust NAME` and `%homie untrust NAME`: whose outputs are shown unfiltered."""

from IPython.core.error import UsageError

from homie_core.client import ensure_daemon, wait_for_peers
from homie_core.client.words import trusted_in_words, untrusted_in_words
from homie_core.home import home


def did_trust(line: str) -> bool:
    """Do what the line of `%homie` says if it is about trust; return whether it was. Raises HomieError."""
    what, *names = line.split() or [""]
    if what not in ("trust", "untrust"):
        return False
    if len(names) != 1 or names[0].startswith("-"):
        raise UsageError(f"`%homie {what} NAME`, with the name of one machine; `%homie peers` lists them")
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    if what == "trust":
        print(trusted_in_words(client.trust_peer(names[0])))  # noqa: T201
    else:
        client.untrust_peer(names[0])
        print(untrusted_in_words(names[0]))  # noqa: T201
    return True
