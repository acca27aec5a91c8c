"""Which key belongs to which name: remembered at first sight, never changed silently."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from homie_core.model.errors import IdentityError
from homie_core.model.names import NodeName, PeerId
from homie_core.model.wire import Frozen
from homie_core.private_file import read_private, write_private

MAX_PINS = 10_000
VERSION = 1


class Pins:
    """The names this machine has met, each with the id it had then; kept in `known_peers.json`.

    One process writes it: the daemon.
    """

    def __init__(self, path: Path, peers: dict[NodeName, PeerId]) -> None:
        self._path = path
        self._peers = peers

    @classmethod
    def load(cls, home: Path) -> "Pins":
        """Return what is remembered in that home folder; raise IdentityError if the file is damaged."""
        path = home / "known_peers.json"
        try:
            data = read_private(path, _MAX_FILE, IdentityError)
        except FileNotFoundError:
            return cls(path, {})
        try:
            version = msgspec.json.decode(data, type=_Version).version
            if version != VERSION:
                raise IdentityError(f"{path}: has version {version}, this Homie reads {VERSION}; update Homie")
            return cls(path, dict(msgspec.json.decode(data, type=_File).peers))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IdentityError(
                f"{path}: is damaged ({error}); put back a copy, or forget every key ever seen: rm {path}"
            ) from error

    def all(self) -> dict[NodeName, PeerId]:
        """Return every name with its id."""
        return dict(self._peers)

    def known(self, name: NodeName) -> PeerId | None:
        """Return the id that this name had at first sight, or None."""
        return self._peers.get(name)

    def remember(self, name: NodeName, id: PeerId) -> None:
        """Remember the id of a new name. IdentityError if the name has another, or there is no room."""
        if (known := self._peers.get(name)) == id:
            return
        if known:
            raise IdentityError(
                f"{name} has another key than when you last met ({id[:8]}, it was {known[:8]}); "
                f"ask its owner, then run: homie remove {name}"
            )
        if len(self._peers) >= MAX_PINS:  # making room would let a flood of names wash the true ones away
            raise IdentityError(f"{self._path}: holds {MAX_PINS} names, so {name} cannot be remembered")
        self._write({**self._peers, name: id})

    def forget(self, name: NodeName) -> None:
        """Forget a name, so that its next key is remembered; harmless if it is unknown."""
        if name in self._peers:
            self._write({other: id for other, id in self._peers.items() if other != name})

    def _write(self, peers: dict[NodeName, PeerId]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_File(version=VERSION, peers=peers)))
        write_private(self._path, data, IdentityError)
        self._peers = peers


_MAX_FILE = 2 << 20


class _Version(Frozen, frozen=True):
    version: int


class _File(Frozen, frozen=True):
    version: int
    peers: Annotated[dict[NodeName, PeerId], Meta(max_length=MAX_PINS)]
