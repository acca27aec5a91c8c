"""A job's disk: exact where this machine allows it, watched where not; nothing of it stays."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from homie_core.model.errors import SandboxError
from homie_core.model.job import FileRef, Limits
from homie_core.sandbox import disk as disk_module
from homie_core.sandbox.disk import Disk, sweep, too_much
from homie_core.store.workspace import collect, lay_out, remove, stamped

UID, GID = (10001, 10001) if os.getuid() == 0 else (os.getuid(), os.getgid())
MIB = 1 << 20
LIMITS = Limits(cpus=1, memory=64 * MIB, timeout=10, disk=20 * MIB, inodes=2000)

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts")

Make = Callable[..., Awaitable[Disk]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Disk] = []

    async def make(limits: Limits = LIMITS) -> Disk:
        made.append(await Disk.make(tmp_path / f"box {len(made)}", limits, UID, GID))
        return made[-1]

    yield make
    for disk in made:
        await disk.remove()
    assert str(tmp_path) not in mounts()


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "_may_mount", lambda: False)


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text().replace("\\040", " ")


def fill(folder: Path, at_most: int) -> int:
    """Write until the disk is full; a second cap keeps a broken disk from filling the machine's."""
    done = 0
    with (folder / "big").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while done < at_most:
            done += file.write(bytes(MIB))
    return done


@needs_root
async def test_bytes_are_capped_exactly_and_apart_from_the_spool(make: Make) -> None:
    disk = await make()
    assert disk.exact
    assert LIMITS.disk <= fill(disk.folder / "work", 100 * MIB) <= 1.2 * LIMITS.disk
    assert fill(disk.folder / "spool", 10 * MIB) == 10 * MIB


@needs_root
async def test_files_are_capped_exactly(make: Make) -> None:
    work = (await make()).folder / "work"
    with contextlib.suppress(OSError):
        for number in range(5000):
            (work / f"{number}").touch()
    assert 1900 < len(list(work.iterdir())) <= 2000


@needs_root
async def test_nothing_runs_as_another_and_no_device_opens_there(make: Make) -> None:
    disk = await make()
    mine = [line for line in mounts().splitlines() if f"{disk.folder}/" in line]
    assert len(mine) == 2
    assert all(" rw,nosuid,nodev,noatime " in line for line in mine)
    assert (disk.folder / "work").stat().st_uid == UID


async def test_files_go_in_and_come_back_across_file_systems(make: Make, tmp_path: Path) -> None:
    disk, received = await make(), tmp_path / "received"
    received.mkdir()
    given = FileRef(name="in/a", digest=hashlib.sha256(b"a").hexdigest(), size=1)
    (received / given.digest).write_bytes(b"a")
    lay_out(disk.folder, (given,), received, UID, GID)
    stamps = stamped(disk.folder, (given,), tmp_path / "stamps")
    work = disk.folder / "work"
    assert [path.name for path in work.iterdir()] == ["in"], "no lost+found"
    for name in ("one", "twin"):
        (work / name).write_bytes(b"result")
    with (work / "sparse").open("wb") as file:
        file.write(b"x" * MIB)
        file.truncate(100 * MIB)
    collected = collect(disk.folder, (given,), stamps, tmp_path / "results")
    assert {file.name: file.size for file in collected.files} == {"one": 6, "twin": 6, "sparse": 100 * MIB}
    assert collected.skipped == ()
    for file in collected.files:
        with (tmp_path / "results" / file.digest).open("rb") as result:
            assert hashlib.file_digest(result, "sha256").hexdigest() == file.digest
    used = sum(path.stat().st_blocks * 512 for path in (tmp_path / "results").iterdir())
    assert used < 2 * MIB, "a hole in a job's file costs its host nothing"


@needs_root
async def test_files_that_do_not_fit_are_refused_in_words(make: Make, tmp_path: Path) -> None:
    disk = await make()
    big = bytes(40 * MIB)
    file = FileRef(name="big", digest=hashlib.sha256(big).hexdigest(), size=len(big))
    (tmp_path / file.digest).write_bytes(big)
    with pytest.raises(SandboxError, match="do not fit onto the disk"):
        lay_out(disk.folder, (file,), tmp_path, UID, GID)


async def test_nothing_stays_even_if_it_is_in_use(make: Make) -> None:
    disk = await make()
    lay_out(disk.folder, (), disk.folder, UID, GID)
    with (disk.folder / "work/open").open("wb") as file:
        file.write(b"x")
        await disk.remove()
        assert str(disk.folder) not in mounts()
        await disk.remove()
        remove(disk.folder)
    assert not disk.folder.exists()


