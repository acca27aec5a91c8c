"""Mutual TLS 1.3 between nodes of one group: a certificate of its CA on both sides, and the key pinned.

The CA only says *a member*: each member holds the CA's key and could write any name into a certificate.
Which member it is, the public key says: `peer_id_of` on a server, `Pin` on a client.
"""

import asyncio
import hashlib
import ssl
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from homie_core.model.errors import IdentityError, PeerUnreachable
from homie_core.model.names import PeerId


def server_context(cert_file: Path, key_file: Path, ca_pem: str) -> ssl.SSLContext:
    """Return the context of a server that hears members of the group only. Raises IdentityError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, cert_file, key_file, ca_pem)
    context.num_tickets = 0  # no resumption: every connection proves its key
    return context


def client_context(cert_file: Path, key_file: Path, ca_pem: str) -> ssl.SSLContext:
    """Return the context of a client that speaks to members of the group only. Raises IdentityError.

    Give it to *every* request (`ssl=context`); the `Pin` goes on the connector.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, cert_file, key_file, ca_pem)


def peer_id_of(ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> PeerId:
    """Return the id of whoever is at the other end: SHA-256 of its public key (SubjectPublicKeyInfo, DER).

    `ssl_object` is the transport's extra info of that name. Raises PeerUnreachable if there is no usable key.
    """
    certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None
    if not certificate:
        raise PeerUnreachable("the other side showed no certificate")
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PeerUnreachable("the other side showed a certificate without a usable key") from error
    return PeerId(hashlib.sha256(der).hexdigest())


class Pin(aiohttp.Fingerprint):
    """Lets a connection live only if the other side is this node; without an id, the first node it meets.

    It belongs on the connector, `TCPConnector(ssl=Pin(id))`, with our context on every request: a pin given
    to a request makes aiohttp use a context that verifies nothing and shows no certificate of ours.
    """

    seen: PeerId | None
    """The node that was met; None before the first connection."""

    def __init__(self, peer_id: PeerId | None = None) -> None:
        super().__init__(bytes.fromhex(peer_id) if peer_id else bytes(32))
        self.seen = None
        self._expected = peer_id

    def check(self, transport: asyncio.Transport) -> None:
        """Raise aiohttp.ServerFingerprintMismatch if another node, or none at all, is at the other end."""
        try:
            met = peer_id_of(transport.get_extra_info("ssl_object"))
        except PeerUnreachable:
            met = None
        if met is None or met != (self._expected or met):
            host, port, *_ = transport.get_extra_info("peername") or ("", 0)
            expected, got = bytes.fromhex(self._expected or ""), bytes.fromhex(met or "")
            raise aiohttp.ServerFingerprintMismatch(expected, got, host, port)
        self.seen = self._expected = met


def _context(protocol: int, cert_file: Path, key_file: Path, ca_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default only from Python 3.13
    try:
        context.load_verify_locations(cadata=ca_pem)
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise IdentityError(
            f"{cert_file} and {key_file} cannot be used for TLS ({error}); run: rm {cert_file}, then homie up"
        ) from error
    return context
