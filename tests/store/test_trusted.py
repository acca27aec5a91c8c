"""Whom a user trusts is kept by key, in a file that nobody else can write."""

from pathlib import Path

import pytest

from homie_core.model.errors import IdentityError
from homie_core.model.names import PeerId
from homie_core.store import trusted
from homie_core.store.trusted import Trusted

A, B = PeerId("a" * 64), PeerId("b" * 64)


def test_nobody_is_trusted_at_first(tmp_path: Path) -> None:
    assert A not in Trusted.load(tmp_path)
    assert not (tmp_path / "trusted_peers.json").exists()


def test_trust_outlasts_the_process_and_is_of_one_key(tmp_path: Path) -> None:
    Trusted.load(tmp_path).add(A)
    again = Trusted.load(tmp_path)
    assert A in again
    assert B not in again
    assert again.beginning("aaaa") == {A}
    assert (tmp_path / "trusted_peers.json").stat().st_mode & 0o777 == 0o600


def test_trust_can_be_taken_back(tmp_path: Path) -> None:
    known = Trusted.load(tmp_path)
    known.add(A)
    known.add(B)
    known.discard(A)
    known.discard(A)
    assert A not in known
    assert A not in Trusted.load(tmp_path)
    assert B in Trusted.load(tmp_path)


def test_what_could_not_be_written_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise IdentityError("full")

    known = Trusted.load(tmp_path)
    monkeypatch.setattr(trusted, "write_private", full_disk)
    with pytest.raises(IdentityError, match="full"):
        known.add(A)
    assert A not in known


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version": 1, "ids": ["desk"]}', b'{"version": 1, "ids": [7]}', b"[" * 10_000]
)
def test_a_damaged_file_is_not_guessed_at(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "trusted_peers.json"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(IdentityError, match=r"is damaged .*rm "):
        Trusted.load(tmp_path)


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trusted_peers.json"
    file.write_text('{"version": 2, "ids": {"x": 1}}')
    file.chmod(0o600)
    with pytest.raises(IdentityError, match="has version 2"):
        Trusted.load(tmp_path)


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    Trusted.load(tmp_path).add(A)
    (tmp_path / "trusted_peers.json").chmod(0o666)
    with pytest.raises(IdentityError, match="other users may read or change it"):
        Trusted.load(tmp_path)


def test_there_is_room_for_so_many_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted, "MAX_TRUSTED", 1)
    known = Trusted.load(tmp_path)
    known.add(A)
    known.add(A)
    with pytest.raises(IdentityError, match="holds 1 ids"):
        known.add(B)
    assert B not in known
