import os
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homie_core.model.errors import UnsafeName
from homie_core.model.names import MAX_DEPTH, safe_file_name


@pytest.mark.parametrize(
    "name", ["a", "a.py", ".hidden", "a b", "ü/é.csv", "d/e/e/p", "a..b", "...", "-rf", "日本"]
)
def test_names_that_people_use(name):
    assert safe_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "..", ".", "a/..", "../a", "a/./b", "a//b", "a/", "\\\\host\\share", "a\\b", "c:x",
        "a\0b", "a\nb", "a\r", "\x1b[2J", "a\x7f", "a\x9b", "\u202egnp.exe", "a\u200b", "\udcff", "x" * 256,
        "é" * 128, "/".join(["d"] * (MAX_DEPTH + 1)), "x/" * 600 + "x",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_garble_a_terminal(name):
    with pytest.raises(UnsafeName) as caught:
        safe_file_name(name)
    assert str(caught.value).isprintable(), "the message itself is safe to show"


@given(st.text(max_size=60))
def test_whatever_is_let_through_stays_below_its_folder(name):
    try:
        safe = safe_file_name(name)
    except UnsafeName:
        return
    assert os.path.normpath(f"/base/{safe}") == f"/base/{safe}"
    assert PurePosixPath("/base", safe).is_relative_to("/base")
    assert not PureWindowsPath(safe).drive
    assert not PureWindowsPath(safe).is_absolute()
