"""A script and its files become a request, or a clear error before anything is sent."""

import os
import socket
from pathlib import Path

import pytest

from homie_core.client import request_for_script
from homie_core.model.control import RunRequest
from homie_core.model.errors import CannotSend, UnsafeName
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, Kind
from homie_core.model.names import JobId


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("train.py", "data/x.csv", "data/deep/y.csv", "data/__pycache__/z.pyc", "data/.git/HEAD"):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside.csv").write_text("outside")
    return here


def build(script: str = "train.py", *files: str, notes: list[str] | None = None) -> RunRequest:
    note = [].append if notes is None else notes.append
    return request_for_script(
        script, ("--epochs", "3"), files, results=Path("out"), job=JobId("0" * 12), note=note
    )


def names(*files: str) -> list[str]:
    return [source.name for source in build("train.py", *files).files]


def test_a_script_alone(folder: Path) -> None:
    request = request_for_script(
        "train.py", ("-x",), results=Path("out"), job=JobId("0" * 12), ask=Ask(gpu=GpuAsk()), node="desk"
    )
    assert (request.kind, request.entry, request.args) == (Kind.SCRIPT, "train.py", ("-x",))
    assert (request.ask, request.node) == (Ask(gpu=GpuAsk()), "desk")
    assert request.results == str(folder / "out")
    assert [source.path for source in request.files] == [str(folder / "train.py")]


def test_a_script_of_another_folder_lands_at_its_base_name(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "fit.py").touch()
    assert build("src/fit.py").entry == "fit.py"


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("data/x.csv", "data/x.csv"),
        ("./data/../data/x.csv", "data/x.csv"),
        ("../outside.csv", "outside.csv"),
        ("{here}/data/x.csv", "x.csv"),
    ],
)
def test_a_file_is_found_by_the_name_it_was_given_here(folder: Path, given: str, there: str) -> None:
    assert names(given.format(here=folder)) == ["train.py", there]


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("data", ["data/deep/y.csv", "data/x.csv"]),
        ("data/", ["data/deep/y.csv", "data/x.csv"]),
        ("{here}/data/deep", ["deep/y.csv"]),
        ("../here/data/deep", ["deep/y.csv"]),
        (".", ["data/deep/y.csv", "data/x.csv"]),
    ],
)
def test_a_folder_is_taken_whole_without_what_is_never_input(folder: Path, given: str, there: list[str]) -> None:
    assert sorted(names(given.format(here=folder))) == [*there, "train.py"]


def test_links_are_not_followed_out_of_a_folder(folder: Path) -> None:
    (folder / "data" / "inside").symlink_to("x.csv")
    (folder / "data" / "outside").symlink_to("../../outside.csv")
    (folder / "data" / "broken").symlink_to("nowhere")
    (folder / "data" / "loop").symlink_to(".")
    notes: list[str] = []
    found = [source.name for source in build("train.py", "data", notes=notes).files]
    assert "data/inside" in found
    assert not {"data/outside", "data/broken", "data/loop/x.csv"} & set(found)
    assert [note.split(":")[0] for note in notes] == ["data/loop", "data/broken", "data/outside"]


def test_a_link_that_was_named_is_followed(folder: Path) -> None:
    (folder / "link.csv").symlink_to("../outside.csv")
    assert names("link.csv") == ["train.py", "link.csv"]


def test_a_file_given_twice_is_sent_once() -> None:
    assert names("data/x.csv", "data/x.csv", "../here/train.py") == ["train.py", "data/x.csv"]


def test_two_files_with_one_name_are_refused(folder: Path) -> None:
    (folder / "outside.csv").touch()
    with pytest.raises(CannotSend, match=r"both be outside\.csv"):
        build("train.py", "outside.csv", "../outside.csv")


def test_a_file_in_the_way_of_a_folder_is_refused(folder: Path) -> None:
    (folder.parent / "data").touch()
    with pytest.raises(CannotSend, match="in the way"):
        build("train.py", "../data", "data/x.csv")


@pytest.mark.parametrize("given", ["missing.csv", "data/missing"])
def test_a_missing_file_is_named(given: str) -> None:
    with pytest.raises(CannotSend, match=f"{given}: No such file"):
        build("train.py", given)


def test_a_missing_script_and_a_folder_as_script_are_named() -> None:
    with pytest.raises(CannotSend, match=r"fit\.py: No such file"):
        build("fit.py")
    with pytest.raises(CannotSend, match="data is a folder"):
        build("data")


def test_a_fifo_does_not_hang_and_is_left_out_of_folders(folder: Path) -> None:
    os.mkfifo(folder / "data" / "pipe")
    with pytest.raises(CannotSend, match="no regular file"):
        build("train.py", "data/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("data/s")
        notes: list[str] = []
        build("train.py", "data", notes=notes)
    assert notes == ["data/pipe: no regular file", "data/s: no regular file"]


def test_an_unreadable_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "x.csv")  # root reads everything
    with pytest.raises(CannotSend, match=r"data/x\.csv cannot be read"):
        build("train.py", "data")


def test_a_name_that_would_garble_a_terminal_is_refused(folder: Path) -> None:
    (folder / "data" / "a\nb").touch()
    with pytest.raises(UnsafeName, match="cannot be printed"):
        build("train.py", "data")


def test_too_many_files_are_refused_while_they_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homie_core.client.files.choose.MAX_FILES", 2)
    with pytest.raises(CannotSend, match="more than 2 files"):
        build("train.py", "data")


def test_more_arguments_than_a_message_holds_are_refused() -> None:
    with pytest.raises(CannotSend, match="too long"):
        request_for_script("train.py", ("x" * (5 << 20),), results=Path("out"), job=JobId("0" * 12))
