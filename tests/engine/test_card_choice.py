from hypothesis import given
from hypothesis import strategies as st

from homie_core.engine.cards import lack, pick, suits
from homie_core.model.gpu import GpuAsk, parse_gpu
from homie_core.model.peer import Gpu

GB = 1 << 30


def card(uuid, total, name="RTX 3080", free=None, taken=False):
    free = total if free is None else free
    return Gpu(name=name, uuid=uuid, vram_total=total * GB, vram_free=free * GB, taken=taken)


def picked(cards, text):
    return [each.uuid for each in pick(cards, parse_gpu(text))]


SMALL, MIDDLE, LARGE = (
    card("small", 10),
    card("middle", 24, "RTX 3090"),
    card("large", 80, "NVIDIA A100-SXM4-80GB"),
)
ALL = (MIDDLE, LARGE, SMALL)


def test_who_says_how_much_memory_gets_the_smallest_that_has_it():
    assert picked(ALL, "8G") == ["small"]
    assert picked(ALL, "11G") == ["middle"]
    assert picked(ALL, "40G") == ["large"]
    assert picked(ALL, "2,8G") == ["small", "middle"]


def test_who_does_not_gets_the_one_with_most_memory_free():
    assert picked(ALL, "1") == ["large"]
    assert picked(ALL, "rtx") == ["middle"]
    assert picked((card("a", 24, free=2), card("b", 10, free=9)), "1") == ["b"]


def test_one_whose_memory_others_use_comes_last_but_is_not_refused():
    used = card("used", 10, free=1)
    assert picked((used, MIDDLE), "8G") == ["middle"]
    assert picked((used,), "8G") == ["used"]


def test_taken_cards_are_not_given():
    taken = card("taken", 10, taken=True)
    assert picked((taken, MIDDLE), "8G") == ["middle"]
    assert picked((taken,), "8G") == []
    assert picked((taken, MIDDLE), "2,8G") == []
    assert lack((taken,), parse_gpu("8G")) == "", "it can be waited for"


def test_why_no_card_will_ever_do():
    assert lack((), parse_gpu("24G")) == "has no GPU"
    assert lack((SMALL,), parse_gpu("24G")) == "has no GPU with 24 GB of VRAM, but RTX 3080 (10 GB)"
    assert lack((SMALL, LARGE), parse_gpu("H100")) == "has no H100, but RTX 3080 (10 GB), A100-SXM4-80GB (80 GB)"
    assert lack((SMALL,), parse_gpu("2")) == "has 1 GPU, not 2"
    assert lack(ALL, parse_gpu("RTX:3")) == "has 2 RTX, not 3"
    assert lack(ALL, parse_gpu("2,40G")) == "has 1 GPU with 40 GB of VRAM, not 2"


def test_a_host_whose_card_fits_closer_suits_better():
    asked = parse_gpu("8G")
    assert suits((SMALL,), asked) < suits((MIDDLE,), asked) < suits((), asked)
    assert suits((LARGE,), GpuAsk()) < suits((SMALL,), GpuAsk())


some_cards = st.lists(
    st.builds(card, st.uuids().map(str), st.integers(1, 80), st.sampled_from(["RTX 3080", "A100"]),
              st.integers(0, 80), st.booleans()), max_size=6, unique_by=lambda each: each.uuid,
)  # fmt: skip
some_ask = st.builds(
    GpuAsk,
    count=st.integers(1, 4),
    name=st.sampled_from(["", "a100", "RTX"]),
    vram=st.integers(0, 80).map(GB.__mul__),
)


@given(some_cards, some_ask)
def test_what_is_picked_is_free_fits_and_is_all_that_was_asked(cards, ask):
    got = pick(cards, ask)
    could = [each for each in cards if ask.fits(each) and not each.taken]
    assert len(got) == (ask.count if len(could) >= ask.count else 0)
    assert len({each.uuid for each in got}) == len(got)
    assert all(each in could for each in got)
    if ask.vram and got and all(ask.has_room(each) for each in could):
        left = [each for each in could if each not in got]
        assert all(max(mine.vram_total for mine in got) <= each.vram_total for each in left)


@given(some_cards, some_ask)
def test_either_it_can_be_had_once_nothing_is_taken_or_the_reason_is_said(cards, ask):
    idle = [Gpu(name=c.name, uuid=c.uuid, vram_total=c.vram_total, vram_free=c.vram_free) for c in cards]
    assert bool(pick(idle, ask)) == (lack(cards, ask) == "")
