"""Whose outputs a notebook shows unfiltered: ids, not names, so a new key under an old name is not trusted."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from homie_core.model.errors import IdentityError
from homie_core.model.names import PeerId
from homie_core.model.wire import Frozen
from homie_core.private_file import read_private, write_private

MAX_TRUSTED = 1000
VERSION = 1


class Trusted:
    """The peers that this user trusts; kept in `trusted_peers.json`.

    One process writes it: the daemon.
    """

    def __init__(self, path: Path, ids: frozenset[PeerId]) -> None:
        self._path = path
        self._ids = ids

    @classmethod
    def load(cls, home: Path) -> "Trusted":
        """Return what is kept in that home folder; raise IdentityError if the file is damaged."""
        path = home / "trusted_peers.json"
        try:
            data = read_private(path, _MAX_FILE, IdentityError)
        except FileNotFoundError:
            return cls(path, frozenset())
        try:
            version = msgspec.json.decode(data, type=_Version).version
            if version != VERSION:
                raise IdentityError(f"{path}: has version {version}, this Homie reads {VERSION}; update Homie")
            return cls(path, frozenset(msgspec.json.decode(data, type=_File).ids))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IdentityError(
                f"{path}: is damaged ({error}); put back a copy, or trust nobody: rm {path}"
            ) from error

    def __contains__(self, id: PeerId) -> bool:
        return id in self._ids

    def beginning(self, start: str) -> frozenset[PeerId]:
        """Return the trusted ids that begin so."""
        return frozenset(id for id in self._ids if id.startswith(start))

    def add(self, id: PeerId) -> None:
        """Trust this node. IdentityError if there is no room."""
        if id not in self._ids and len(self._ids) >= MAX_TRUSTED:
            raise IdentityError(f"{self._path}: holds {MAX_TRUSTED} ids; untrust somebody first")
        self._write(self._ids | {id})

    def discard(self, id: PeerId) -> None:
        """Trust this node no longer; harmless if it was not trusted."""
        if id in self._ids:
            self._write(self._ids - {id})

    def _write(self, ids: frozenset[PeerId]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_File(version=VERSION, ids=tuple(sorted(ids)))))
        write_private(self._path, data, IdentityError)
        self._ids = ids


_MAX_FILE = 1 << 20


class _Version(Frozen, frozen=True):
    version: int


class _File(Frozen, frozen=True):
    version: int
    ids: Annotated[tuple[PeerId, ...], Meta(max_length=MAX_TRUSTED)]
