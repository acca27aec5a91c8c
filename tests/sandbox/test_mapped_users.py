"""Engines that map users: whoever a job is inside, the daemon can use and delete what it leaves."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from plain_user import PlainUser, missing_plain_user
from podman_lab import IMAGE, TARBALL, PodmanLab, answers, missing_podman, scratch
from sandbox_lab import Lab
from waiting import wait_until

from homie_core.model.errors import SandboxError
from homie_core.model.peer import Holds
from homie_core.sandbox import selftest
from homie_core.sandbox.dialect import DOCKER, PODMAN
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.owner import JOB_UID, user_here, user_inside
from homie_core.sandbox.profile import User
from homie_core.store import workspace

ROOTLESS = {"SecurityOptions": ["name=seccomp", "name=rootless"]}
REMAPPED = {"SecurityOptions": ["name=seccomp", "name=userns"]}
SOURCE = (
    "import json, os\n"
    "print(json.dumps([os.getuid(), open('main.py').read()[:6]]))\n"
    "open('main.py', 'a').write('#')\n"
    "os.mkdir('closed', 0o700)\n"
    "with open('closed/secret', 'w') as file: file.write('1')\n"
    "os.chmod('closed/secret', 0o600)\n"
)
AS_PLAIN_USER = """
import asyncio, json, os, sys
from pathlib import Path
from sandbox_lab import Lab
from homie_core.model.job import Limits
from homie_core.sandbox import selftest
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.podman import Podman
from homie_core.store import workspace
image, url, source = sys.argv[1:]
async def main():
    folder = Path.home() / "lab"
    folder.mkdir()
    backend = Docker(image, url) if url else Podman(image, folder)
    try:
        await backend.prepare(lambda said: None)
        lab = Lab(backend, folder)
        verdict = await selftest.try_out(backend)
        job = await lab.run(source)
        hog = await lab.run("import time; x = b'x' * (200 << 20); time.sleep(20)",
            limits=Limits(cpus=1, memory=64 << 20, timeout=25))
        packages = folder / "packages"
        packages.mkdir()
        (packages / "one.py").write_text("x = 1")
        await backend.compile(packages)
        owners = {path.stat().st_uid for path in packages.rglob("*")}
        for box in folder.glob("*/box"):
            workspace.remove(box)
        print(json.dumps({
            "name": backend.name, "uid": backend.uid, "isolated": verdict.isolated, "why": verdict.why,
            "limits": str(verdict), "err": job.err.decode(), "said": json.loads(job.out),
            "files": sorted(file.name for file in job.collected.files), "skipped": job.collected.skipped,
            "hog": [hog.program is None or hog.program.signal == 9, hog.end.out_of_memory],
            "compiled": [path.name for path in packages.rglob("*.pyc")], "owners": sorted(owners),
            "left": [str(path) for path in folder.glob("*/box")],
        }))
    finally:
        await backend.close()
asyncio.run(main())
"""


def test_whom_a_job_is_inside() -> None:
    for info in ({}, ROOTLESS, REMAPPED, {"Rootless": True}):
        assert user_inside(DOCKER, info, 0, 0) == User(JOB_UID, JOB_UID), "root can give files to anybody"
    assert user_inside(DOCKER, {}, 1000, 100) == User(1000, 100)
    assert user_inside(DOCKER, ROOTLESS, 1000, 100) == User(0, 0), "which is the daemon's user, out here"
    assert user_inside(DOCKER, REMAPPED, 1000, 100) == User(1000, 100, "host")
    assert user_inside(PODMAN, {}, 1000, 100) == User(1000, 100)
    assert user_inside(PODMAN, {"Rootless": True}, 1000, 100) == User(1000, 100, "keep-id")


def test_files_that_the_daemon_could_not_use_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="is the engine on another one"):
        user_here(tmp_path, os.getuid())
    (tmp_path / "owner").touch()
    os.chown(tmp_path / "owner", 101_000, 101_000)
    assert user_here(tmp_path, 0) == User(101_000, 101_000)
    with pytest.raises(SandboxError, match="gives its files to user 101000, and this daemon runs as user 1000"):
        user_here(tmp_path, 1000)
    os.chown(tmp_path / "owner", 0, 0)
    with pytest.raises(SandboxError, match="as this machine's root"):
        user_here(tmp_path, 0)


@pytest.fixture(scope="module")
def plain_user() -> Iterator[PlainUser]:
    if missing := missing_plain_user() or missing_podman():
        pytest.skip(missing)
    with PlainUser() as user:
        yield user


@dataclass
class Remapped:
    """A Docker engine of the tests' own that maps users, in a network of its own."""

    url: str
    first: int
    """The user of this machine that is root inside."""


