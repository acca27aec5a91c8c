"""`homie peers`, `add` and `remove`: who is there."""

import json
from contextlib import suppress

import click

from homie_core.cli.parameters import NODE
from homie_core.cli.render import bar, clean, hint, say, table
from homie_core.client import ensure_daemon, wait_for_peers
from homie_core.home import home
from homie_core.model.control import Status
from homie_core.model.errors import HomieError, NoPeer
from homie_core.model.peer import Holds, Peer, Standing, unabridge
from homie_core.model.quantity import show_duration, show_size

NOBODY = """Nobody else is there yet. Check that
  - homie runs on the other machine (`homie up`) with the same secret (`homie whoami`: the same group),
  - both are on one network: not a guest Wi-Fi that keeps its machines apart, not behind a VPN,
  - no firewall is in the way of UDP port 5555 and TCP port 5556.
Or tell this machine where the other is: homie add HOST"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def peers(as_json: bool) -> None:
    """List the machines of my group."""
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    known = sorted(client.peers(), key=lambda peer: (peer.standing is not Standing.ONLINE, peer.name))
    if as_json:
        say(json.dumps([as_json_object(peer) for peer in known]))
    elif known:
        say(peers_table(known))
    else:
        hint(NOBODY)
    say_damage(client.status())


@click.command()
@click.argument("address", metavar="HOST[:PORT]")
def add(address: str) -> None:
    """Add a machine that is not found by itself.

    It is remembered in the configuration.
    """
    from homie_core.config import config_file, split_peer, with_peer

    with_peer(config_file(home()), address)
    host, port = split_peer(address)
    client, _ = ensure_daemon(home())
    try:
        peer = client.add_peer(host, port)
    except HomieError as error:
        hint(f"{address} is remembered, and tried again from time to time; for now:")
        raise error from None
    say(f"{peer.name} is at {peer.address}:{peer.port} ({clean(peer.trouble) or 'online'}).")


@click.command()
@click.argument("which", metavar="NAME|ID|HOST[:PORT]", type=NODE)
def remove(which: str) -> None:
    """Forget a machine.

    One that is of this group and on this network is found again by itself.
    """
    from homie_core.config import config_file, load, split_peer, without_peer

    client, _ = ensure_daemon(home())
    file = config_file(home())
    wanted = {(peer.address, peer.port) for peer in client.peers() if which in (peer.name, peer.id)}
    with suppress(ValueError):  # an id, say
        wanted.add(split_peer(which))
    listed = [peer for peer in load(file).peers if split_peer(peer) in wanted]
    for peer in listed:
        without_peer(file, peer)
    missing = None
    for known_as in (which, *(f"{host}:{port}" for host, port in map(split_peer, listed))):
        try:
            client.remove_peer(known_as)
        except NoPeer as error:
            missing = error
    if missing and not listed:  # a peer that was only in the file is none that the daemon must know
        raise missing
    say(f"{which} is forgotten.")


def peers_table(known: list[Peer]) -> str:
    """Return the peers for people."""
    head = ("NAME", "STATE", "ADDRESS", "CPU", "FREE RAM", "GPU", "JOBS")
    notes = filter(None, map(_caveats, known))
    return "\n".join([table(head, [_row(peer) for peer in known]), *notes])


def say_damage(status: Status) -> None:
    """Say that a node's journal cannot be used, if that is so."""
    if status.damage:
        hint(f"\nThis machine takes no jobs: {clean(status.damage)}")


def _row(peer: Peer) -> tuple[str, ...]:
    has = peer.capacity
    if peer.standing is not Standing.ONLINE:
        why = f": {peer.trouble}" if peer.trouble else f", seen {show_duration(peer.last_seen)} ago"
        return (
            peer.name,
            clean(f"{peer.standing.value}{why}")[:60],
            f"{peer.address}:{peer.port}",
            *[""] * 4,
        )
    waiting = f" + {has.queued} waiting" if has.queued else ""
    return (
        peer.name,
        ("online" if has.sharing else "takes no jobs") + (", trusted" if peer.trusted else ""),
        f"{peer.address}:{peer.port}",
        f"{bar(has.cpu_percent / 100, 5)} {has.cpu_percent:.0f} % of {has.cores}",
        f"{show_size(has.ram_free)} of {show_size(has.ram_total)}",
        ", ".join(
            f"{gpu.name} ({'taken' if gpu.taken else f'{show_size(gpu.vram_free)} free'})" for gpu in has.gpus
        ),
        f"{has.running}{waiting}",
    )


def _caveats(peer: Peer) -> str:
    """Return which limits hold less than exactly where jobs could run; empty if none."""
    words = {Holds.SOFT: "soft", Holds.NOT: "not held"}
    weak = [f"{name} {words[how]}" for name, how in unabridge(peer.capacity.held).items() if how in words]
    takes_jobs = peer.standing is Standing.ONLINE and peer.capacity.sharing
    return f"limits on {peer.name}: {', '.join(weak)}" if weak and takes_jobs else ""


def as_json_object(peer: Peer) -> dict[str, object]:
    """Return the peer for programs; sizes in bytes, ages in seconds."""
    has = peer.capacity
    return {
        "name": peer.name,
        "id": peer.id,
        "address": peer.address,
        "port": peer.port,
        "online": peer.standing is Standing.ONLINE,
        "standing": peer.standing.value,
        "trouble": peer.trouble,
        "trusted": peer.trusted,
        "last_seen": peer.last_seen,
        "cores": has.cores,
        "cpu_percent": has.cpu_percent,
        "ram_free": has.ram_free,
        "ram_total": has.ram_total,
        "gpus": [
            {"name": gpu.name, "vram_free": gpu.vram_free, "vram_total": gpu.vram_total, "taken": gpu.taken}
            for gpu in has.gpus
        ],
        "jobs": has.running,
        "queued": has.queued,
        "sharing": has.sharing,
        "limits": {name: how.value for name, how in unabridge(has.held).items()},
    }
