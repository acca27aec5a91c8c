"""A disk that fills up just when a job begins: it waits for room, is stopped meanwhile, or leaves nothing."""

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homie_core.daemon import hosting as hosting_module
from homie_core.daemon import running as running_module
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.running import Running
from homie_core.engine.admission import Admission
from homie_core.engine.lent import Lent
from homie_core.model.errors import CannotWrite
from homie_core.model.job import Ask, FileRef, How, JobSpec, Kind, Limits
from homie_core.model.names import Digest, FileName, JobId, PeerId
from homie_core.sandbox.base import Box
from homie_core.store import workspace
from homie_core.store.journal import Journal

FILE = FileRef(name=FileName("a.py"), digest=Digest("0" * 64), size=1)
LIMITS = Limits(cpus=1, memory=1 << 30, timeout=60)
ME = PeerId("a" * 64)
JOB = JobId("0" * 12)


class Full:
    """Writes down what a job begins in, once there is room."""

    def __init__(self, times: int) -> None:
        self.times, self.written = times, list[Any]()

    def write(self, what: Any) -> None:
        if self.times:
            self.times -= 1
            raise CannotWrite("the disk is full")
        self.written.append(what)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "AGAIN", 0.001)


def about_to_begin(folder: Path, full: Full) -> tuple[Running, Any]:
    """Return a run whose files are here, and what it is to run in."""
    (folder / "received").mkdir()
    (folder / "received" / FILE.digest).write_bytes(b"1")
    backend = SimpleNamespace(uid=os.getuid(), gid=os.getgid(), kind="none")
    workshop: Any = SimpleNamespace(backend=backend)
    spec = JobSpec(id=JOB, kind=Kind.SCRIPT, entry=FILE.name, files=(FILE,))
    running = Running(workshop, None, ME, spec, LIMITS, folder, full.write)
    return running, SimpleNamespace(box=Box(ME, JOB, LIMITS, folder / "box", ()))


async def test_a_job_begins_when_that_can_be_written_down(tmp_path: Path) -> None:
    full = Full(3)
    running, ready = about_to_begin(tmp_path, full)
    await running._lay_out(ready)
    (begun,) = full.written
    assert begun.folder == str(tmp_path / "box")
    assert (tmp_path / "box/work/a.py").read_bytes() == b"1"


async def test_a_job_that_is_stopped_meanwhile_waits_no_longer(tmp_path: Path) -> None:
    full = Full(1_000_000)
    running, ready = about_to_begin(tmp_path, full)
    waiting = asyncio.create_task(running._lay_out(ready))
    while full.times == 1_000_000:
        await asyncio.sleep(0)
    running.stop(How.STOPPED)
    with pytest.raises(CannotWrite):
        await waiting
    assert full.written == []


def test_stamps_that_cannot_be_written_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.py").write_bytes(b"1")

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(CannotWrite, match="stamps is full; make room there"):
            workspace.stamped(tmp_path, (FILE,), tmp_path / "stamps")
    stamps = workspace.stamped(tmp_path, (FILE,), tmp_path / "stamps")
    assert stamps == workspace.stamped(tmp_path, (FILE,), tmp_path / "stamps")


def test_a_session_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise CannotWrite(f"{path} is full")

    monkeypatch.setattr(hosting_module, "Inputs", full)
    lent = Lent(cpus=4, memory=8 << 30, job_cpus=2, job_memory=4 << 30, job_timeout=600)
    admission, journal = Admission("desk", lent), Journal(None)
    hosting = Hosting(ME, tmp_path / "jobs", admission, journal, 1 << 30)
    spec = JobSpec(id=JOB, kind=Kind.SESSION, entry=None, files=())
    limits = admission.offer(JOB, ME, Ask(), now=0.0)
    assert isinstance(limits, Limits)
    with pytest.raises(CannotWrite):
        hosting.take(ME, spec, limits)
    assert (hosting.known(JOB), journal.hosted(), list((tmp_path / "jobs").iterdir())) == (None, [], [])
    assert admission.receiving == {}
    journal.close()