@pytest.fixture(scope="module")
def remapped(plain_user: PlainUser) -> Iterator[Remapped]:
    if not shutil.which("dockerd"):
        pytest.skip("there is no dockerd")
    with scratch("hd-") as folder:
        socket = folder / "sock"
        command = ["unshare", "--net", "dockerd", f"--userns-remap={plain_user.name}", "--iptables=false"]
        command += [
            "--ip6tables=false",
            "--bridge=none",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
        ]
        command += [f"--pidfile={folder}/pid", f"--host=unix://{socket}"]
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: engine.poll() is not None or answers(socket), "dockerd does not answer", 60)
            assert engine.poll() is None, (folder / "log").read_text()[-2000:]
            socket.chmod(0o666)
            client = docker.APIClient(base_url=f"unix://{socket}", version="auto", timeout=120)
            repository, _, tag = IMAGE.partition(":")
            client.import_image(src=str(TARBALL), repository=repository, tag=tag)
            client.close()
            ranges = dict(line.split(":", 1) for line in Path("/etc/subuid").read_text().splitlines())
            yield Remapped(f"unix://{socket}", int(ranges[plain_user.name].split(":")[0]))
        finally:
            engine.terminate()
            engine.wait(60)


@pytest.mark.docker
async def test_roots_daemon_with_an_engine_that_maps_users(remapped: Remapped, tmp_path: Path) -> None:
    backend = Docker(IMAGE, remapped.url)
    await backend.prepare(lambda said: None)
    assert backend.uid == remapped.first + JOB_UID, "as seen, not as computed"
    verdict = await selftest.try_out(backend)
    assert (verdict.isolated, verdict.why) == (True, "")
    assert set(verdict.holds.values()) == {Holds.EXACT}
    lab = Lab(backend, tmp_path)
    job = await lab.run(SOURCE)
    assert (json.loads(job.out), job.err) == ([JOB_UID, "import"], b"")
    assert job.collected
    assert {file.name for file in job.collected.files} == {"main.py", "closed/secret"}
    [box] = tmp_path.glob("*/box")
    workspace.remove(box)
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "one.py").write_text("x = 1")
    await backend.compile(packages)
    assert [path.name for path in packages.rglob("*.pyc")] == ["one.cpython-311.pyc"]
    assert {path.stat().st_uid for path in (packages, *packages.rglob("*"))} == {0}
    await backend.close()


@pytest.mark.docker
async def test_root_inside_who_is_nobody_outside_can_do_no_more(
    remapped: Remapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a job is where a plain user's Docker has no other number that is him."""
    monkeypatch.setattr("homie_core.sandbox.docker.user_inside", lambda *_: User(0, 0))
    backend = Docker(IMAGE, remapped.url)
    await backend.prepare(lambda said: None)
    assert backend.uid == remapped.first
    verdict = await selftest.try_out(backend)
    assert (verdict.isolated, verdict.why) == (True, "")
    await backend.close()


@pytest.mark.docker
async def test_the_hosts_root_is_never_a_job(base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homie_core.sandbox.docker.user_inside", lambda *_: User(0, 0))
    backend = Docker(base_image)
    with pytest.raises(SandboxError, match="as this machine's root"):
        await backend.prepare(lambda said: None)
    await backend.close()


@pytest.mark.docker
def test_a_plain_users_daemon_with_an_engine_that_maps_users(remapped: Remapped, plain_user: PlainUser) -> None:
    told = as_plain_user(plain_user, remapped.url)
    assert told["name"].startswith("docker ")
    assert told["limits"] == "memory exact, processes exact, cpu exact, disk soft"


@pytest.mark.docker
def test_a_plain_users_own_podman_whose_limits_are_dropped(plain_user: PlainUser) -> None:
    with PodmanLab(plain_user.folder, plain_user) as lab:
        told = as_plain_user(plain_user, "", lab)
    assert told["name"].startswith("rootless podman ")
    version_1 = Path("/sys/fs/cgroup/memory").is_dir()
    assert told["limits"] == (
        "memory soft, processes exact, cpu not, disk soft"
        if version_1
        else "memory exact, processes exact, cpu exact, disk soft"
    )


def as_plain_user(user: PlainUser, url: str, lab: PodmanLab | None = None) -> dict[str, object]:
    told = json.loads(user.python(AS_PLAIN_USER, IMAGE, url, SOURCE, env=lab.env if lab else {}))
    shutil.rmtree(user.folder / "lab")
    assert (told["isolated"], told["why"], told["err"]) == (True, "", "")
    assert told["uid"] == user.uid
    assert told["said"] == [user.uid, "import"]
    assert (told["files"], told["skipped"]) == (["closed/secret", "main.py"], [])
    assert told["hog"] == [True, True]
    assert (told["compiled"], told["owners"], told["left"]) == (["one.cpython-311.pyc"], [user.uid], [])
    return told
