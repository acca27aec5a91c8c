"""What a hostile job may do to my terminal: colour its text, redraw its line, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homie_core.client.safe_text import Lines, SafeText

HARMLESS = re.compile(r"(\x1b\[[0-9;:]{0,64}m|\x1b\[K|[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f])*\Z")
NASTY = [
    *(b"\x1b", b"[", b"]", b"P", b"31", b";", b"m", b"K", b"H", b"\x07", b"\\", b"\xc2\x9b", b"\xc2\x9d"),
    *(b"\xc2", b"\x9b", b"\r", b"\n", b"(", b"B", b"?25l", b"text", b"\x18", "ä→".encode(), b"\x00"),
]


@pytest.mark.parametrize(
    ("attack", "left"),
    [
        (b"\x1b]0;new title\x07after", "after"),
        (b"\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        (b"\x1b]52;c;ZXZpbA==\x07", ""),
        (b"\x1bP+q544e\x1b\\x", "x"),
        (b"\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
        (b"\x1b[2J\x1b[H\x1b[10;10Hx", "x"),
        (b"\x1b[A\x1b[2Kx", "x"),
        (b"\x1b[s\x1b7\x1b8\x1b[ux", "x"),
        (b"\x1b[?1049h\x1b[?25lx", "x"),
        (b"\x1b[6n\x1b[c\x1bZx", "x"),
        (b"\x1b[>4;2mx", "x"),
        (b"\x1b[!px\x1bcy", "xy"),
        (b"\x1b(0x\x1b#8y\x1b%Gz", "xyz"),
        (b"\x07\x08\x0b\x0c\x0e\x0f\x7fx\x00", "x"),
        (b"\xc2\x9b2Jx", "x"),
        (b"\xc2\x9d0;title\xc2\x9cx\xc2\x85y", "xy"),
        (b"\x1b[31\x1b[Hx", "x"),
        (b"\x1b\x1b]0;t\x07x", "x"),
        (b"\x1b[" + b"1" * 65 + b"mx", "x"),
    ],
)
def test_attack_is_stripped(attack: bytes, left: str) -> None:
    assert SafeText().feed(attack) == left


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\n",
        "\x1b[1;31mred\x1b[0m",
        "\x1b[38:2::255:0:0mtrue\x1b[m",
        "10 %\r20 %\x1b[K\r\n",
        "äöü → 日本 😀",
    ],
)
def test_colours_and_redrawing_pass(text: str) -> None:
    assert SafeText().feed(text.encode()) == text


def test_erasing_to_the_end_is_normalised() -> None:
    assert SafeText().feed(b"\x1b[0K\x1b[1K\x1b[2K") == "\x1b[K"


def test_without_colours_their_text_stays() -> None:
    assert SafeText(colours=False).feed(b"\x1b[31mred\x1b[0m\r\n") == "red\r\n"


def test_a_title_that_is_never_closed_hides_no_later_line() -> None:
    assert SafeText().feed(b"\x1b]0;title\nnext\n") == "\nnext\n"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert SafeText().feed(b"a\xff\x9b2Jb") == "a��2Jb"


@given(st.lists(st.one_of(st.sampled_from(NASTY), st.binary(max_size=4)), max_size=40), st.integers(1, 7))
def test_nothing_else_ever_comes_out_wherever_it_is_cut(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    whole = SafeText().feed(data)
    assert HARMLESS.match(whole)
    cut = SafeText()
    assert "".join(cut.feed(data[at : at + size]) for at in range(0, len(data), size)) == whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\n", "d| one\nd| two\n"),
        ("\n\n", "d| \nd| \n"),
        ("10 %\r20 %\n", "d| 10 %\rd| 20 %\n"),
        ("a\r\nb\r\n", "d| a\r\nd| b\r\n"),
        ("\r10 %\r", "d| 10 %\r"),
        ("\x1b[31mred\nmore\x1b[0m\nplain\n",
         "d| \x1b[31mred\x1b[0m\nd| \x1b[31mmore\x1b[0m\nd| plain\n"),
        ("red\n\x1b[0m", "d| red\n"),
        ("\x1b[31m1\r2\x1b[m\r\n", "d| \x1b[31m1\x1b[0m\rd| \x1b[31m2\x1b[m\r\n"),
    ],
)  # fmt: skip
def test_every_line_says_whose_it_is(text: str, shown: str) -> None:
    assert Lines("d| ").feed(text) == shown
    lines = Lines("d| ")
    assert "".join(lines.feed(piece) for piece in re.split(r"(\x1b\[\d*m|.)", text, flags=re.DOTALL)) == shown


def test_closing_ends_the_line_and_the_colours_once() -> None:
    lines = Lines("d| ")
    lines.feed("\x1b[32mgreen")
    assert lines.close() == "\x1b[0m\n"
    assert lines.close() == ""
    assert lines.feed("er\n") == "d| \x1b[32mer\x1b[0m\n"


def test_colours_that_pile_up_are_bounded() -> None:
    lines = Lines("d| ")
    lines.feed("\x1b[1m" * 10_000 + "x\n")
    assert len(lines.feed("y\n")) < 400
