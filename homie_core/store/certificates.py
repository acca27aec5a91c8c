"""Keys and certificates as bytes: one CA per group, the same on every machine; one key and leaf per node.

Dates are fixed (1970 to 9999), so no wrong clock locks anyone out. Names are fixed too: a stranger who
connects sees the leaf, and every member could put any name into it anyway. What counts is the key.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def new_key() -> bytes:
    """Return a new Ed25519 private key (PKCS8, PEM)."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_key(key_pem: bytes) -> bytes:
    """Return the public half of a private key (SubjectPublicKeyInfo, PEM); raise ValueError for no key."""
    return _load(key_pem).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def ca_certificate(seed: bytes) -> bytes:
    """Return the CA certificate (PEM) of a 32-byte seed: the same bytes on every machine."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    builder = (
        _builder(_CA, key.public_key(), 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    return builder.sign(key, None).public_bytes(Encoding.PEM)


def leaf_certificate(seed: bytes, key_pem: bytes) -> bytes:
    """Return the certificate (PEM) of a node's key, signed by the CA of the seed: the same bytes each time.

    Raises ValueError if `key_pem` is no Ed25519 private key.
    """
    ca_key = Ed25519PrivateKey.from_private_bytes(seed)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_LEAF, _load(key_pem).public_key(), 2)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return builder.sign(ca_key, None).public_bytes(Encoding.PEM)


_CA = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homie group")])
_LEAF = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homie node")])


def _builder(subject: x509.Name, key: Ed25519PublicKey, serial: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_CA)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(key_pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as error:  # it is encrypted
        raise ValueError("the key needs a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key
