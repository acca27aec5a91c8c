"""What a container of ours may do, as the arguments that create it. Pure: the same box gives the same profile."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homie_core.model.job import Limits
from homie_core.runner import frames
from homie_core.sandbox.base import ENVIRONMENTS, PIPES, RUNNER, SPOOL, WORK, Box
from homie_core.sandbox.dialect import DOCKER, Dialect

NODE_LABEL = "homie.node"
JOB_LABEL = "homie.job"
HOSTNAME = "homie"
ETC = ("passwd", "group", "hosts")
MAIN = "homie_core/runner/__main__.py"
MAX_FILE = 64 << 30
"""Bytes of one file: a backstop, since a bind mount has no limit of its own."""
MAX_PROCESSES = 16384
"""Processes of all jobs together, where an engine must be told one: no limit of ours."""


@dataclass(frozen=True)
class User:
    """Whom the processes inside are: never the host's root for a job."""

    uid: int
    gid: int
    namespace: str = ""
    """The user namespace to ask for; empty: the engine's own choice. `host`: none. Else one of its own."""


@dataclass(frozen=True)
class Profile:
    """Arguments of docker-py's `create_container` and of its `create_host_config`."""

    container: dict[str, Any]
    host: dict[str, Any]


def job_profile(
    box: Box,
    image: str,
    user: User,
    runner: Path,
    seccomp: str,
    dialect: Dialect = DOCKER,
    limited: bool = True,
) -> Profile:
    """Return the profile of a job's sandbox; `box.folder` holds `etc/` as `etc_files` gives it, and pipes
    for an engine that does not attach twice.

    `runner` is the host's folder that has homie_core in it; `seccomp` the profile as JSON text, or its
    path, as the engine's dialect wants it. An engine that drops limits (not `limited`) leaves some to the runner.
    """
    package = MAIN.rpartition("/")[0]
    mounts = [
        _mount(box.work, WORK, writable=True),
        _mount(box.spool, SPOOL, writable=True),
        _mount(runner / package, f"{RUNNER}/{package}"),
        *(_mount(box.folder / "etc" / name, f"/etc/{name}") for name in ETC),
        *(_mount(path, f"{ENVIRONMENTS}/{number}") for number, path in enumerate(box.environments)),
    ]
    confined = confinement(image, user, box.limits, seccomp, dialect)
    asked: dict[str, Any] = {}
    if not dialect.reattaches:  # read-only: that goes for their names, not for what goes through them
        mounts += [_mount(box.folder / name, f"{PIPES}/{name}") for name in frames.PIPES]
        asked["pipes"] = PIPES
    if not dialect.tells_memory:
        asked["tell_memory"] = True
    if not limited:
        asked["rlimits"] = {limit["Name"]: limit["Hard"] for limit in confined.host["ulimits"]}
    return Profile(
        container={
            **confined.container,
            "entrypoint": [
                "python3",
                "-I",
                "-S",
                f"{RUNNER}/{MAIN}",
                SPOOL,
                *([json.dumps(asked)] if asked else []),
            ],
            "working_dir": WORK,
            "stdin_open": dialect.reattaches,
            "labels": {NODE_LABEL: box.node, JOB_LABEL: box.job},
        },
        host={
            **confined.host,
            "mounts": mounts,
            "device_requests": [{"device_ids": list(box.limits.gpus), "capabilities": [["gpu"]]}]
            if box.limits.gpus
            else [],
        },
    )


def probe_profile(
    folder: Path, image: str, user: User, limits: Limits, seccomp: str, probe: str, dialect: Dialect = DOCKER
) -> Profile:
    """Return the profile that runs a Python program of ours, which can write to this folder."""
    confined = confinement(image, user, limits, seccomp, dialect)
    return Profile(
        container={**confined.container, "entrypoint": ["python3", "-I", "-S", "-c", probe]},
        host={**confined.host, "mounts": [_mount(folder, WORK, writable=True)]},
    )


def compile_profile(folder: Path, image: str, user: User, seccomp: str, dialect: Dialect = DOCKER) -> Profile:
    """Return the profile that compiles a folder of packages to bytecode, for this image's Python."""
    limits = Limits(cpus=1, memory=1 << 30, timeout=600, tmp=16 << 20)
    confined = confinement(image, user, limits, seccomp, dialect)
    # Unchecked: the environment never changes, and checking costs a stat per import.
    compiling = ["-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", f"{ENVIRONMENTS}/0"]
    return Profile(
        container={**confined.container, "entrypoint": ["python3", "-I", "-S", *compiling]},
        host={**confined.host, "mounts": [_mount(folder, f"{ENVIRONMENTS}/0", writable=True)]},
    )


def confinement(image: str, user: User, limits: Limits, seccomp: str, dialect: Dialect = DOCKER) -> Profile:
    """Return what every container of ours has in common: no network, no privilege, capped everything.

    There is no init: the runner is process 1, which nothing inside can kill, and which reaches all others.
    """
    tmp = f"rw,nosuid,nodev,exec,size={limits.tmp},mode=1777"
    if dialect.tmpfs_limits:
        tmp += f",nr_inodes=10k,uid={user.uid},gid={user.gid}"
    ulimits = [_ulimit("nofile", limits.open_files), _ulimit("fsize", MAX_FILE), _ulimit("core", 0)]
    if dialect.processes:  # in a user namespace of its own they are the job's alone
        ulimits.append(_ulimit("nproc", limits.pids if user.namespace == dialect.keep_id else MAX_PROCESSES))
    return Profile(
        container={
            "image": image,
            "command": [],
            "user": f"{user.uid}:{user.gid}",
            "hostname": HOSTNAME,
            "network_disabled": True,
            "detach": True,
            "stop_timeout": 0,  # Podman asks before it removes by force, and waits for so long
            **({"healthcheck": {"test": ["NONE"]}} if dialect.healthcheck else {}),
            "use_config_proxy": False,  # its address may hold the owner's password
        },
        host={
            "network_mode": "none",
            "ipc_mode": "private",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true", f"seccomp={seccomp}"],
            "log_config": {"type": "none", "config": {}},
            "mem_limit": limits.memory,
            "memswap_limit": limits.memory,
            "shm_size": limits.memory // 2,
            # No nano_cpus: it would block a later update.
            "cpu_period": 100_000,
            "cpu_quota": max(1000, round(limits.cpus * 100_000)),
            "pids_limit": limits.pids,
            "oom_score_adj": 1000,
            "ulimits": ulimits,
            "tmpfs": {"/tmp": tmp, **dict.fromkeys(dialect.closed, "ro,size=4k")},  # noqa: S108
        },
    )


def etc_files(user: User) -> dict[str, str]:
    """Return what /etc needs, so that a user without a name, or localhost, is no surprise to a program."""
    job = f"job:x:{user.uid}:{user.gid}:job:/tmp:/bin/sh\n"
    return {
        "passwd": job if user.uid == 0 else f"root:x:0:0:root:/root:/sbin/nologin\n{job}",
        "group": f"job:x:{user.gid}:\n" if user.gid == 0 else f"root:x:0:\njob:x:{user.gid}:\n",
        "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
    }


def _mount(source: Path, target: str, writable: bool = False) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": not writable}


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
