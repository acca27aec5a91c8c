"""The peer table, told as conversations: what was heard and proven, and what is to be done about it."""

import pytest

from homie_core.engine.peers import (
    FORGET,
    LOST,
    SILENCE,
    Answer,
    Appeared,
    Impostor,
    PeerTable,
    Probe,
    Remember,
    Vanished,
)
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Beat, BeatKind, Capacity, Hello, Standing

ME, DESK, EVE = (PeerId(letter * 64) for letter in "abe")
IDLE = Capacity(cores=4, cpu_percent=1.0, ram_total=8 << 30, ram_free=4 << 30, sharing=True)
BUSY = Capacity(cores=4, cpu_percent=99.0, ram_total=8 << 30, ram_free=1 << 30, sharing=True)
AT = "10.0.0.2"


def beat(id=DESK, boot=1, seq=0, kind=BeatKind.HERE, port=5556, capacity=IDLE, name="desk"):
    return Beat(id=id, name=NodeName(name), boot=boot, seq=seq, port=port, capacity=capacity, kind=kind)


def hello(name="desk", port=5556, boot=1, seq=1):
    return Hello(protocol=1, version="0", name=NodeName(name), port=port, boot=boot, seq=seq, capacity=IDLE)


def only(table, now=0.0):
    (peer,) = table.peers(now)
    return peer


@pytest.fixture
def table():
    return PeerTable(ME)


@pytest.fixture
def met(table):
    """A table in which desk is online since t = 0."""
    (probe,) = table.heard(beat(), AT, 0.0)
    table.proved(probe, DESK, hello(), 0.0)
    return table


def test_a_heartbeat_is_a_hint_and_asks_for_a_probe(table):
    assert table.heard(beat(), AT, 0.0) == [Probe(AT, 5556, DESK)]
    assert only(table).standing is Standing.HEARD
    assert table.online() == []


def test_a_hello_makes_a_peer_online_and_its_name_remembered(table):
    (probe,) = table.heard(beat(), AT, 0.0)
    remember, appeared = table.proved(probe, DESK, hello(), 0.1)
    assert remember == Remember(NodeName("desk"), DESK)
    assert isinstance(appeared, Appeared)
    assert only(table).standing is Standing.ONLINE


def test_how_far_it_is_stays_known_until_it_is_asked_again(met):
    assert only(met).rtt == 0
    met.proved(Probe(AT, 5556, DESK), DESK, hello(), 1.0, rtt=0.12)
    met.heard(beat(seq=9), AT, 2.0)
    assert only(met).rtt == 0.12


def test_a_newcomer_that_asks_is_answered(met):
    assert Answer() in met.heard(beat(boot=2, kind=BeatKind.ASK), AT, 1.0)


def test_my_own_heartbeat_is_ignored(table):
    assert table.heard(beat(id=ME), AT, 0.0) == []
    assert table.peers(0.0) == []


@pytest.mark.parametrize(("boot", "seq"), [(1, 0), (1, 4), (0, 99)])
def test_a_replayed_heartbeat_changes_nothing(met, boot, seq):
    met.heard(beat(seq=5), AT, 2.0)
    before = met.peers(3.0)
    assert met.heard(beat(boot=boot, seq=seq, capacity=BUSY), "10.6.6.6", 3.0) == []
    assert met.peers(3.0) == before


def test_a_replayed_goodbye_ends_nothing(met):
    met.heard(beat(seq=5), AT, 2.0)
    assert met.heard(beat(seq=4, kind=BeatKind.BYE), AT, 3.0) == []
    assert only(met).standing is Standing.ONLINE


def test_a_goodbye_takes_a_peer_offline_at_once(met):
    (gone,) = met.heard(beat(seq=1, kind=BeatKind.BYE), AT, 1.0)
    assert isinstance(gone, Vanished)
    assert only(met).standing is Standing.OFFLINE


