import pytest
from hypothesis import given
from hypothesis import strategies as st

from homie_core.model.quantity import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("4g", 4 << 30),
        ("8G", 8 << 30),
        ("1.5GB", 3 << 29),
        ("512MiB", 512 << 20),
        (" 2 k ", 2048),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "g", "-1g", "4x", "1e9", "4 g g", "١g", "nan", "0x10"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("10m", 600),
        ("10min", 600),
        ("1h30m", 5400),
        ("2d", 172800),
        (600, 600),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "1x", "-5", "1m1h", "inf"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (10 << 20, "10 MB"),
        (3 << 29, "1.5 GB"),
        (5 << 50, "5120 TB"),
    ],
)
def test_sizes_for_people(size, text):
    assert show_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.3, "12 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_for_people(seconds, text):
    assert show_duration(seconds) == text


@given(st.integers(min_value=0, max_value=1 << 59))
def test_what_is_shown_is_about_what_it_is(size):
    assert abs(parse_size(show_size(size)) - size) <= size * 0.06
