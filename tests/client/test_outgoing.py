"""Which files of a session's folder patterns mean, and as what they are offered; in a sandbox, with its rights."""

import os
import time
from pathlib import Path

import pytest

from homie_core.runner import outgoing
from homie_core.runner.exchange import UNFETCHED, Exchange
from homie_core.runner.outgoing import Outgoing


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in (
        "a.pt",
        "b.pt",
        ".c.pt",
        "out/d.pt",
        "out/.e",
        "out/deep/f.pt",
        "out/__pycache__/g.pt",
        ".homie/h",
    ):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside.pt").write_text("secret")
    return tmp_path / "work"


def names(work: Path, *globs: str) -> list[str]:
    offer = Outgoing(str(work)).offer(list(globs))
    assert offer["misses"] == offer["left"] == {}
    for file in offer["files"]:
        parcel = work / ".homie" / file["parcel"]
        assert parcel.samefile(work / file["name"])
        assert parcel.stat().st_size == file["size"]
    return [file["name"] for file in offer["files"]]


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        (["*.pt"], ["a.pt", "b.pt"]),
        (["./a.pt"], ["a.pt"]),
        (["**/*.pt"], ["a.pt", "b.pt", "out/d.pt", "out/deep/f.pt"]),
        (["out"], ["out/.e", "out/d.pt", "out/deep/f.pt"]),
        (["out/"], ["out/.e", "out/d.pt", "out/deep/f.pt"]),
        (["out/deep/f.pt", "out/*", "o*"], ["out/deep/f.pt", "out/d.pt", "out/.e"]),
        ([".c*"], [".c.pt"]),
        (["**"], ["a.pt", "b.pt", "out/d.pt", "out/deep/f.pt"]),
    ],
)
def test_patterns_mean_files_each_once(work: Path, globs: list[str], found: list[str]) -> None:
    assert names(work, *globs) == found


def test_names_are_the_sessions_wherever_its_code_has_gone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert names(work, "out/d.pt") == ["out/d.pt"]


def test_links_are_followed_within_the_folder_only(work: Path) -> None:
    for name, to in (
        ("in", "out/d.pt"),
        ("dir", "out"),
        ("up", "../outside.pt"),
        ("abs", "/etc/passwd"),
        ("x", "no"),
    ):
        (work / f"link-{name}").symlink_to(to)
    offer = Outgoing(str(work)).offer(["link-*"])
    (file,) = offer["files"]
    assert (file["name"], (work / ".homie" / file["parcel"]).read_text()) == ("link-in", "out/d.pt")
    out = "a link that leads out of the session's folder"
    assert offer["left"] == {
        "link-abs": out, "link-up": out, "link-dir": "a link to a folder", "link-x": "No such file or directory",
    }  # fmt: skip


def test_what_could_block_or_is_of_no_use_is_left(work: Path) -> None:
    os.mkfifo(work / "pipe")
    (work / "bad\nname").touch()
    (work / os.fsdecode(b"bad\xff")).touch()
    offer = Outgoing(str(work)).offer(["pipe", "bad*", "a.pt"])
    assert [file["name"] for file in offer["files"]] == ["a.pt"]
    assert offer["left"] == {
        "pipe": "no regular file",
        "bad\\nname": "its name cannot be printed",
        "bad\\udcff": "its name cannot be printed",
    }
    assert set(offer["misses"]) == {"pipe", "bad*"}


@pytest.mark.parametrize(
    ("glob", "why"),
    [
        ("*.csv", "no file matches; there are .c.pt, a.pt, b.pt, out"),
        ("nowhere/*", "no file matches"),
        ("a.pt/x", "no file matches"),
        (".homie/*", "no file matches"),
        ("**/g.pt", "no file matches"),
    ],
)
def test_a_pattern_without_a_file_says_so_and_the_others_count(work: Path, glob: str, why: str) -> None:
    offer = Outgoing(str(work)).offer([glob, "a.pt"])
    assert [file["name"] for file in offer["files"]] == ["a.pt"]
    assert offer["misses"][glob].startswith(why)


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        ("MAX_FILES", 3, "more than 3 files; pack them"),
        ("MAX_NAMES", 20, "files; pack them"),
        ("MAX_BYTES", 12, "more than 0 GB"),
        ("MAX_LOOKED", 6, "more than 6 files and folders to look at"),
    ],
)
def test_what_is_too_much_is_refused_whole(
    work: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, said: str
) -> None:
    monkeypatch.setattr(outgoing, bound, value)
    offer = Outgoing(str(work)).offer(["a.pt", "**/*.pt"])
    assert [file["name"] for file in offer["files"]] == ["a.pt"]
    assert said in offer["misses"]["**/*.pt"]


def test_nothing_is_looked_for_without_end(work: Path) -> None:
    for depth in (30, 400):
        deep = work / "/".join("d" * depth)
        deep.mkdir(parents=True, exist_ok=True)
        (deep / f"{depth}.pt").touch()
    assert names(work, "d/**/*.pt") == ["/".join("d" * 30) + "/30.pt"]
    assert names(work, "d") == ["/".join("d" * 30) + "/30.pt"]


def test_little_is_told_of_many(work: Path) -> None:
    for number in range(300):
        (work / f"link{number:03}").symlink_to("/etc/passwd")
    left = Outgoing(str(work)).offer(["link*"])["left"]
    assert len(left) == outgoing.MAX_TOLD + 1
    assert left[".."] == "and 200 more"


def test_parcels_that_nobody_fetches_go_in_the_end(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / ".homie" / "mine").touch()
    wish = {"parcel": "mine"}
    Exchange(wish, [], str(work), {}).take()
    assert sorted(path.name for path in (work / ".homie").iterdir()) == ["h", "mine"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + UNFETCHED + 1)
    Exchange(wish, [], str(work), {}).take()
    assert [path.name for path in (work / ".homie").iterdir()] == ["mine"]
