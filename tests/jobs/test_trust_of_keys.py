"""Trust of real daemons: kept by key over restarts, and never passed on to another key under the same name."""

import time

import pytest

from homie_core.store.identity import create_node

pytestmark = pytest.mark.docker


def desk_of(pair, condition):
    """What laptop says of desk once the condition holds."""
    until = time.monotonic() + 30
    while True:
        seen = [peer for peer in pair.laptop.peers() if peer["name"] == "desk" and condition(peer)]
        if seen:
            return seen[0]
        assert time.monotonic() < until, f"laptop sees {pair.laptop.peers()}\n{pair.laptop.log()}"


def test_trust_is_of_a_key_and_outlasts_the_daemon_but_not_the_key(pair):
    laptop = pair.laptop
    assert not desk_of(pair, lambda desk: desk["online"])["trusted"]
    assert "may then run JavaScript" in laptop.homie("trust", "desk").stdout
    trusted = desk_of(pair, lambda desk: desk["trusted"])

    laptop.homie("down")
    laptop.homie("up")
    assert desk_of(pair, lambda desk: desk["online"])["trusted"]

    laptop.homie("untrust", trusted["id"][:12])
    assert not desk_of(pair, lambda _: True)["trusted"]
    laptop.homie("trust", "DESK")

    pair.desk.homie("down")
    for file in ("node.key", "node.pub"):
        (pair.desk.home / file).unlink()
    create_node(pair.desk.home)
    pair.desk.homie("up")
    changed = desk_of(pair, lambda desk: desk["standing"] == "changed")
    assert changed["id"] != trusted["id"]
    assert not changed["trusted"]
    refused = laptop.homie("trust", changed["id"][:12], check=False)
    assert refused.returncode == 1
    assert "is not trusted: another machine was known as desk" in refused.stderr

    laptop.homie("remove", "desk")
    met_again = desk_of(pair, lambda desk: desk["online"])
    assert met_again["id"] == changed["id"]
    assert not met_again["trusted"]

    nobody = laptop.homie("trust", "attic", check=False)
    assert nobody.returncode == 1
    assert "no peer is called attic" in nobody.stderr
