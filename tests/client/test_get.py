"""What a session may say of the files that it was asked for: nothing leads out, nothing is believed."""

import os
from pathlib import Path
from typing import Any

import pytest

from homie_core.client.files import checked_globs, fresh_folder
from homie_core.client.values import Given, Malformed, given
from homie_core.model.errors import HomieError
from homie_core.model.job import MAX_FILES

FILE = {"name": "out/a.pt", "size": 3, "parcel": "0123456789abcdef"}


def said(*files: dict[str, Any], **changes: Any) -> Given:
    value = {"name": "x", "description": "1", "buffers": 0}
    content = {"values": [value], "kept": [], "files": [{**FILE, **file} for file in files], **changes}
    return given(content, [], ["x"], [], "desk", trusted=False)


def test_what_is_offered_is_taken_as_it_is_said():
    came = said({}, {"name": "run.sh", "executable": True})
    assert [(file.name, file.size, file.executable) for file in came.files] == [
        ("out/a.pt", 3, False),
        ("run.sh", 3, True),
    ]
    came.check()


@pytest.mark.parametrize(
    "files",
    [
        [{"name": "../x"}],
        [{"name": "/etc/x"}],
        [{"name": "a/../../x"}],
        [{"name": ""}],
        [{"name": "."}],
        [{"name": "a//b"}],
        [{"name": "c:x"}],
        [{"name": "a\\b"}],
        [{"name": "\x1b[2J"}],
        [{"name": "a\u202eb"}],
        [{"name": "/".join("d" * 33)}],
        [{"name": "x" * 300}],
        [{}, {}],
        [{"name": "out"}, {"name": "out/a.pt"}],
    ],
)
def test_names_that_lead_out_or_stand_in_the_way_of_each_other_are_no_files_and_values_come(files):
    came = said(*files)
    assert came.files == ()
    assert came.values == {"x": 1}
    with pytest.raises(HomieError, match="desk offers files that are none"):
        came.check()


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": 2**63},
        {"size": "3"},
        {"name": 3},
        {"name": "x" * 5000},
        {"parcel": "../../../etc/pass"},
        {"parcel": "0123456789abcdef\n"},
    ],
)
def test_what_is_of_another_kind_is_refused(change):
    with pytest.raises(Malformed, match="desk sent values that are none"):
        said(change)


def test_too_many_are_refused():
    with pytest.raises(Malformed, match="length"):
        said(*({"name": f"f{number}"} for number in range(MAX_FILES + 1)))
    with pytest.raises(Malformed, match="length"):
        said(misses={str(number): "" for number in range(300)})


def test_what_is_told_is_harmless_text():
    came = said(misses={"*.pt\x1b[2J": "no file \x1b]0;x\x07matches" + "!" * 9999}, left={"pipe\n": "no\rfile"})
    with pytest.raises(HomieError) as error:
        came.check()
    assert str(error.value).startswith("*.pt?[2J cannot come from desk: no file ?]0;x?matches!!!")
    assert len(str(error.value)) < 600
    assert came.notes == ("pipe?: no?file",)


@pytest.mark.parametrize("glob", ["/etc/*", "../*", "a/../b", "", "a\nb", "~/../x", "x" * 2000])
def test_patterns_stay_in_the_folder(glob):
    with pytest.raises(HomieError, match="files are taken from the session's folder"):
        checked_globs([glob])


def test_patterns_are_few_and_each_counts_once():
    assert checked_globs(["a", "./b/", "a"]) == ("a", "./b/")
    with pytest.raises(HomieError, match="101 patterns"):
        checked_globs(map(str, range(101)))


@pytest.mark.parametrize(
    ("session", "name"),
    [("main", "main"), ("../../x", "_.._x"), ("a/b", "a_b"), (".git", "git"), ("ü", "_"), ("..", "session")],
)
def test_each_folder_is_new_and_below_the_results(tmp_path: Path, monkeypatch, session, name):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        with fresh_folder(session) as folder:
            assert folder == tmp_path / "homie-results" / f"{name}-{number}"
            (folder / "x").touch()
    with fresh_folder(session) as folder:
        assert folder.name == f"{name}-3"
    assert sorted(os.listdir("homie-results")) == [f"{name}-1", f"{name}-2"]  # noqa: PTH208
