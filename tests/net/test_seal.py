"""Heartbeats as bytes: whatever did not come from our group as it was sent is dropped, and nothing raises else."""

import secrets

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homie_core.model.errors import BadMessage
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, Capacity, Gpu
from homie_core.net.seal import MAX_DATAGRAM, OtherGroup, Seal
from homie_core.store.identity import Group, new_secret

GROUP = Group.from_secret(new_secret(lambda size: b"\x01" * size))
STRANGERS = Group.from_secret(new_secret(lambda size: b"\x02" * size))
SEAL = Seal(GROUP.id, GROUP.beat_key)
GB = 1 << 30
BEAT = Beat(
    id=PeerId("a" * 64),
    name=NodeName("desk"),
    boot=1,
    seq=2,
    port=5556,
    capacity=Capacity(cores=8, cpu_percent=12.5, ram_total=16 * GB, ram_free=8 * GB),
)


def sealed(body):
    """A datagram that a member of the group sealed around any body at all."""

    datagram = SEAL.close(BEAT)
    header, nonce = datagram[:13], datagram[13:29]
    return header + nonce + SEAL._cipher.encrypt(body, [header, nonce])


def test_a_heartbeat_comes_out_as_it_went_in():
    assert SEAL.open(SEAL.close(BEAT)) == BEAT


def test_a_stranger_reads_no_name_and_two_beats_look_different():
    datagram = SEAL.close(BEAT)
    assert b"desk" not in datagram
    assert datagram[13:] != SEAL.close(BEAT)[13:]


def test_another_group_is_told_apart():
    with pytest.raises(OtherGroup):
        SEAL.open(Seal(STRANGERS.id, STRANGERS.beat_key).close(BEAT))


def test_another_group_that_claims_to_be_ours_is_not():
    with pytest.raises(BadMessage, match="nobody of our group"):
        SEAL.open(Seal(GROUP.id, STRANGERS.beat_key).close(BEAT))


def test_each_flipped_bit_is_noticed():
    datagram = SEAL.close(BEAT)
    for at in range(len(datagram)):
        changed = bytearray(datagram)
        changed[at] ^= 1
        with pytest.raises(BadMessage):
            SEAL.open(bytes(changed))


def test_another_format_is_named():
    datagram = bytearray(SEAL.close(BEAT))
    datagram[4] = 9
    with pytest.raises(BadMessage, match="format 9; this Homie knows 1"):
        SEAL.open(bytes(datagram))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 7),
        ("name", "a\x1b[2J"),
        ("name", "x" * 41),
        ("port", 0),
        ("port", "5556"),
        ("seq", -1),
        ("id", "a" * 63),
        ("id", "A" * 64),
        ("kind", "there"),
        ("capacity", None),
        ("capacity", {"cores": 8, "cpu_percent": "hot", "ram_total": 1, "ram_free": 1}),
        ("capacity", {"cores": 8, "cpu_percent": float("nan"), "ram_total": 1, "ram_free": 1}),
        ("capacity", {"cores": 8, "cpu_percent": float("inf"), "ram_total": 1, "ram_free": 1}),
        ("capacity", {"cores": 10**9, "cpu_percent": 1.0, "ram_total": 1, "ram_free": 1}),
        ("capacity", {"cores": 1, "cpu_percent": 1.0, "ram_total": 2**63, "ram_free": 1}),
    ],
)
def test_a_member_with_wrong_types_or_values_is_dropped(field, value):
    body = msgspec.to_builtins(BEAT)
    body[field] = value
    with pytest.raises(BadMessage):
        SEAL.open(sealed(msgspec.msgpack.encode(body)))


def test_a_newer_member_may_say_more():
    body = {**msgspec.to_builtins(BEAT), "mood": "good"}
    assert SEAL.open(sealed(msgspec.msgpack.encode(body))) == BEAT


def test_sixteen_cards_fit():
    card = Gpu(name="N" * 80, uuid="GPU-" + "0" * 36, vram_total=80 * GB, vram_free=80 * GB)
    beat = msgspec.structs.replace(BEAT, capacity=msgspec.structs.replace(BEAT.capacity, gpus=(card,) * 16))
    datagram = SEAL.close(beat)
    assert len(datagram) < MAX_DATAGRAM
    assert SEAL.open(datagram) == beat


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_dropped(data):
    for datagram in (data, SEAL.close(BEAT)[:13] + data, sealed(data)):
        with pytest.raises(BadMessage):
            SEAL.open(datagram)


def test_a_huge_datagram_is_not_even_looked_at():
    with pytest.raises(BadMessage, match="not a heartbeat"):
        SEAL.open(b"HOMI" + secrets.token_bytes(MAX_DATAGRAM))


def test_how_limits_hold_takes_few_bytes():
    told = msgspec.structs.replace(BEAT, capacity=msgspec.structs.replace(BEAT.capacity, held="esne"))
    assert SEAL.open(SEAL.close(told)) == told
    assert len(SEAL.close(told)) == len(SEAL.close(BEAT)) + 4
    nonsense = msgspec.structs.replace(BEAT, capacity=msgspec.structs.replace(BEAT.capacity, held="exact"))
    with pytest.raises(BadMessage):
        SEAL.open(SEAL.close(nonsense))
