"""Sealed heartbeats: authentic and unreadable without the group's secret.

    "HOMI" | version (1) | group id (8) | nonce (16) | AES-SIV(beat)

AES-SIV (RFC 5297) stays safe if a nonce ever repeats, which random nonces under one long-lived key of many
nodes otherwise might. The group id in clear tells "another group" from "damaged"; it is derived from the
secret one-way.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from homie_core.model.errors import BadMessage
from homie_core.model.names import GroupId
from homie_core.model.peer import Beat
from homie_core.model.wire import decode, encode

MAX_DATAGRAM = 8192
_MAGIC = b"HOMI"
_VERSION = 1
_HEADER = len(_MAGIC) + 1 + 8
_NONCE = 16


class OtherGroup(BadMessage):
    """A heartbeat of a group that is not ours."""


class Seal:
    """Seals and opens the heartbeats of one group; `key` is 64 bytes."""

    def __init__(self, group: GroupId, key: bytes) -> None:
        self._header = _MAGIC + bytes([_VERSION]) + bytes.fromhex(group)
        self._cipher = AESSIV(key)

    def close(self, beat: Beat) -> bytes:
        """Return the heartbeat as a datagram."""
        nonce = secrets.token_bytes(_NONCE)
        return self._header + nonce + self._cipher.encrypt(encode(beat), [self._header, nonce])

    def open(self, datagram: bytes) -> Beat:
        """Return the heartbeat; raise OtherGroup, or BadMessage for whatever is none of ours."""
        if len(datagram) > MAX_DATAGRAM or not datagram.startswith(_MAGIC) or len(datagram) <= _HEADER + _NONCE:
            raise BadMessage("not a heartbeat")
        if datagram[len(_MAGIC)] != _VERSION:
            raise BadMessage(f"a heartbeat of format {datagram[len(_MAGIC)]}; this Homie knows {_VERSION}")
        header, nonce = datagram[:_HEADER], datagram[_HEADER : _HEADER + _NONCE]
        if header != self._header:
            raise OtherGroup(f"a heartbeat of group {header[-8:].hex()}")
        try:
            body = self._cipher.decrypt(datagram[_HEADER + _NONCE :], [header, nonce])
        except InvalidTag as error:
            raise BadMessage("a heartbeat that nobody of our group sealed") from error
        return decode(body, Beat, MAX_DATAGRAM)
