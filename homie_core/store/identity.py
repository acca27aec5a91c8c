"""Who this machine is, and in which group: its key, its certificate, its boot counter.

node.key  private key (PKCS8, PEM); made once, never replaced by us
node.pub  its public half (PEM), so that the node's id can be read without any cryptography
node.crt  the certificate of that key for the present group; made anew when either changes
boot      the number of the last start
"""

import binascii
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.model.errors import IdentityError
from homie_core.model.names import GroupId, PeerId
from homie_core.private_file import read_private, write_private
from homie_core.store.secret import derive, group_id, new_secret, parse_secret

__all__ = [
    "Credentials",
    "Group",
    "create_node",
    "credentials",
    "group_id",
    "new_secret",
    "next_boot",
    "parse_secret",
    "read_peer_id",
]

# The module with the cryptography is imported where it is used: it takes longer (130 ms) than most commands.


@dataclass(frozen=True)
class Group:
    """What the group's secret gives to each of its nodes."""

    id: GroupId
    beat_key: bytes = field(repr=False)
    """64 bytes for AES-SIV: seals the heartbeats."""
    ca_seed: bytes = field(repr=False)
    """The CA's Ed25519 private key (32 bytes)."""

    @classmethod
    def from_secret(cls, secret: str) -> "Group":
        """Return the group of a secret; raise IdentityError if it is none."""
        seed = parse_secret(secret)
        return cls(group_id(secret), derive(seed, b"beat", 64), derive(seed, b"group-ca", 32))

    @property
    def ca_pem(self) -> str:
        """The CA's certificate (PEM), byte for byte the same on every machine."""
        from homie_core.store.certificates import ca_certificate

        return ca_certificate(self.ca_seed).decode()


@dataclass(frozen=True)
class Credentials:
    """What mutual TLS needs: who I am, my certificate and key, and whom I believe."""

    peer_id: PeerId
    ca_pem: str
    cert_file: Path
    key_file: Path


def create_node(home: Path) -> PeerId:
    """Make this machine's key if it has none yet; return its id. Raises IdentityError."""
    from homie_core.store.certificates import new_key

    with suppress(FileExistsError):  # a key is never replaced: the others know this machine by it
        write_private(home / _KEY, new_key(), IdentityError, fresh=True)
    return _own_key(home)[0]


def read_peer_id(home: Path) -> PeerId:
    """Return this machine's id from its public key; raise IdentityError."""
    path = home / _PUBLIC
    try:
        pem = read_private(path, _MAX_FILE, IdentityError)
    except FileNotFoundError as error:
        raise IdentityError(f"this machine has no key yet ({path}); run `homie setup`") from error
    try:
        return _id_of(pem)
    except ValueError as error:
        raise IdentityError(f"{path}: is damaged; run: rm {path} && homie setup") from error


def credentials(home: Path, group: Group) -> Credentials:
    """Return what mutual TLS needs, with the certificate brought up to date; raise IdentityError."""
    from homie_core.store.certificates import leaf_certificate

    peer_id, key_pem = _own_key(home)
    leaf = leaf_certificate(group.ca_seed, key_pem)
    cert_file = home / _CERTIFICATE
    try:
        current = read_private(cert_file, _MAX_FILE, IdentityError)
    except FileNotFoundError:
        current = b""
    if current != leaf:
        write_private(cert_file, leaf, IdentityError)
    return Credentials(peer_id, group.ca_pem, cert_file, home / _KEY)


def next_boot(home: Path, wall_seconds: float) -> int:
    """Count this start: return a number above every earlier one, at least the wall time in seconds."""
    path = home / _BOOT
    try:
        text = read_private(path, _MAX_FILE, IdentityError)
    except FileNotFoundError:
        text = b"0"
    if not (text.isdigit() and len(text) < 19):
        raise IdentityError(f"{path}: is damaged; check that the clock is right, then run: rm {path}")
    boot = max(int(text) + 1, int(wall_seconds))
    write_private(path, str(boot).encode(), IdentityError)
    return boot


_KEY, _PUBLIC, _CERTIFICATE, _BOOT = "node.key", "node.pub", "node.crt", "boot"
_MAX_FILE = 16 << 10
_ED25519 = bytes.fromhex("302a300506032b6570032100")
"""How the SubjectPublicKeyInfo (DER) of such a key begins, before its 32 bytes (RFC 8410)."""


def _own_key(home: Path) -> tuple[PeerId, bytes]:
    """Return the id and the private key, which belong together; write a missing public key."""
    from homie_core.store.certificates import public_key

    path = home / _KEY
    try:
        key_pem = read_private(path, _MAX_FILE, IdentityError)
    except FileNotFoundError as error:
        raise IdentityError(f"this machine has no key yet ({path}); run `homie setup`") from error
    try:
        public_pem = public_key(key_pem)
    except ValueError as error:
        raise IdentityError(
            f"{path}: is no usable key ({error}); put back a copy, or give this machine a new identity, "
            f"which the others must be told of: rm {path} {home / _PUBLIC} && homie setup"
        ) from error
    try:
        known = read_peer_id(home)
    except IdentityError:
        if (home / _PUBLIC).exists():
            raise
        write_private(home / _PUBLIC, public_pem, IdentityError)
        known = _id_of(public_pem)
    if known != _id_of(public_pem):
        raise IdentityError(
            f"{path} and {home / _PUBLIC} do not belong together; put back the right key, or, if this one "
            f"is right, run: rm {home / _PUBLIC} && homie setup"
        )
    return known, key_pem


def _id_of(public_pem: bytes) -> PeerId:
    """SHA-256 of the public key; raise ValueError if it is no Ed25519 key in PEM."""
    lines = public_pem.decode("ascii").split()
    if lines[:3] != ["-----BEGIN", "PUBLIC", "KEY-----"] or lines[4:] != ["-----END", "PUBLIC", "KEY-----"]:
        raise ValueError("no public key in PEM")
    der = binascii.a2b_base64(lines[3], strict_mode=True)
    if len(der) != 44 or not der.startswith(_ED25519):
        raise ValueError("no Ed25519 key")
    return PeerId(hashlib.sha256(der).hexdigest())
