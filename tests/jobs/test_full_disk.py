"""The disk of a host's home is full: what runs goes on, new jobs are refused; with room again all is complete."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ear import Ear, cell, text
from pair import Pair
from waiting import wait_until

from homie_core.client import Client, new_job_id, request_for_session
from homie_core.client.channel import Channel
from homie_core.model.control import Unreachable
from homie_core.model.event import Ended
from homie_core.model.job import How
from homie_core.model.session import Finish

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="only root mounts"),
]

GB = 1 << 30

PRINTS = """
import hashlib, os, sys, time
digest, lines = hashlib.sha256(), 0
progress = os.open("progress", os.O_RDWR | os.O_CREAT)
os.write(progress, b"0" * 20)
os.fsync(progress)  # from now on it needs no more of the disk
while not os.path.exists("enough"):
    line = f"{lines} ".encode() + b"x" * 1000 + b"\\n"
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
    digest.update(line)
    lines += 1
    os.pwrite(progress, b"%020d" % lines, 0)
    time.sleep(0.0005)
open("digest", "w").write(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def pair(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A desk whose home is on a disk of its own."""
    image = tmp_path_factory.mktemp("disk") / "disk.img"
    with image.open("wb") as file:
        file.truncate(4 * GB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    pair = Pair(desk={"container_disk_limit": "64m", "container_cpu_limit": "0.5", "sandbox_pool": "0"})
    home = pair.desk.home
    home.mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "loop", image, home], check=True)
    try:
        with pair:
            yield pair
    finally:
        subprocess.run(["umount", "--lazy", home], check=False, capture_output=True)


@contextlib.contextmanager
def full(home: Path) -> Iterator[None]:
    """Let nothing fit onto this disk meanwhile."""
    filler = home / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(home).free - (8 << 20))
            file.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        yield
    finally:
        filler.unlink()


def test_a_job_prints_on_while_new_ones_are_refused(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    (tmp_path / "one.py").write_text("print(1)")
    with (tmp_path / "out").open("wb") as out:
        job = pair.laptop.popen(
            "run", "-n", "desk", "-o", "results", "prints.py", cwd=tmp_path, stdout=out, stderr=subprocess.PIPE
        )
    with job, contextlib.ExitStack() as stack:
        stack.callback(job.kill)
        wait_until(lambda: any(pair.desk.home.glob("jobs/*/box/work/progress")), "it does not begin", 40)
        (work,) = pair.desk.home.glob("jobs/*/box/work")
        wait_until(lambda: lines(work) > 100, "it prints nothing")
        with full(pair.desk.home):
            before = lines(work)
            refused = pair.laptop.homie("run", "-n", "desk", "one.py", cwd=tmp_path, check=False)
            assert refused.returncode == 1
            assert re.search("its disk is full; try another peer|of disk and has .* left; try", refused.stderr)
            wait_until(lambda: lines(work) > before + 5000, "it does not print on", 60)
            assert job.poll() is None
            forget_what_is_written(work.with_name("spool"))
        (work / "enough").touch()
        _, err = job.communicate(timeout=60)
    assert job.returncode == 0, err
    printed = (tmp_path / "out").read_bytes()
    assert printed.count(b"\n") > before + 5000
    assert hashlib.sha256(printed).hexdigest() == (tmp_path / "results/digest").read_text()
    laptop = Client(pair.laptop.home)
    wait_until(lambda: all(peer.capacity.free_jobs for peer in laptop.peers()), "desk sees no room again")
    assert pair.laptop.homie("run", "-n", "desk", "one.py", cwd=tmp_path).stdout == "1\n"


def forget_what_is_written(folder: Path) -> None:
    """Let the kernel write its files to disk and keep them in memory no more, as it does when it needs memory."""
    for path in folder.glob("[0-9]*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def lines(work: Path) -> int:
    """Return how many lines the job says that it has printed."""
    return int((work / "progress").read_bytes() or 0)


def test_a_session_hears_what_it_is_told_when_there_is_room(pair: Pair, tmp_path: Path) -> None:
    request = request_for_session("session", results=tmp_path / "results", job=new_job_id())
    ear = Ear(Channel(pair.laptop.home, request))
    ear.channel.tell(cell("known = 1"))
    ear.cell_end()
    with full(pair.desk.home):
        long = "#" * (64 << 10)  # more than the last block of a file may have left
        ear.channel.tell(cell(f"known += 1; print('known', known) {long}", "second"))
        told, _ = ear.until(Unreachable)
        assert "its disk is full; what you say waits until its owner has made room" in told.why
    assert text(ear.cell_end()) == "known 2\n"
    ear.channel.tell(cell("print('known', known)", "third"))
    assert text(ear.cell_end()) == "known 2\n"
    ear.channel.tell(Finish())
    ended, _ = ear.until(Ended)
    assert ended.outcome.how is How.EXITED
