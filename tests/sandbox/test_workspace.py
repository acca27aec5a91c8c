"""A job's files on its host: nothing a job leaves behind may reach outside, block, or overflow."""

import hashlib
import os
import socket
import stat
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from homie_core.model.job import MAX_FILES, FileRef
from homie_core.store import workspace
from homie_core.store.workspace import Stamps, collect, lay_out, remove, stamped

UID, GID = (10001, 10001) if os.getuid() == 0 else (os.getuid(), os.getgid())


def ref(name: str, content: bytes, executable: bool = False) -> FileRef:
    digest = hashlib.sha256(content).hexdigest()
    return FileRef(name=name, digest=digest, size=len(content), executable=executable)


class Job:
    """A laid-out job in a folder."""

    def __init__(self, tmp_path: Path, gone: bool = True, **given: bytes) -> None:
        self.folder = tmp_path / "box"
        self.received = tmp_path / "received"
        self.received.mkdir()
        self.into = tmp_path / "results"
        self.given = {name.replace("__", "/"): content for name, content in given.items()}
        self.files = tuple(ref(name, content, name == "run") for name, content in self.given.items())
        for content in self.given.values():
            (self.received / hashlib.sha256(content).hexdigest()).write_bytes(content)
        lay_out(self.folder, self.files, self.received, UID, GID)
        if gone:
            remove(self.received)
        self.stamps: Stamps = stamped(self.folder, self.files, tmp_path / "stamps")
        self.work = self.folder / "work"

    def collect(self, **bounds: float) -> tuple[dict[str, bytes], tuple[str, ...]]:
        collected = collect(self.folder, self.files, self.stamps, self.into, **bounds)  # type: ignore[arg-type]
        found = {file.name: (self.into / file.digest).read_bytes() for file in collected.files}
        for file in collected.files:
            assert ref(file.name, found[file.name], file.executable) == file
        return found, collected.skipped


