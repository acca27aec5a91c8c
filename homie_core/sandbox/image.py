"""Are this engine and this image fit for jobs? What they say of themselves is tried, not believed."""

from typing import Any

import msgspec

from homie_core.model.errors import SandboxError
from homie_core.sandbox.base import Interpreter

OLDEST_PYTHON = (3, 11)
PROBE_MEMORY = 128 << 20

PROBE = """
import json, os, sys
def read(path):
    try:
        with open(path) as file: return file.read()
    except OSError: return ""
status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines() if ":" in line)
try: libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError): libc = ""
memory = read("/sys/fs/cgroup/memory.max") or read("/sys/fs/cgroup/memory/memory.limit_in_bytes")
print(json.dumps({"version": list(sys.version_info[:2]), "machine": os.uname().machine, "libc": libc or "",
    "confined": [status.get(name, "").strip() for name in ("NoNewPrivs", "Seccomp", "CapEff")],
    "memory": memory.strip()}))
"""


class Probed(msgspec.Struct, frozen=True):
    """What the image's Python says about itself and its confinement."""

    version: tuple[int, int]
    machine: str
    libc: str
    confined: tuple[str, str, str]
    memory: str


def fit(probed: Probed) -> Interpreter:
    """Return the image's Python if jobs can use it and are confined in it; raise SandboxError with the reason."""
    version = f"{probed.version[0]}.{probed.version[1]}"
    if probed.version < OLDEST_PYTHON:
        raise SandboxError(f"its Python is {version}")
    name, _, libc = probed.libc.partition(" ")
    if name != "glibc":
        raise SandboxError("it has no glibc, which ready-made packages need")
    if probed.confined != ("1", "2", "0000000000000000"):
        raise SandboxError("the engine did not take its privileges away")
    if probed.memory != str(PROBE_MEMORY):
        raise SandboxError("the engine did not limit its memory")
    return Interpreter(version=version, machine=probed.machine, glibc=libc)


def refuse_unfit(info: dict[str, Any]) -> None:
    """Raise SandboxError if this engine cannot hold a job's limits."""
    if any("rootless" in option or "userns" in option for option in info.get("SecurityOptions") or ()):
        raise SandboxError(
            "this Docker engine maps users (rootless or userns-remap), so jobs could not use their files; "
            "use an ordinary engine, and set DOCKER_HOST if it is not at the usual place"
        )
    lacking = [what for what in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not info.get(what)]
    if lacking:
        raise SandboxError(
            f"this Docker engine cannot limit what a job uses ({', '.join(lacking)}): enable the kernel's "
            "cgroups for it (on a Raspberry Pi: cgroup_enable=memory in cmdline.txt), then restart Docker"
        )