@needs_root
async def test_a_cancelled_making_leaves_nothing(tmp_path: Path) -> None:
    making = asyncio.create_task(Disk.make(tmp_path / "box", LIMITS, UID, GID))
    while not (tmp_path / "box/work.img").exists():
        await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert str(tmp_path) not in mounts()
    assert list((tmp_path / "box").glob("*.img")) == []


@needs_root
@pytest.mark.parametrize("found", [False, True], ids=["made", "found again"])
async def test_what_the_disk_below_had_no_room_for_is_noticed(
    small: Path, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "LOOK", 0.01)
    disk = await Disk.make(small / "box", LIMITS, UID, GID)
    try:
        await disk.settle()
        watching = asyncio.create_task(disk.watch())
        write(disk.folder / "work/before", MIB)
        filler = write(small / "filler", 400 * MIB)
        while not disk._was_short:
            await asyncio.sleep(0.01)
        write(disk.folder / "spool/said", 80 * MIB)  # it has its room
        if found:
            disk = Disk.find(disk.folder, LIMITS)
        with pytest.raises(OSError, match="No space left"):
            await disk.settle()
        filler.unlink()
        await disk.settle()
        write(small / "filler", 400 * MIB)
        with pytest.raises(OSError, match="No space left"):
            write(disk.folder / "work/lost", 8 * MIB)
        filler.unlink()
        if found:
            disk = Disk.find(disk.folder, LIMITS)
        with pytest.raises(SandboxError, match="not all that it wrote is there"):
            await disk.settle()
        watching.cancel()
    finally:
        await disk.remove()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one job, and little more."""
    (tmp_path / "small.img").touch()
    os.truncate(tmp_path / "small.img", 200 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", tmp_path / "small.img"], check=True)
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-o", "loop", tmp_path / "small.img", tmp_path / "small"], check=True)
    yield tmp_path / "small"
    subprocess.run(["umount", tmp_path / "small"], check=True)


def write(path: Path, size: int) -> Path:
    """Write so many bytes, or what fits, down to the disk."""
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            for _ in range(size // MIB):
                file.write(b"x" * MIB)
            while size >= 400 * MIB:
                file.write(b"x" * 4096)
        os.fsync(file.fileno())
    return path


@needs_root
async def test_what_an_earlier_life_left_is_unmounted_and_nothing_else(make: Make, tmp_path: Path) -> None:
    mine, other = await make(), await make()
    assert await sweep(mine.folder) == 2
    assert str(mine.folder) not in mounts()
    assert str(other.folder) in mounts()
    assert await sweep(tmp_path) == 2


@needs_root
@pytest.mark.parametrize("missing", ["mkfs.ext4", "mount"])
async def test_without_the_means_it_is_a_plain_folder(
    make: Make, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = subprocess.run
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **options: real(["false"] if command[0] == missing else command, **options),
    )
    disk = await make()
    assert not disk.exact
    assert list(disk.folder.glob("*.img")) == []


@pytest.mark.usefixtures("no_root")
async def test_a_plain_folder_is_watched(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "PERIOD", 0.001)
    disk = await make()
    lay_out(disk.folder, (), disk.folder, UID, GID)
    watching = asyncio.create_task(disk.watch())
    fill(disk.folder / "work", 10 * MIB)
    assert too_much(disk.folder, LIMITS) == ""
    assert not watching.done()
    fill(disk.folder / "spool", 20 * MIB)
    assert await asyncio.wait_for(watching, 5) == "it wrote more than 20 MB to disk"


@pytest.mark.usefixtures("no_root")
async def test_the_watcher_is_not_fooled(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    fill(outside, 30 * MIB)
    disk = await make()
    (disk.folder / "link").symlink_to(outside)
    (disk.folder / "file").write_bytes(bytes(9 * MIB))
    for number in range(3):
        os.link(disk.folder / "file", disk.folder / f"hard{number}")
    with (disk.folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert too_much(disk.folder, LIMITS) == "", "links and holes take no room"
    assert too_much(disk.folder, Limits(cpus=1, memory=0, timeout=1, inodes=5)) == "it made more than 5 files"
    deep = disk.folder
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    assert too_much(disk.folder, LIMITS) == "it made folders 200 levels deep"
    monkeypatch.setattr(disk_module, "RESERVE", shutil.disk_usage(tmp_path).total)
    assert too_much(disk.folder, LIMITS).startswith("its host has less than ")


@needs_root
async def test_an_exact_disk_needs_no_watching(make: Make) -> None:
    disk = await make()
    fill(disk.folder / "work", 100 * MIB)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(disk.watch(), 0.01)