def test_files_are_laid_out_with_modes_and_owner(tmp_path: Path) -> None:
    job = Job(tmp_path, run=b"#!", data__deep__a=b"same", b=b"same")
    assert {path: (job.work / path).read_bytes() for path in job.given} == job.given
    assert stat.S_IMODE((job.work / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((job.work / "b").stat().st_mode) == 0o644
    assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
    for path in (job.work, job.work / "data/deep", job.work / "b", job.folder / "spool"):
        assert (path.stat().st_uid, path.stat().st_gid) == (UID, GID)
    assert (job.work / "b").stat().st_ino != (job.work / "data/deep/a").stat().st_ino


def test_what_a_daemon_did_not_live_to_begin_is_laid_out_again(tmp_path: Path) -> None:
    job = Job(tmp_path, gone=False, a=b"one", b=b"one")
    again = tmp_path / "again"
    lay_out(again, job.files, job.received, UID, GID)
    assert [(again / "work" / name).read_bytes() for name in "ab"] == [b"one", b"one"]


def test_collected_again_by_the_next_daemon_it_is_the_same(tmp_path: Path) -> None:
    job = Job(tmp_path, a=b"old", c=b"same")
    (job.work / "a").write_bytes(b"new")
    (job.work / "b").write_bytes(b"new")
    (job.into).mkdir()
    (job.into / f"{ref('a', b'new').digest}.part").write_bytes(b"n")  # cut by its death
    job.stamps = stamped(job.folder, job.files, tmp_path / "stamps")
    first = job.collect()
    assert first == ({"a": b"new", "b": b"new"}, ())
    assert job.collect() == first


def test_only_new_and_changed_files_come_back(tmp_path: Path) -> None:
    job = Job(tmp_path, same=b"1", changed=b"2", rewritten=b"3", removed=b"4", run=b"5")
    (job.work / "changed").write_bytes(b"22")
    (job.work / "rewritten").write_bytes(b"3")
    (job.work / "removed").unlink()
    (job.work / "run").chmod(0o644)
    (job.work / "out").mkdir()
    (job.work / "out/new.bin").write_bytes(b"new")
    (job.work / "out/twin").write_bytes(b"new")
    (job.work / "empty").touch()
    found, skipped = job.collect()
    assert found == {"changed": b"22", "run": b"5", "out/new.bin": b"new", "out/twin": b"new", "empty": b""}
    assert skipped == ()
    assert {stat.S_IMODE(path.stat().st_mode) for path in job.into.iterdir()} == {0o600}
    assert {path.stat().st_uid for path in job.into.iterdir()} == {os.getuid()}


def test_a_file_of_the_same_size_and_time_is_still_noticed(tmp_path: Path) -> None:
    job = Job(tmp_path, a=b"old")
    before = (job.work / "a").stat()
    (job.work / "a").write_bytes(b"new")
    os.utime(job.work / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert job.collect()[0] == {"a": b"new"}


def test_links_pipes_sockets_and_devices_stay(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the group's secret")
    job = Job(tmp_path, a=b"a")
    (job.work / "link").symlink_to(secret)
    (job.work / "folder").symlink_to(tmp_path)
    (job.work / "a").unlink()
    (job.work / "a").symlink_to(secret)
    os.mkfifo(job.work / "pipe")
    here = Path.cwd()
    os.chdir(job.work)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.chdir(here)
    if os.getuid() == 0:
        os.mknod(job.work / "device", stat.S_IFCHR, os.makedev(1, 5))
    else:
        (job.work / "device").symlink_to("/dev/zero")
    found, skipped = job.collect()
    assert found == {}
    assert sorted(line.split(":")[0] for line in skipped) == ["a", "device", "folder", "link", "pipe", "socket"]
    assert "link: not taken: a link" in skipped
    assert "pipe: not taken: a named pipe" in skipped


def test_a_work_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    job = Job(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"mine")
    job.work.rmdir()
    job.work.symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        job.collect()
    assert (outside / "precious").read_bytes() == b"mine"


def test_hard_links_come_back_as_files(tmp_path: Path) -> None:
    job = Job(tmp_path, a=b"a")
    (job.work / "one").write_bytes(b"both")
    os.link(job.work / "one", job.work / "two")
    assert job.collect()[0] == {"one": b"both", "two": b"both"}


def test_names_that_could_harm_are_left_behind(tmp_path: Path) -> None:
    job = Job(tmp_path)
    names = [
        b"new\nline",
        b"\x1b[31mred",
        b"not-\xff-utf8",
        b"back\\slash",
        "rtl\u202egnp.exe".encode(),
        b"C:drive",
    ]
    for name in names:
        os.close(os.open(os.fsencode(job.work) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    found, skipped = job.collect()
    assert found == {}
    assert len(skipped) == len(names)
    assert all(line.isascii() and line.isprintable() and line.endswith(": unsafe name") for line in skipped)


def test_by_products_are_ignored(tmp_path: Path) -> None:
    job = Job(tmp_path)
    for name in ("__pycache__", ".ipynb_checkpoints", ".cache", "out/__pycache__"):
        (job.work / name).mkdir(parents=True)
        (job.work / name / "x").write_bytes(b"x")
    assert job.collect() == ({}, ())


@pytest.fixture
def doomed(short_tmp: Path) -> Iterator[Path]:
    """A folder for trees that Python's own rmtree cannot remove."""
    folder = short_tmp / "doomed"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_deep_tree_is_cut_and_can_be_removed(doomed: Path) -> None:
    job = Job(doomed)
    here = Path.cwd()
    os.chdir(job.work)
    try:
        for level in range(2000):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
            if level in (0, 1999):
                Path("f").write_bytes(b"f")
    finally:
        os.chdir(here)
    found, skipped = job.collect()
    assert found == {"d" * 200 + "/f": b"f"}
    assert len(skipped) == 1
    assert skipped[0].endswith("...: nested deeper than 32 levels")
    assert len(skipped[0]) <= 200
    remove(job.folder)
    assert not job.folder.exists()


def test_too_many_files_and_too_many_complaints_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_FILES", 50)
    assert MAX_FILES == 10_000
    job = Job(tmp_path)
    for number in range(60):
        (job.work / f"f{number}").write_bytes(b"%d" % number)
    found, skipped = job.collect()
    assert len(found) == 50
    assert skipped == ("the job left more than 50 files; the rest was left behind",)
    for number in range(300):
        (job.work / f"l{number}").symlink_to("x")
    monkeypatch.setattr(workspace, "MAX_FILES", 5000)
    _, skipped = job.collect()
    assert len(skipped) == 100
    assert skipped[-1] == "and 201 more"


def test_too_many_bytes_and_too_much_time_are_cut(tmp_path: Path) -> None:
    job = Job(tmp_path)
    with (job.work / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (job.work / "small").write_bytes(b"small")
    found, skipped = job.collect()
    assert found == {"small": b"small"}
    assert skipped == ("sparse: more bytes than one job may return",)
    assert job.collect(max_seconds=-1)[1] == ("taking in the job's files took too long; the rest was left behind",)


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if what was looked at is not what is opened."""
    job = Job(tmp_path)
    (job.work / "a").write_bytes(b"a")
    real = os.open

    def swapped(path: str, flags: int, *args: int, **options: int) -> int:
        if path == "a":
            (job.work / "a").unlink()
            os.mkfifo(job.work / "a")
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", swapped)
    said: list[tuple[str, ...]] = []
    thread = threading.Thread(target=lambda: said.append(job.collect()[1]), daemon=True)
    thread.start()
    thread.join(5)
    assert said == [("a: not taken: a named pipe",)]


def test_removal_follows_no_link_and_minds_no_mode(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    job = Job(tmp_path)
    (job.work / "closed").mkdir()
    (job.work / "closed/inner").mkdir()
    (job.work / "closed/inner/file").touch(mode=0o000)
    (job.work / "closed/to-outside").symlink_to(outside)
    (job.work / "closed/inner").chmod(0o000)
    (job.work / "closed").chmod(0o000)
    os.mkfifo(job.work / "pipe")
    remove(job.folder)
    assert not job.folder.exists()
    assert (outside / "precious").exists()
    remove(job.folder)


def test_an_ordinary_user_can_do_all_this_too(short_tmp: Path) -> None:
    short_tmp.chmod(0o711)
    home = short_tmp / "home"
    home.mkdir()
    if os.getuid() != 0:
        return _as_ordinary_user(home)
    os.chown(home, 10002, 10002)
    with warnings.catch_warnings(action="ignore"):  # of threads, which this child does not use
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgid(10002)
            os.setuid(10002)
            _as_ordinary_user(home)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return None


def _as_ordinary_user(home: Path) -> None:
    content = b"print(1)"
    (home / "received").mkdir()
    file = ref("main.py", content)
    (home / "received" / file.digest).write_bytes(content)
    lay_out(home / "box", (file,), home / "received", os.getuid(), os.getgid())
    stamps = stamped(home / "box", (file,), home / "stamps")
    work = home / "box/work"
    (work / "closed").mkdir()
    (work / "closed/x").touch()
    (work / "closed").chmod(0o000)
    (work / "new").write_bytes(b"new")
    collected = collect(home / "box", (file,), stamps, home / "results")
    assert [taken.name for taken in collected.files] == ["new"]
    assert collected.skipped == ("closed: cannot be read (Permission denied)",)
    remove(home / "box")
    assert not (home / "box").exists()