def test_a_changed_address_is_probed_and_taken_only_when_proven(met):
    (probe,) = met.heard(beat(seq=1), "10.0.0.9", SILENCE)
    assert probe == Probe("10.0.0.9", 5556, DESK)
    assert only(met).address == AT
    assert met.unreachable(probe, "another key", SILENCE + 1) == []
    assert (only(met).address, only(met).standing) == (AT, Standing.ONLINE)
    met.proved(probe, DESK, hello(), SILENCE + 2)
    assert only(met).address == "10.0.0.9"


def test_the_same_name_with_another_key_is_a_warning_and_not_used(met):
    (probe,) = met.heard(beat(id=EVE), "10.0.0.66", 1.0)
    (impostor,) = met.proved(probe, EVE, hello(), 1.0)
    assert isinstance(impostor, Impostor)
    assert impostor.known == DESK
    assert [peer.id for peer in met.online()] == [DESK]


def test_a_name_that_its_owner_gave_up_may_be_taken(met):
    (probe,) = met.heard(beat(id=EVE), "10.0.0.66", 1.0)
    met.proved(probe, EVE, hello(), 1.0)
    assert met.remove("desk") == ["desk"]
    (probe,) = met.heard(beat(id=EVE, seq=1), "10.0.0.66", 2.0)
    assert Remember(NodeName("desk"), EVE) in met.proved(probe, EVE, hello(), 2.0)
    assert [peer.id for peer in met.online()] == [EVE]


def test_a_silent_peer_is_probed_then_lost_then_forgotten(met):
    assert met.tick(SILENCE - 0.1) == []
    assert met.tick(SILENCE + 0.1) == [Probe(AT, 5556, DESK)]
    (gone,) = met.tick(LOST + 0.1)
    assert isinstance(gone, Vanished)
    met.tick(FORGET + 1.0)
    assert met.peers(FORGET + 1.0) == []


def test_a_silent_peer_that_answers_probes_stays_online(met):
    now = 0.0
    while now < 10 * LOST:
        now += 1.0
        for probe in met.tick(now):
            met.proved(probe, DESK, hello(), now)
    assert only(met, now).standing is Standing.ONLINE


def test_a_silent_peer_that_refuses_the_probe_is_offline_at_once(met):
    (probe,) = met.tick(SILENCE + 0.1)
    (gone,) = met.unreachable(probe, "connection refused", SILENCE + 0.2)
    assert isinstance(gone, Vanished)
    assert only(met).trouble == "connection refused"


def test_failed_probes_back_off(table):
    probes = 0
    for seq in range(300):
        for effect in table.heard(beat(seq=seq), AT, seq * 2.0):
            probes += 1
            table.unreachable(effect, "no answer", seq * 2.0)
    assert 70 <= probes <= 80, "600 s with 8 s between two"


def test_a_forged_heartbeat_or_goodbye_is_put_right_by_the_next_hello(met):
    met.heard(beat(boot=99, seq=5, capacity=BUSY), AT, 1.0)
    assert met.heard(beat(seq=1), AT, 2.0) == [], "overtaken by the forged one"
    (gone,) = met.heard(beat(boot=99, seq=6, kind=BeatKind.BYE), AT, 3.0)
    assert isinstance(gone, Vanished)
    (probe,) = met.tick(SILENCE + 3.0)
    (back,) = met.proved(probe, DESK, hello(seq=4), SILENCE + 3.0)
    assert isinstance(back, Appeared)
    met.heard(beat(seq=4, capacity=BUSY), AT, SILENCE + 4.0)
    assert only(met).capacity == BUSY, "its own heartbeats count again"


def test_a_typed_address_is_probed_until_someone_answers(table):
    probe = table.add("10.0.0.7", 6000)
    assert probe == Probe("10.0.0.7", 6000, None)
    table.unreachable(probe, "no answer", 0.0)
    assert table.unreached() == {("10.0.0.7", 6000): "no answer"}
    assert table.tick(SILENCE) == [probe]
    table.proved(probe, DESK, hello(), SILENCE)
    assert table.unreached() == {}
    assert (only(table).address, only(table).port) == ("10.0.0.7", 6000)


def test_a_caller_is_a_hint_that_is_probed_back(table):
    assert table.greeted(DESK, hello(port=7000), AT, 0.0) == [Probe(AT, 7000, DESK)]
    assert table.online() == []
