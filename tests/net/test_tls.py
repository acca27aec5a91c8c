"""Mutual TLS on loopback: whoever cannot prove a key of the group never reaches a handler."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from homie_core.model.errors import IdentityError, PeerUnreachable
from homie_core.model.names import PeerId
from homie_core.net.tls import Pin, client_context, peer_id_of, server_context
from homie_core.store.identity import Credentials, Group, create_node, credentials, new_secret

GROUP = Group.from_secret(new_secret(lambda size: b"\x01" * size))
STRANGERS = Group.from_secret(new_secret(lambda size: b"\x02" * size))


def node(home: Path, group: Group = GROUP) -> Credentials:
    create_node(home)
    return credentials(home, group)


def client_of(node: Credentials) -> ssl.SSLContext:
    return client_context(node.cert_file, node.key_file, node.ca_pem)


@dataclass
class Host:
    """A node's server, and whom its handler has heard."""

    node: Credentials
    context: ssl.SSLContext
    port: int = 0
    heard: list[PeerId] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        assert request.transport
        self.heard.append(peer_id_of(request.transport.get_extra_info("ssl_object")))
        return web.Response(text="hello")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    me = node(tmp_path / "host")
    host = Host(me, server_context(me.cert_file, me.key_file, me.ca_pem))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=host.context)
    await site.start()
    host.port = runner.addresses[0][1]
    yield host
    await runner.cleanup()


async def ask(host: Host, context: ssl.SSLContext | bool, pin: PeerId | None = None, scheme: str = "https") -> str:
    connector = aiohttp.TCPConnector(ssl=Pin(pin or host.node.peer_id))
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(f"{scheme}://127.0.0.1:{host.port}/", ssl=context) as response,
    ):
        return await response.text()


async def test_members_hear_each_other_and_know_who_it_is(host: Host, tmp_path: Path) -> None:
    friend = node(tmp_path / "friend")
    assert await ask(host, client_of(friend)) == "hello"
    assert host.heard == [friend.peer_id]


async def test_another_secret_is_refused_by_both_sides(host: Host, tmp_path: Path) -> None:
    stranger = node(tmp_path / "stranger", STRANGERS)
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(host, client_of(stranger))

    believing_anyone = client_of(stranger)
    believing_anyone.verify_mode = ssl.CERT_NONE
    with pytest.raises(aiohttp.ClientError):
        await ask(host, believing_anyone)
    assert host.heard == []


async def test_no_certificate_is_refused(host: Host) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=host.node.ca_pem)
    with pytest.raises(aiohttp.ClientError):
        await ask(host, context)
    assert host.heard == []


async def test_a_self_signed_certificate_is_refused(host: Host, tmp_path: Path) -> None:
    """Signed by a CA of the same name that is not ours."""
    lone = node(tmp_path / "lone", Group(GROUP.id, GROUP.beat_key, ca_seed=b"\x09" * 32))
    context = client_context(lone.cert_file, lone.key_file, host.node.ca_pem)
    with pytest.raises(aiohttp.ClientError):
        await ask(host, context)
    assert host.heard == []


async def test_tls_1_2_is_refused(host: Host, tmp_path: Path) -> None:
    friend = node(tmp_path / "friend")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=friend.ca_pem)
    context.load_cert_chain(friend.cert_file, friend.key_file)
    assert await ask(host, context) == "hello", "the same client is welcome with TLS 1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(host, context)
    assert host.heard == [friend.peer_id]


async def test_plain_http_is_refused(host: Host) -> None:
    with pytest.raises(aiohttp.ClientError):
        await ask(host, True, scheme="http")
    assert host.heard == []


async def test_another_member_in_the_place_of_the_one_i_meant_is_refused(host: Host, tmp_path: Path) -> None:
    friend, meant = node(tmp_path / "friend"), node(tmp_path / "meant")
    with pytest.raises(aiohttp.ServerFingerprintMismatch) as caught:
        await ask(host, client_of(friend), pin=meant.peer_id)
    assert caught.value.got.hex() == host.node.peer_id
    assert caught.value.expected.hex() == meant.peer_id
    assert host.heard == []


async def test_a_pin_without_an_id_holds_to_the_first_node_it_meets(host: Host, tmp_path: Path) -> None:
    friend, other = node(tmp_path / "friend"), node(tmp_path / "other")
    pin = Pin()
    assert pin.seen is None
    connector = aiohttp.TCPConnector(ssl=pin, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"https://127.0.0.1:{host.port}/", ssl=client_of(friend)):
            assert pin.seen == host.node.peer_id
        host.context.load_cert_chain(other.cert_file, other.key_file)  # another member takes its place
        with pytest.raises(aiohttp.ServerFingerprintMismatch) as caught:
            await session.get(f"https://127.0.0.1:{host.port}/", ssl=client_of(friend))
    assert caught.value.got.hex() == other.peer_id
    assert pin.seen == host.node.peer_id
    assert host.heard == [friend.peer_id]


async def test_a_stolen_certificate_without_its_key_is_useless(host: Host, tmp_path: Path) -> None:
    friend, thief = node(tmp_path / "friend"), node(tmp_path / "thief")
    with pytest.raises(IdentityError, match=r"cannot be used for TLS.*rm .*node\.crt"):
        client_context(friend.cert_file, thief.key_file, friend.ca_pem)
    assert host.heard == []


async def test_every_connection_proves_its_key_again(host: Host, tmp_path: Path) -> None:
    """No session ticket is given, so none can be used in place of a certificate."""
    context = client_of(node(tmp_path / "friend"))
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"hello")
    assert writer.get_extra_info("ssl_object").session.has_ticket is False
    writer.close()


def test_contexts_hold_what_they_promise(tmp_path: Path) -> None:
    me = node(tmp_path)
    for context in (
        client_context(me.cert_file, me.key_file, me.ca_pem),
        server_context(me.cert_file, me.key_file, me.ca_pem),
    ):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert not context.check_hostname
        assert len(context.get_ca_certs()) == 1, "nobody else's CA is believed"


@pytest.mark.parametrize(
    "ca_pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"]
)
def test_an_unusable_ca_is_an_error_with_a_way_out(tmp_path: Path, ca_pem: str) -> None:
    me = node(tmp_path)
    with pytest.raises(IdentityError, match="cannot be used for TLS"):
        client_context(me.cert_file, me.key_file, ca_pem)


class Shown:
    """What the other side showed in the handshake."""

    def __init__(self, certificate: bytes | None) -> None:
        self.certificate = certificate

    def getpeercert(self, binary_form: bool) -> bytes | None:
        assert binary_form
        return self.certificate


@pytest.mark.parametrize(
    "shown", [None, Shown(None), Shown(b""), Shown(b"\x30\x03\x02\x01\x01"), Shown(b"\xff" * 99)]
)
def test_whoever_shows_no_usable_key_is_nobody(shown: Shown | None) -> None:
    with pytest.raises(PeerUnreachable, match="the other side showed"):
        peer_id_of(shown)  # type: ignore[arg-type]


class NoTls(asyncio.Transport):
    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


@pytest.mark.parametrize("pin", [Pin(PeerId("a" * 64)), Pin()])
def test_a_connection_without_tls_passes_no_pin(pin: Pin) -> None:
    with pytest.raises(aiohttp.ServerFingerprintMismatch):
        pin.check(NoTls())


def test_a_key_without_a_certificate_file_is_an_error_of_ours(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k").write_bytes(key)
    with pytest.raises(IdentityError, match="cannot be used for TLS"):
        server_context(tmp_path / "missing", tmp_path / "k", GROUP.ca_pem)
