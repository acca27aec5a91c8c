"""Who this machine is: the group's secret, the node's key and certificate, the boot counter."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homie_core.model.errors import IdentityError
from homie_core.store.certificates import new_key, public_key
from homie_core.store.identity import (
    Group,
    create_node,
    credentials,
    group_id,
    new_secret,
    next_boot,
    parse_secret,
    read_peer_id,
)
from homie_core.store.secret import derive

SEED = bytes(range(16))
SECRET = "AAAQ-EAYE-AUDA-OCAJ-BIFQ-YDIO-B67E-LSZG"
OTHER = new_secret(lambda size: b"\x07" * size)


# The secret


def test_a_secret_carries_its_entropy_and_a_checksum() -> None:
    text = new_secret(lambda size: SEED[:size])
    assert text == SECRET
    assert parse_secret(text) == SEED


def test_two_secrets_are_not_the_same() -> None:
    assert parse_secret(new_secret()) != parse_secret(new_secret())


@pytest.mark.parametrize(
    "typed",
    [
        SECRET.lower(),
        SECRET.replace("-", ""),
        SECRET.replace("-", " "),
        SECRET.replace("-", "\u2013"),
        f"  {SECRET}\n",
        SECRET.replace("O", "0").replace("I", "1").replace("B", "8"),
    ],
)
def test_what_people_make_of_a_secret_is_forgiven(typed: str) -> None:
    assert parse_secret(typed) == SEED


def test_every_wrong_letter_is_noticed() -> None:
    for at, right in enumerate(SECRET):
        if right != "-":
            wrong = "C" if right != "C" else "D"
            with pytest.raises(IdentityError, match="typing error"):
                parse_secret(SECRET[:at] + wrong + SECRET[at + 1 :])


def test_swapped_groups_are_noticed() -> None:
    groups = SECRET.split("-")
    with pytest.raises(IdentityError, match="typing error"):
        parse_secret("-".join([groups[1], groups[0], *groups[2:]]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has 0 letters and digits instead of 32"),
        (SECRET[:-1], "has 31 letters and digits instead of 32"),
        (SECRET + "A", "has 33 letters and digits instead of 32"),
        ("A" * 100_000, "instead of 32"),
        (SECRET.replace("Q", "9", 1), r"a character that cannot be in it \('9', the 4\. of 32\)"),
        (SECRET[:-1] + "\x1b", r"'\\x1b'"),
        (SECRET[:-1] + "\u00df", "cannot be in it|instead of 32|typing error"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_repeating_it(text: str, expected: str) -> None:
    with pytest.raises(IdentityError, match=expected) as caught:
        parse_secret(text)
    assert "homie config get group_secret" in str(caught.value)
    assert SECRET[:9] not in str(caught.value)


# The group


def test_derivation_is_the_hkdf_of_rfc_5869() -> None:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert derive(b"\x0b" * 22, info, 42, salt).hex() == expected
    assert derive(SEED, b"beat", 64) == HKDF(SHA256(), 64, b"homie-v1", b"beat").derive(SEED)


def test_a_group_is_the_same_on_every_machine_and_unlike_any_other() -> None:
    group, again, other = (
        Group.from_secret(SECRET),
        Group.from_secret(SECRET.lower()),
        Group.from_secret(OTHER),
    )
    assert group == again
    assert group.ca_pem == again.ca_pem
    assert group.id == group_id(SECRET)
    assert not {group.id, group.beat_key, group.ca_seed, group.ca_pem} & {
        other.id,
        other.beat_key,
        other.ca_seed,
        other.ca_pem,
    }


def test_the_derived_bytes_never_change_or_old_and_new_nodes_could_not_talk() -> None:
    group = Group.from_secret(SECRET)
    assert group.id == "391ab39ebd6046b2"
    assert hashlib.sha256(group.beat_key).hexdigest()[:16] == "10100078ae04ba46"
    assert hashlib.sha256(group.ca_pem.encode()).hexdigest()[:16] == "5675428913083f54"


def test_the_beat_key_seals() -> None:
    cipher = AESSIV(Group.from_secret(SECRET).beat_key)
    assert cipher.decrypt(cipher.encrypt(b"here", []), []) == b"here"


def test_a_group_does_not_print_its_keys() -> None:
    group = Group.from_secret(SECRET)
    assert repr(group) == f"Group(id='{group.id}')"


# The node


def test_a_node_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = create_node(home)
    key = (home / "node.key").read_bytes()
    assert create_node(home) == made == read_peer_id(home)
    assert (home / "node.key").read_bytes() == key
    assert sorted(path.name for path in home.iterdir()) == ["node.key", "node.pub"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.iterdir())
    assert home.stat().st_mode & 0o777 == 0o700


def test_the_id_is_the_hash_of_the_public_key(tmp_path: Path) -> None:
    peer_id = create_node(tmp_path)
    openssl = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "node.key", "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    )
    assert peer_id == hashlib.sha256(openssl.stdout).hexdigest()


def test_two_nodes_have_two_ids(tmp_path: Path) -> None:
    assert create_node(tmp_path / "a") != create_node(tmp_path / "b")


def test_ids_and_secrets_are_read_without_loading_cryptography() -> None:
    code = "import sys, homie_core.store.identity, homie_core.store.pins; print('cryptography' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_credentials_follow_the_group_and_the_key(tmp_path: Path) -> None:
    create_node(tmp_path)
    first = credentials(tmp_path, Group.from_secret(SECRET))
    leaf = first.cert_file.read_bytes()
    written = first.cert_file.stat().st_ino
    assert first.peer_id == read_peer_id(tmp_path)
    assert first.cert_file.stat().st_mode & 0o777 == 0o600

    assert credentials(tmp_path, Group.from_secret(SECRET)) == first
    assert first.cert_file.stat().st_ino == written, "an up-to-date certificate is not written again"

    other = credentials(tmp_path, Group.from_secret(OTHER))
    assert other.ca_pem != first.ca_pem
    assert other.cert_file.read_bytes() != leaf

    (tmp_path / "node.key").unlink()
    (tmp_path / "node.pub").unlink()
    create_node(tmp_path)
    renewed = credentials(tmp_path, Group.from_secret(SECRET))
    assert renewed.peer_id != first.peer_id
    assert renewed.cert_file.read_bytes() != leaf


def test_certificates_name_nobody(tmp_path: Path) -> None:
    create_node(tmp_path)
    leaf = x509.load_pem_x509_certificate(credentials(tmp_path, Group.from_secret(SECRET)).cert_file.read_bytes())
    assert leaf.subject.rfc4514_string() == "CN=homie node"
    assert leaf.issuer.rfc4514_string() == "CN=homie group"


def test_a_lost_public_key_is_made_again(tmp_path: Path) -> None:
    made = create_node(tmp_path)
    (tmp_path / "node.pub").unlink()
    with pytest.raises(IdentityError, match=r"no key yet.*homie setup"):
        read_peer_id(tmp_path)
    assert credentials(tmp_path, Group.from_secret(SECRET)).peer_id == made
    assert read_peer_id(tmp_path) == made


def test_without_a_key_setup_is_named(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="homie setup"):
        credentials(tmp_path, Group.from_secret(SECRET))


@pytest.mark.parametrize("name", ["node.key", "node.pub", "node.crt"])
def test_files_that_others_can_reach_are_refused(tmp_path: Path, name: str) -> None:
    create_node(tmp_path)
    group = Group.from_secret(SECRET)
    credentials(tmp_path, group)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(IdentityError, match=f"chmod 600 {tmp_path / name}"):
        credentials(tmp_path, group)


def test_a_key_and_a_public_key_of_two_nodes_are_refused(tmp_path: Path) -> None:
    create_node(tmp_path)
    (tmp_path / "node.pub").write_bytes(public_key(new_key()))
    with pytest.raises(IdentityError, match=r"do not belong together.*rm .*node\.pub && homie setup"):
        credentials(tmp_path, Group.from_secret(SECRET))
    with pytest.raises(IdentityError, match="do not belong together"):
        create_node(tmp_path)


RSA = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"x" * 20_000, RSA.encode(), b"-----BEGIN PUBLIC KEY-----"])
@pytest.mark.parametrize("name", ["node.key", "node.pub"])
def test_a_damaged_key_is_an_error_with_a_way_out(tmp_path: Path, name: str, damage: bytes) -> None:
    create_node(tmp_path)
    (tmp_path / name).write_bytes(damage)
    for use in (lambda: create_node(tmp_path), lambda: credentials(tmp_path, Group.from_secret(SECRET))):
        with pytest.raises(IdentityError, match=f"{name}: is (no usable key|damaged|larger)"):
            use()
    assert (tmp_path / name).read_bytes() == damage, "nothing is replaced behind the owner's back"


# The boot counter


def test_boots_grow_even_if_the_clock_goes_back(tmp_path: Path) -> None:
    assert next_boot(tmp_path, 1000.9) == 1000
    assert next_boot(tmp_path, 1000.0) == 1001
    assert next_boot(tmp_path, 5.0) == 1002
    assert next_boot(tmp_path, 2000.0) == 2000
    assert (tmp_path / "boot").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"-5", b"12 34", b"9" * 30, b"\xff"])
def test_a_damaged_boot_counter_is_an_error_with_a_way_out(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "boot").write_bytes(damage)
    (tmp_path / "boot").chmod(0o600)
    with pytest.raises(IdentityError, match=f"is damaged.*rm {tmp_path / 'boot'}"):
        next_boot(tmp_path, 1000.0)
