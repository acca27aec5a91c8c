"""Names, folders and patterns become files, with names there and sizes; or an error before anything is sent."""

import os
from pathlib import Path

import pytest

from homie_core.client.files import chosen
from homie_core.model.errors import CannotSend

FILES = (
    "a.csv",
    "b.csv",
    "[1].csv",
    "notes.txt",
    ".hidden.csv",
    "data/x.csv",
    "data/y.json",
    "data/deep/x.csv",
    "data/deep/deeper/z.csv",
    "data/.cache/w.csv",
    "data/homie-results/old.csv",
    "logs1/out.txt",
    "logs2/out.txt",
    "__pycache__/c.csv",
    ".venv/v.csv",
    "homie-results/r.csv",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "empty").mkdir()
    (tmp_path / "outside.csv").write_text("outside")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("pattern", "there"),
    [
        ("*.csv", ["[1].csv", "a.csv", "b.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("[ac].csv", ["a.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("[1].csv", ["[1].csv"]),
        (".*.csv", [".hidden.csv"]),
        ("data/*", ["data/deep/deeper/z.csv", "data/deep/x.csv", "data/x.csv", "data/y.json"]),
        ("data/*.csv", ["data/x.csv"]),
        ("./data/../data/*.csv", ["data/x.csv"]),
        ("data/*/*.csv", ["data/deep/x.csv"]),
        ("data/**/*.csv", ["data/deep/deeper/z.csv", "data/deep/x.csv", "data/x.csv"]),
        ("data/**/deep/**/*.csv", ["data/deep/deeper/z.csv", "data/deep/x.csv"]),
        ("**/x.csv", ["data/deep/x.csv", "data/x.csv"]),
        ("**/**/x.csv", ["data/deep/x.csv", "data/x.csv"]),
        ("data/deep/**", ["data/deep/deeper/z.csv", "data/deep/x.csv"]),
        ("logs*", ["logs1/out.txt", "logs2/out.txt"]),
        ("logs[2-9]/", ["logs2/out.txt"]),
        ("*/out.txt", ["logs1/out.txt", "logs2/out.txt"]),
        (".venv/*", [".venv/v.csv"]),
        ("homie-results/*.csv", ["homie-results/r.csv"]),
        ("../*.csv", ["outside.csv"]),
        ("../here/lo*", ["logs1/out.txt", "logs2/out.txt"]),
        ("{here}/data/d*", ["deep/deeper/z.csv", "deep/x.csv"]),
    ],
)
def test_a_pattern_finds_what_a_shell_would_find(here: Path, pattern: str, there: list[str]) -> None:
    found = chosen([pattern.format(here=here)])
    assert sorted(file.name for file in found) == there
    for file in found:
        assert file.size == len(file.path.read_bytes())
        assert file.path.samefile(file.path)


def test_names_and_patterns_go_together_and_each_file_once(here: Path) -> None:
    found = chosen(["*.csv", "a.csv", "data/*.csv", "data"], script="notes.txt")
    assert [file.name for file in found] == [
        "notes.txt", "[1].csv", "a.csv", "b.csv", "data/x.csv", "data/y.json", "data/.cache/w.csv",
        "data/deep/x.csv", "data/deep/deeper/z.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*.cvs", r"no file matches \*\.cvs: in .*/here there are .*, a\.csv, b\.csv, .*`\*\*/` before a name"),
        ("dta/*.csv", r"no file matches dta/\*\.csv: there is no folder dta"),
        ("a.csv/*", r"there is no folder a\.csv"),
        ("__pycache__*", "no file matches"),
        ("empty/*", "empty there is nothing"),
        ("**/r.csv", "no file matches"),
    ],
)
def test_a_pattern_without_a_file_is_an_error(pattern: str, said: str) -> None:
    with pytest.raises(CannotSend, match=said):
        chosen(["a.csv", pattern])


def test_a_pattern_follows_no_link_out_of_where_it_looks(here: Path) -> None:
    (here / "data" / "inside.csv").symlink_to("x.csv")
    (here / "data" / "outside.csv").symlink_to("../a.csv")
    (here / "data" / "loop.csv").symlink_to(".")
    (here / "data" / "broken.csv").symlink_to("nowhere")
    os.mkfifo(here / "data" / "pipe.csv")
    notes: list[str] = []
    assert [file.name for file in chosen(["data/*.csv"], notes.append)] == ["data/inside.csv", "data/x.csv"]
    assert notes == [
        "data/broken.csv: no regular file",
        "data/loop.csv: a link to a folder; give it with -f of its own",
        "data/outside.csv: a link that leads out of data; give it with -f of its own",
        "data/pipe.csv: no regular file",
    ]
    assert [file.name for file in chosen(["data/outside.csv"])] == ["data/outside.csv"]


def test_a_folder_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path) == "data/deep":  # root reads everything
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(CannotSend, match="data/deep: Permission denied"):
        chosen(["data/**/*.csv"])
