"""`%homie trust NAME` and `%homie untrust NAME`: whose outputs are shown unfiltered."""

from homie_core.client import Client
from homie_core.client.words import trusted_in_words, untrusted_in_words


def trust(client: Client, which: str) -> None:
    """Show a peer's outputs unfiltered from its next session on, and say what that means. Raises HomieError."""
    print(trusted_in_words(client.trust_peer(which)))  # noqa: T201


def untrust(client: Client, which: str) -> None:
    """Filter a peer's outputs again. Raises HomieError."""
    client.untrust_peer(which)
    print(untrusted_in_words(which))  # noqa: T201
