import pytest
from msgspec.structs import replace

from homie_core.engine.placement import choose, find
from homie_core.model.errors import NoPeer
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, Kind
from homie_core.model.names import NodeName, PeerId
from homie_core.model.peer import Capacity, Gpu, Peer, Standing

GB = 1 << 30
ANYTHING = Ask()


def peer(name, id="0", standing=Standing.ONLINE, gpus=(), **capacity):
    has = {
        "cores": 8, "cpu_percent": 0.0, "ram_total": 16 * GB, "ram_free": 8 * GB, "sharing": True,
        "free_cpus": 8.0, "free_memory": 12 * GB, "max_cpus": 2.0, "max_memory": 4 * GB,
    }  # fmt: skip
    return Peer(
        id=PeerId(id * 64),
        name=NodeName(name),
        address="10.0.0.2",
        port=5556,
        capacity=Capacity(**{**has, **capacity}, gpus=gpus),
        standing=standing,
        last_seen=0.0,
    )


def card(free):
    return Gpu(name="RTX 3080", uuid="GPU-1", vram_total=10 * GB, vram_free=free * GB)


def names(choices):
    return [chosen.name for chosen, _ in choices]


def test_the_idle_one_is_chosen_with_a_reason():
    choices = choose([peer("busy", "1", cpu_percent=90.0), peer("idle", "2")], Ask())
    assert names(choices) == ["idle", "busy"]
    assert choices[0][1] == "8 cores, 0 % busy, 8.0 GB of memory free"


def test_room_at_once_beats_idle_cores():
    full = peer("full", "1", free_cpus=0.0, running=4)
    assert names(choose([full, peer("busy", "2", cpu_percent=95.0)], Ask())) == ["busy", "full"]


def test_a_gpu_is_found_and_the_one_with_more_free_memory_first():
    peers = [peer("none", "1"), peer("small", "2", gpus=(card(2),)), peer("big", "3", gpus=(card(9),))]
    choices = choose(peers, Ask(gpu=GpuAsk()))
    assert names(choices) == ["big", "small"]
    assert "9.0 GB of VRAM free" in choices[0][1]


@pytest.mark.parametrize(
    ("candidate", "ask", "words"),
    [
        (peer("desk", sharing=False), Ask(), "desk: takes no jobs"),
        (peer("desk", standing=Standing.OFFLINE), Ask(), "desk: offline"),
        (peer("desk"), Ask(gpu=GpuAsk()), "desk: has no GPU"),
        (peer("desk"), Ask(cpus=4), "desk: lends a job at most 2 cores"),
        (peer("desk"), Ask(memory=8 * GB), "desk: lends a job at most 4.0 GB of memory"),
    ],
)
def test_who_does_not_fit_is_named_with_the_reason(candidate, ask, words):
    with pytest.raises(NoPeer, match=words):
        choose([candidate], ask)


def test_nobody_here_names_the_next_command():
    with pytest.raises(NoPeer, match="homie up"):
        choose([], Ask())


def test_a_name_or_the_beginning_of_an_id():
    peers = [peer("desk", "1"), peer("lap", "2")]
    assert find(peers, "DESK").name == "desk"
    assert find(peers, "2222").name == "lap"
    with pytest.raises(NoPeer, match="Here now: desk, lap"):
        find(peers, "dask")


def test_an_impostor_is_not_found_by_its_stolen_name():
    peers = [peer("desk", "1"), peer("desk", "2", standing=Standing.CHANGED)]
    assert find(peers, "desk").id == "1" * 64


def test_two_of_one_name_must_be_told_apart():
    with pytest.raises(NoPeer, match="not unique"):
        find([peer("desk", "1"), peer("desk", "2")], "desk")


def best(*peers, ask=ANYTHING, kind=Kind.SCRIPT):
    (first, why), *_ = choose(peers, ask, kind=kind)
    return first.name, why


def test_a_slot_or_disk_is_room_too():
    full = peer("full", "1", free_jobs=0, running=2)
    assert best(full, peer("busy", "2", cpu_percent=95.0))[0] == "busy"


def test_one_that_is_far_comes_after_those_that_are_near_and_says_so():
    far, near = replace(peer("far", "1"), rtt=0.12), replace(peer("near", "2", cpu_percent=60.0), rtt=0.04)
    assert best(far, near) == ("near", "8 cores, 60 % busy, 8.0 GB of memory free")
    assert best(far) == ("far", "8 cores, 0 % busy, 8.0 GB of memory free, 120 ms away")
    assert best(far, peer("crowded", "3", cpu_percent=90.0))[0] == "far", "it has the cores that the job wants"
    assert best(replace(peer("farther", "4", warm=1), rtt=0.4), far)[0] == "far"


def test_a_sandbox_that_waits_counts_more_than_idle_cores_that_are_not_needed():
    cold, warm = peer("cold", "1"), peer("warm", "2", cpu_percent=50.0, warm=1)
    assert best(cold, warm)[0] == "warm"
    assert best(cold, warm, ask=Ask(cpus=1.5, memory=GB))[0] == "warm"
    assert best(cold, peer("warm", "2", cpu_percent=90.0, warm=1))[0] == "cold", "it has too few idle cores"


def test_a_session_goes_where_its_packages_are():
    new, old = peer("new", "1", sessions=False, warm=1), peer("old", "2", cpu_percent=90.0)
    assert best(new, old)[0] == "new", "scripts need none"
    assert best(new, old, kind=Kind.SESSION)[0] == "old"
    assert best(new, kind=Kind.SESSION)[1].endswith(", the packages of sessions are not ready there yet")
