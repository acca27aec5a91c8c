"""The engine and its image, without any: what a person reads, what a profile says, how a stream is cut."""

import asyncio
import json
import os
import socket
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from sandbox_lab import LIMITS

from homie_core.model.errors import SandboxError
from homie_core.model.job import FileRef, JobSpec, Kind, Limits
from homie_core.sandbox import attached, docker_sandbox, engine, image, program
from homie_core.sandbox.base import Box, Interpreter
from homie_core.sandbox.dialect import DOCKER, PODMAN, Dialect, dialect_of
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.image import Probed, fit, limited, refuse_runtime, refuse_unfit
from homie_core.sandbox.profile import User, confinement, etc_files, job_profile
from homie_core.sandbox.pull import percents

BOX = Box(node="a" * 64, job="b" * 12, limits=LIMITS, folder=Path("/box"), environments=(Path("/env"),))
USER = User(10001, 10001)


async def trouble(url: str | None) -> str:
    with pytest.raises(SandboxError) as caught:
        await Docker("image", url).prepare(print)
    return str(caught.value)


async def test_no_engine_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no Docker engine on this machine: install" in await trouble(f"unix://{tmp_path}/none")


async def test_engine_installed_but_not_running(monkeypatch: pytest.MonkeyPatch, short_tmp: Path) -> None:
    (short_tmp / "docker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(short_tmp))
    assert "sudo systemctl start docker" in await trouble(f"unix://{short_tmp}/none")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{short_tmp}/dead")
    (short_tmp / "docker").unlink()
    assert "sudo systemctl start docker" in await trouble(f"unix://{short_tmp}/dead")


async def test_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine.Engine, "_open", refuse)
    assert "sudo usermod -aG docker $USER" in await trouble(None)


@pytest.mark.parametrize("last", [None, engine.Gone("no such container")])
async def test_a_container_that_cannot_be_removed_yet_is_removed_later(
    monkeypatch: pytest.MonkeyPatch, last: Exception | None
) -> None:
    """Podman says so of one that is just being cleaned up; without asking again it would stay for ever."""
    monkeypatch.setattr(docker_sandbox, "LOOK_EVERY", 0.0)
    busy = engine.NoContainer("container state improper")
    remove = AsyncMock(side_effect=[busy, busy, last])
    await docker_sandbox.DockerSandbox(Mock(call=remove), "c").remove()
    assert remove.await_count == 3


async def test_a_container_that_is_never_removed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_sandbox, "LOOK_EVERY", 0.0)
    remove = AsyncMock(side_effect=engine.NoContainer("container state improper"))
    with pytest.raises(SandboxError, match="improper"):
        await docker_sandbox.DockerSandbox(Mock(call=remove), "c").remove()
    assert remove.await_count == docker_sandbox.REMOVALS


async def test_an_address_of_another_kind() -> None:
    assert "not ssh://friend" in await trouble("ssh://friend")


async def test_something_else_behind_the_socket(short_tmp: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, f"{short_tmp}/mail")
    async with server:
        assert "does not answer as it should" in await trouble(f"unix://{short_tmp}/mail")


def test_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert engine._usual_url() == "tcp://127.0.0.1:1"


def probed(**changes: object) -> Probed:
    said = {
        "version": (3, 12),
        "machine": "x86_64",
        "libc": "glibc 2.41",
        "confined": ("1", "2", "0" * 16),
        "memory": str(image.PROBE_MEMORY),
    }
    return Probed(**{**said, **changes})


def test_a_fit_image() -> None:
    assert fit(probed()) == Interpreter(version="3.12", machine="x86_64", glibc="2.41")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": (3, 10)}, "its Python is 3.10"),
        ({"libc": ""}, "no glibc"),
        ({"confined": ("0", "2", "0" * 16)}, "privileges"),
        ({"confined": ("1", "0", "0" * 16)}, "privileges"),
        ({"confined": ("1", "2", "00000000a80425fb")}, "privileges"),
    ],
)
def test_an_image_that_is_not_fit(changes: dict[str, object], why: str) -> None:
    with pytest.raises(SandboxError, match=why):
        fit(probed(**changes))


