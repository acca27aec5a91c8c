"""What confines a job equals a profile kept beside this: as Docker says it, as Podman and bubblewrap are told it.

After a change that is meant: `HOMIE_GOLDEN=write pytest tests/attacks/test_golden_profile.py`, and read the diff.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from bubblewrap_locks import parse
from sandbox_lab import LIMITS, NODE, Lab

from homie_core.sandbox.base import Box
from homie_core.sandbox.bubblewrap.arguments import MASKED, Host, job_arguments
from homie_core.sandbox.dialect import PODMAN
from homie_core.sandbox.profile import User, job_profile

GOLDEN = Path(__file__).with_name("golden_profile.json")
PODMANS = Path(__file__).with_name("golden_podman.json")
BUBBLEWRAP = Path(__file__).with_name("golden_bubblewrap.json")
PACKAGE = Path(__file__).parents[2]
CONFIG = (
    "User", "Hostname", "Domainname", "AttachStdin", "OpenStdin", "StdinOnce", "Tty", "Cmd", "Entrypoint",
    "WorkingDir", "Volumes", "ExposedPorts", "NetworkDisabled", "Healthcheck", "Labels",
)  # fmt: skip
NOT_OURS = {"Runtime", "ConsoleSize", "Isolation", "Annotations"}
"""Of the engine's own, and different from one to the other."""


def normalised(found: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return what confines a container, without what differs from job to job and engine to engine."""
    host = {key: value for key, value in found["HostConfig"].items() if value and key not in NOT_OURS}
    host["SecurityOpt"] = sorted(option.partition("={")[0] for option in host["SecurityOpt"])
    host["Ulimits"] = sorted(host["Ulimits"], key=lambda limit: limit["Name"])
    for masked in ("MaskedPaths", "ReadonlyPaths"):
        host[masked] = "not empty" if host.get(masked) else "EMPTY"
    container = {key: found["Config"].get(key) for key in CONFIG}
    text = json.dumps({"Config": container, "HostConfig": host}, indent=1, sort_keys=True)
    for value, name in names.items():
        text = text.replace(value, name)
    return json.loads(text)  # type: ignore[no-any-return]


def compare(told: Any, golden: Path) -> None:
    if os.environ.get("HOMIE_GOLDEN") == "write":
        golden.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    assert told == json.loads(golden.read_text())


@pytest.mark.docker
@pytest.mark.parametrize("prepared", ["docker"], indirect=True)
async def test_a_jobs_container_is_as_agreed(lab: Lab) -> None:
    box = lab.box("print(1)", LIMITS)
    sandbox = await lab.backend.create(box)
    try:
        engine = lab.backend._engine  # type: ignore[union-attr]
        found = await engine.call(engine.client.inspect_container, sandbox._container)  # type: ignore[union-attr]
    finally:
        await sandbox.remove()
    user = f"{lab.backend.uid}:{lab.backend.gid}"
    who = f"uid={lab.backend.uid},gid={lab.backend.gid}"
    names = {
        str(box.folder): "BOX",
        str(PACKAGE): "PACKAGE",
        user: "USER",
        who: "WHO",
        box.job: "JOB",
        NODE: "NODE",
    }
    compare(normalised(found, names), GOLDEN)


def test_a_jobs_podman_is_as_agreed() -> None:
    box = Box("NODE", "JOB", LIMITS, Path("/BOX"), (Path("/ENVIRONMENT"),))
    root, plain = User(10001, 10001), User(1000, 1000, "keep-id")
    package, seccomp = Path("/PACKAGE"), "/PACKAGE/seccomp.json"
    told = {
        "root": asdict(job_profile(box, "IMAGE", root, package, seccomp, PODMAN)),
        "plain user, limits dropped": asdict(
            job_profile(box, "IMAGE", plain, package, seccomp, PODMAN, limited=False)
        ),
    }
    compare(told, PODMANS)


def arguments(root: bool, groups: bool) -> list[str]:
    """Of a job on a machine that has one of each: an argument a line, as bubblewrap takes them."""
    host = Host(
        executable="/opt/python/bin/python3.12",
        prefix="/opt/python",
        parts=("bin", "lib"),
        links=(("/bin", "usr/bin"),),
        folders=("/lib64",),
        masked=MASKED,
        user=User(10001, 10001) if root else User(1000, 1000),
        root=root,
        groups=groups,
    )
    box = Box("NODE", "JOB", LIMITS, Path("/BOX"), (Path("/ENVIRONMENT"),))
    options, command = parse(job_arguments(box, host, Path("/PACKAGE")))
    return [*(" ".join(option) for option in options), "--", *command]


def test_a_jobs_bubblewrap_is_as_agreed() -> None:
    told = {
        "root": arguments(root=True, groups=True),
        "root, without control groups": arguments(root=True, groups=False),
        "plain user": arguments(root=False, groups=False),
    }
    compare(told, BUBBLEWRAP)
