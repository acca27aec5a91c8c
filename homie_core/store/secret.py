"""The group secret: made here, written down and typed in by people, never chosen by them.

160 bits in base32, eight groups of four: 128 random bits and 32 bits of their SHA-256 against typing errors.
Everything a group needs is derived from the random bits by HKDF-SHA256 (RFC 5869).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from homie_core.model.errors import IdentityError
from homie_core.model.names import GroupId

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LENGTH = 32
_FORGIVEN = str.maketrans("018", "OIB", "- \t\r\n\u00a0\u2010\u2011\u2012\u2013\u2014\u2212")
"""Digits that are not in the alphabet look like letters that are; chat programs make dashes of dashes."""
_WAY_OUT = "copy it again from a machine of the group: homie config get group_secret"


def new_secret(entropy: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return a new secret, `XXXX-XXXX-...` (39 characters)."""
    seed = entropy(16)
    text = base64.b32encode(seed + _checksum(seed)).decode()
    return "-".join(text[at : at + 4] for at in range(0, _LENGTH, 4))


def parse_secret(text: str) -> bytes:
    """Return the 16 random bytes of a secret; case, dashes and spaces do not matter. Raises IdentityError."""
    letters = text[:200].translate(_FORGIVEN).upper()
    for at, letter in enumerate(letters):
        if letter not in _ALPHABET:
            raise IdentityError(
                f"the group secret has a character that cannot be in it ({letter!a}, the {at + 1}. of "
                f"{len(letters)}); it is made of A-Z and 2-7; {_WAY_OUT}"
            )
    if len(letters) != _LENGTH:
        raise IdentityError(
            f"the group secret has {len(letters)} letters and digits instead of {_LENGTH}; {_WAY_OUT}"
        )
    raw = base64.b32decode(letters)
    if not hmac.compare_digest(_checksum(raw[:16]), raw[16:]):
        raise IdentityError(f"the group secret has a typing error in it; {_WAY_OUT}")
    return raw[:16]


def group_id(secret: str) -> GroupId:
    """Return the group's id, which is safe to show. Raises IdentityError for no secret."""
    return GroupId(derive(parse_secret(secret), b"group-id", 8).hex())


def derive(seed: bytes, info: bytes, length: int, salt: bytes = b"homie-v1") -> bytes:
    """Return `length` bytes for the purpose `info`: HKDF-SHA256 (RFC 5869), at most 8160."""
    key = hmac.digest(salt, seed, "sha256")
    block, output = b"", b""
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def _checksum(seed: bytes) -> bytes:
    return hashlib.sha256(seed).digest()[:4]