def test_an_engine_that_is_not_fit() -> None:
    able = {"MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True, "SecurityOptions": ["name=seccomp"]}
    refuse_unfit(able)
    with pytest.raises(SandboxError, match=r"cannot limit .*\(MemoryLimit\)"):
        refuse_unfit({**able, "MemoryLimit": False})
    refuse_unfit({**able, "MemoryLimit": False, "SecurityOptions": ["name=rootless"]})


def test_an_engine_that_does_not_limit_memory_is_noticed() -> None:
    assert limited(probed())
    assert not limited(probed(memory="max"))


def test_a_runtime_that_the_engine_does_not_know() -> None:
    info = {"Runtimes": {"runc": {}, "crun": {}}, "DefaultRuntime": "crun"}
    for runtime in ("", "runc", "crun", "io.containerd.kata.v2"):
        refuse_runtime(runtime, info, DOCKER)
    with pytest.raises(
        SandboxError, match=r"sandbox_runtime is runsc, and docker runs .* with crun or runc: install"
    ):
        refuse_runtime("runsc", info, DOCKER)
    refuse_runtime("crun", info, PODMAN)
    with pytest.raises(SandboxError, match="sandbox_runtime is runc, and podman runs containers with crun"):
        refuse_runtime("runc", info, PODMAN)


@pytest.mark.parametrize(
    ("parts", "dialect"), [(["Engine", "containerd"], DOCKER), (["Podman Engine", "Conmon"], PODMAN), ([], DOCKER)]
)
def test_an_engine_is_told_by_what_it_says(parts: list[str], dialect: Dialect) -> None:
    assert dialect_of({"Components": [{"Name": part} for part in parts]}) is dialect
    assert dialect_of({"Components": None}) is DOCKER


def test_what_podman_is_asked_otherwise() -> None:
    limits = Limits(cpus=1, memory=1 << 30, timeout=1, tmp=99, pids=7)
    made = confinement("image", USER, limits, "/seccomp.json", PODMAN)
    assert made.host["tmpfs"] == {
        "/tmp": "rw,nosuid,nodev,exec,size=99,mode=1777", "/run": "ro,size=4k", "/var/tmp": "ro,size=4k"
    }  # fmt: skip
    assert "healthcheck" not in made.container
    assert made.host["security_opt"] == ["no-new-privileges:true", "seccomp=/seccomp.json"]
    assert {"Name": "nproc", "Soft": 16384, "Hard": 16384} in made.host["ulimits"]
    kept = confinement("image", User(1000, 1000, "keep-id"), limits, "/seccomp.json", PODMAN)
    assert {"Name": "nproc", "Soft": 7, "Hard": 7} in kept.host["ulimits"], "its user namespace is its own"
    profile = job_profile(BOX, "image", USER, Path("/site"), "", PODMAN)
    assert json.loads(profile.container["entrypoint"][-1]) == {"tell_memory": True, "pipes": "/homie/pipes"}
    assert profile.container["stdin_open"] is False
    mounts = {mount["Target"]: (mount["Source"], mount["ReadOnly"]) for mount in profile.host["mounts"]}
    assert {name: mounts[f"/homie/pipes/{name}"] for name in ("in", "out", "errors")} == {
        "in": ("/box/in", True), "out": ("/box/out", True), "errors": ("/box/errors", True)
    }  # fmt: skip
    asked = job_profile(BOX, "image", USER, Path("/site"), "", limited=False).container["entrypoint"]
    assert json.loads(asked[-1]) == {"rlimits": {"nofile": 1024, "fsize": 64 << 30, "core": 0}}


def test_progress_of_a_pull_only_grows() -> None:
    def layer(name: str, current: int, total: int) -> dict[str, object]:
        return {"status": "Downloading", "id": name, "progressDetail": {"current": current, "total": total}}

    lines = [
        {"status": "Pulling from library/python"},
        layer("a", 10, 100),
        layer("a", 10, 100),
        layer("b", 0, 900),
        layer("a", 100, 100),
        {"status": "Extracting", "id": "a", "progressDetail": {"current": 1, "total": 100}},
        layer("b", 900, 900),
    ]
    assert list(percents(iter(lines))) == [10, 100]
    with pytest.raises(SandboxError, match="no space left"):
        list(percents(iter([{"error": "no space left"}])))


@pytest.mark.docker
async def test_an_image_that_nobody_has(base_image: str) -> None:
    said: list[str] = []
    backend = Docker("localhost:1/no/such:image")
    with pytest.raises(SandboxError, match=r"cannot be pulled \(.*localhost:1.*\)\. Is this machine online"):
        await backend.prepare(said.append)
    await asyncio.sleep(0)
    assert said == ["pulling localhost:1/no/such:image"]
    await backend.close()


@pytest.mark.docker
async def test_an_image_without_python(base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homie_core.sandbox.docker.PROBE", "import sys; sys.exit('no module named json')")
    backend = Docker(base_image)
    with pytest.raises(
        SandboxError, match=r"no module named json; set container_base_image to .*python:3.12-slim"
    ):
        await backend.prepare(lambda _: None)
    await backend.close()


def test_profile_of_a_job() -> None:
    profile = job_profile(BOX, "image", USER, Path("/site"), "{}")
    assert profile.container == {
        "image": "image",
        "command": [],
        "entrypoint": ["python3", "-I", "-S", "/homie/runner/homie_core/runner/__main__.py", "/spool"],
        "working_dir": "/work",
        "user": "10001:10001",
        "hostname": "homie",
        "network_disabled": True,
        "stdin_open": True,
        "detach": True,
        "stop_timeout": 0,
        "healthcheck": {"test": ["NONE"]},
        "use_config_proxy": False,
        "labels": {"homie.node": "a" * 64, "homie.job": "b" * 12},
    }
    mounts = {mount["Target"]: (mount["Source"], mount["ReadOnly"]) for mount in profile.host["mounts"]}
    assert mounts == {
        "/work": ("/box/work", False),
        "/spool": ("/box/spool", False),
        "/homie/runner/homie_core/runner": ("/site/homie_core/runner", True),
        "/homie/env/0": ("/env", True),
        "/etc/passwd": ("/box/etc/passwd", True),
        "/etc/group": ("/box/etc/group", True),
        "/etc/hosts": ("/box/etc/hosts", True),
    }
    assert profile.host["device_requests"] == []
    assert not {"privileged", "devices", "cap_add", "binds", "pid_mode", "port_bindings"} & set(profile.host)


def test_every_container_is_confined() -> None:
    host = confinement("image", USER, Limits(cpus=1.5, memory=1 << 30, timeout=1, pids=7, tmp=99), "{}").host
    assert host["tmpfs"] == {"/tmp": "rw,nosuid,nodev,exec,size=99,mode=1777,nr_inodes=10k,uid=10001,gid=10001"}
    assert (host["network_mode"], host["ipc_mode"], host["read_only"]) == ("none", "private", True)
    assert (host["cap_drop"], host["security_opt"]) == (["ALL"], ["no-new-privileges:true", "seccomp={}"])
    assert (host["mem_limit"], host["memswap_limit"], host["shm_size"]) == (1 << 30, 1 << 30, 1 << 29)
    assert (host["cpu_quota"], host["cpu_period"], host["pids_limit"]) == (150_000, 100_000, 7)
    assert host["log_config"] == {"type": "none", "config": {}}
    assert host["oom_score_adj"] == 1000


def test_cards_are_asked_for_by_id() -> None:
    limits = Limits(cpus=1, memory=1 << 30, timeout=1, gpus=("GPU-1", "GPU-2"))
    box = Box(node="a" * 64, job="b" * 12, limits=limits, folder=Path("/box"))
    requests = job_profile(box, "image", USER, Path("/site"), "{}").host["device_requests"]
    assert requests == [{"device_ids": ["GPU-1", "GPU-2"], "capabilities": [["gpu"]]}]


def test_etc_names_the_user() -> None:
    assert "job:x:10001:10001:job:/tmp:/bin/sh\n" in etc_files(USER)["passwd"]


def test_seccomp_profile_refuses_what_it_does_not_name() -> None:
    profile = json.loads((Path(program.__file__).parent / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    named = [name for rule in profile["syscalls"] for name in rule["names"]]
    refused = {"io_uring_setup", "userfaultfd", "bpf", "keyctl", "unshare", "setns", "mount", "ptrace"}
    assert not refused & set(named)
    assert all(rule["action"] == "SCMP_ACT_ALLOW" for rule in profile["syscalls"] if "clone3" not in rule["names"])


def test_program_of_script_and_session() -> None:
    file = FileRef(name="a/b.py", digest="0" * 64, size=1)
    spec = JobSpec(id="b" * 12, kind=Kind.SCRIPT, entry="a/b.py", files=(file,), args=("-x", "1"))
    script = program.program(spec, Limits(cpus=2.5, memory=1, timeout=9))
    assert script.argv == ("python3", "/work/a/b.py", "-x", "1")
    assert (script.timeout, script.session, script.cwd) == (9, False, "/work")
    assert (script.env["OMP_NUM_THREADS"], script.env["PYTHONPATH"]) == ("2", "")
    kernel = program.program(JobSpec(id="b" * 12, kind=Kind.SESSION, files=(file,)), LIMITS, 2)
    assert kernel == program.session_program(LIMITS, 2), "so it can be started before its session is known"
    assert kernel.session
    assert kernel.argv[-1] == "/homie/runner/homie_core/runner/kernel.py"
    assert kernel.timeout > LIMITS.timeout + LIMITS.idle, "its host comes first"
    assert kernel.env["PYTHONPATH"] == "/homie/env/0:/homie/env/1"


async def test_attached_stream_in_single_bytes(short_tmp: Path) -> None:
    def piece(stream: int, data: bytes) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data

    said = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n" + piece(1, b"one") + piece(2, b"bad") + piece(1, b"")
    said += piece(1, b"two") + piece(2, os.urandom(attached.MAX_ERRORS))
    asked = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.extend(await reader.readuntil(b"\r\n\r\n"))
        for byte in said:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, f"{short_tmp}/engine")
    async with server:
        stream, writer = await engine.Engine(f"unix://{short_tmp}/engine").attach("c0")
        assert await stream.reader.read() == b"onetwo"
        writer.close()
    assert asked.startswith(b"POST /containers/c0/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n")
    assert len(stream.errors) == attached.MAX_ERRORS
    assert not stream.errors.startswith(b"bad")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n{no such container}", "404 Not Found .no such container"),
        (b"\0" * 70_000, "makes no sense"),
        (b"HTTP/1.1 101", "hung up"),
    ],
)
async def test_engine_that_gives_no_stream(short_tmp: Path, said: bytes, why: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(answer, f"{short_tmp}/engine")
    async with server:
        with pytest.raises(SandboxError, match=why):
            await engine.Engine(f"unix://{short_tmp}/engine").attach("c0")
