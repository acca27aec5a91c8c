import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homie_core.model.errors import BadMessage
from homie_core.model.gpu import SOLD_AS, GpuAsk, parse_gpu, parse_vram, short_name, with_vram
from homie_core.model.peer import Gpu
from homie_core.model.wire import decode, encode

GB = 1 << 30
MB = 1 << 20


def card(name, total=10 * GB):
    return Gpu(name=name, uuid="GPU-1", vram_total=total, vram_free=total)


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("1", GpuAsk()),
        ("16", GpuAsk(count=16)),
        ("24G", GpuAsk(vram=24 * GB)),
        ("24 gb", GpuAsk(vram=24 * GB)),
        ("1.5GiB", GpuAsk(vram=1536 * MB)),
        ("RTX3080", GpuAsk(name="RTX3080")),
        ("rtx 3080 ti", GpuAsk(name="rtx 3080 ti")),
        ("3080", GpuAsk(name="3080")),
        ("3080:2", GpuAsk(name="3080", count=2)),
        ("2,24G", GpuAsk(count=2, vram=24 * GB)),
        ("A100:2,40G", GpuAsk(name="A100", count=2, vram=40 * GB)),
        (" 40G , A100-SXM4 : 2 ", GpuAsk(name="A100-SXM4", count=2, vram=40 * GB)),
        ("1080Ti", GpuAsk(name="1080Ti")),
    ],
)
def test_it_is_read_as_people_write_it(text, ask):
    assert parse_gpu(text) == ask
    assert parse_gpu(str(ask)) == ask


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no graphics card; write how many"),
        ("2,", "names no graphics card"),
        (":2", "names no graphics card"),
        ("RTX\x1b[2J", "names no graphics card"),
        ("x" * 81, "names no graphics card"),
        ("0", "0 graphics cards cannot be had: 1 to 16"),
        ("A100:17", "17 graphics cards cannot be had"),
        (f"A100:{'9' * 5000}", "cannot be had"),
        ("2,3", "says the count twice; write for example A100:2,40G"),
        ("A100:2,3", "says the count twice"),
        ("A100,H100", "says the name twice"),
        ("24G,40G", "says the VRAM twice"),
        ("24b", "is no memory of a graphics card; write for example 24G"),
    ],
)
def test_what_is_none_says_why_and_what_to_write(text, words):
    with pytest.raises(ValueError, match=words.replace("[", r"\[")) as raised:
        parse_gpu(text)
    assert len(str(raised.value)) < 250
    assert str(raised.value).isprintable()


@given(st.one_of(st.text(max_size=100), st.from_regex(r"[A-Z0-9 :,GMgb.]{1,20}", fullmatch=True)))
def test_any_text_is_an_ask_that_can_be_written_again_or_a_value_error(text):
    try:
        ask = parse_gpu(text)
    except ValueError:
        return
    assert parse_gpu(str(ask)) == ask
    assert decode(encode(ask), GpuAsk) == ask


@pytest.mark.parametrize(
    "body", [{"count": 0}, {"count": 17}, {"name": "x\n"}, {"name": "a,b"}, {"vram": -1}, {"vram": 1 << 60}]
)
def test_what_a_peer_asks_is_bounded(body):
    with pytest.raises(BadMessage):
        decode(msgspec.msgpack.encode(body), GpuAsk)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RTX3080", "NVIDIA GeForce RTX 3080"),
        ("rtx-3080", "NVIDIA GeForce RTX 3080 Ti"),
        ("a100 sxm4", "NVIDIA A100-SXM4-40GB"),
        ("Tesla T4", "Tesla T4"),
    ],
)
def test_a_name_is_found_whatever_its_case_and_spaces(text, name):
    assert parse_gpu(text).fits(card(name))
    assert not parse_gpu(text).fits(card("Other"))


@pytest.mark.parametrize(
    ("name", "has", "sold_as", "next_larger"),
    [  # what `nvidia-smi` says of them, in MiB
        ("RTX 3080", 10240, "10G", "11G"),
        ("RTX 2080 Ti", 11264, "11G", "12G"),
        ("T4", 15360, "16G", "20G"),
        ("L4", 23034, "24G", "32G"),
        ("RTX 4090", 24564, "24G", "32G"),
        ("RTX A6000", 46068, "48G", "64G"),
        ("H100", 81559, "80G", "94G"),
    ],
)
def test_a_card_counts_as_what_it_is_sold_as(name, has, sold_as, next_larger):
    assert parse_gpu(sold_as).fits(card(name, has * MB))
    assert not parse_gpu(next_larger).fits(card(name, has * MB))


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_less_than_is_asked_never_fits(vram, total):
    assert GpuAsk(vram=vram).fits(card("x", total)) == (total >= SOLD_AS * vram)


def test_vram_alone_asks_for_one_card_and_both_hold_together():
    assert with_vram(None, None) is None
    assert with_vram(None, 24 * GB) == GpuAsk(vram=24 * GB)
    assert with_vram(GpuAsk(count=2), 24 * GB) == GpuAsk(count=2, vram=24 * GB)
    assert with_vram(GpuAsk(vram=40 * GB), 24 * GB) == GpuAsk(vram=40 * GB)
    assert parse_vram("24G") == parse_vram(24 * GB) == 24 * GB
    with pytest.raises(ValueError, match="'24' is no memory of a graphics card; write for example 24G"):
        parse_vram("24")


def test_who_has_more_has_what_another_asks():
    has = parse_gpu("A100-SXM4:2,40G")
    for less in ("1", "2", "a100", "24G", "A100:2,40G"):
        assert has.covers(parse_gpu(less))
    for more in ("3", "H100", "80G"):
        assert not has.covers(parse_gpu(more))


def test_words():
    assert parse_gpu("1").words == "1 GPU"
    assert parse_gpu("2,24G").words == "2 GPUs with 24 GB of VRAM"
    assert parse_gpu("A100:2").words == "2 A100"
    assert parse_gpu("40G,A100").kind == "A100 with 40 GB of VRAM"
    assert short_name("NVIDIA GeForce RTX 3080") == "RTX 3080"
