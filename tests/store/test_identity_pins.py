"""A name keeps the key it was first seen with."""

from pathlib import Path

import pytest

from homie_core.model.errors import IdentityError
from homie_core.model.names import NodeName, PeerId
from homie_core.store import pins
from homie_core.store.pins import Pins

DESK, LAPTOP = NodeName("desk"), NodeName("laptop")
A, B = PeerId("a" * 64), PeerId("b" * 64)


def test_what_is_remembered_outlasts_the_process(tmp_path: Path) -> None:
    Pins.load(tmp_path).remember(DESK, A)
    again = Pins.load(tmp_path)
    assert again.known(DESK) == A
    assert again.known(LAPTOP) is None
    assert (tmp_path / "known_peers.json").stat().st_mode & 0o777 == 0o600


def test_a_name_is_never_given_another_key(tmp_path: Path) -> None:
    known = Pins.load(tmp_path)
    known.remember(DESK, A)
    known.remember(DESK, A)
    with pytest.raises(IdentityError, match=r"desk has another key .*homie remove desk"):
        known.remember(DESK, B)
    assert known.known(DESK) == Pins.load(tmp_path).known(DESK) == A


def test_a_forgotten_name_takes_its_next_key(tmp_path: Path) -> None:
    known = Pins.load(tmp_path)
    known.remember(DESK, A)
    known.remember(LAPTOP, A)
    known.forget(DESK)
    known.forget(DESK)
    assert Pins.load(tmp_path).known(DESK) is None
    known.remember(DESK, B)
    assert Pins.load(tmp_path).known(DESK) == B
    assert Pins.load(tmp_path).known(LAPTOP) == A


def test_a_flood_of_names_washes_no_true_name_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "MAX_PINS", 2)
    known = Pins.load(tmp_path)
    known.remember(DESK, A)
    known.remember(LAPTOP, A)
    with pytest.raises(IdentityError, match="holds 2 names"):
        known.remember(NodeName("third"), B)
    assert known.known(DESK) == A
    assert known.known(NodeName("third")) is None


def test_what_could_not_be_written_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Pins.load(tmp_path)

    def full_disk(*_: object) -> None:
        raise IdentityError("full")

    monkeypatch.setattr(pins, "write_private", full_disk)
    with pytest.raises(IdentityError, match="full"):
        known.remember(DESK, A)
    assert known.known(DESK) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        b'{"version": 1}',
        b'{"version": 1, "peers": {"desk": "abc"}}',
        b'{"version": 1, "peers": {"a b": "' + b"a" * 64 + b'"}}',
        b'{"version": 1, "peers": {"desk": 5}}',
    ],
)
def test_a_damaged_file_is_an_error_with_a_way_out(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "known_peers.json"
    file.write_bytes(damage)
    file.chmod(0o600)
    with pytest.raises(IdentityError, match=f"is damaged .* rm {file}"):
        Pins.load(tmp_path)


def test_a_file_of_a_later_version_is_not_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "known_peers.json"
    file.write_bytes(b'{"version": 2, "peers": []}')
    file.chmod(0o600)
    with pytest.raises(IdentityError, match="has version 2, this Homie reads 1; update Homie"):
        Pins.load(tmp_path)


def test_pins_that_others_could_have_written_are_refused(tmp_path: Path) -> None:
    Pins.load(tmp_path).remember(DESK, A)
    (tmp_path / "known_peers.json").chmod(0o666)
    with pytest.raises(IdentityError, match="chmod 600"):
        Pins.load(tmp_path)
