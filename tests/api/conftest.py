"""Peers that functions of this process run on."""

from collections.abc import Iterator

import pytest
from pair import Node, Pair

from homie_core.api.workers import close_all


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    """Two nodes, of which desk lends so little that several workers fit."""
    with Pair(desk={"container_cpu_limit": "0.5", "container_memory_limit": "512m"}) as pair:
        yield pair
        close_all()


@pytest.fixture(autouse=True)
def at_laptop(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is laptop's user."""
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))


@pytest.fixture(scope="module")
def shelf(pair: Pair) -> Node:
    """A third node, which lends as little."""
    return pair.join("shelf", container_cpu_limit="0.5", container_memory_limit="512m")
