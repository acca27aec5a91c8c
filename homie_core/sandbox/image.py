"""Are this engine and this image fit for jobs? What they say of themselves is tried, not believed."""

from typing import Any

import msgspec

from homie_core.model.errors import SandboxError
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.dialect import Dialect
from homie_core.sandbox.owner import rootless

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
open("/work/owner", "w").close()
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
    return Interpreter(version=version, machine=probed.machine, glibc=libc)


def limited(probed: Probed) -> bool:
    """Return whether the engine limits memory, and so the rest: on some it claims to, and does not."""
    return probed.memory == str(PROBE_MEMORY)


def refuse_unfit(info: dict[str, Any]) -> None:
    """Raise SandboxError if root's engine cannot hold a job's limits; a plain user's is taken with less."""
    lacking = [what for what in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not info.get(what)]
    if lacking and not rootless(info):
        raise SandboxError(
            f"this container engine cannot limit what a job uses ({', '.join(lacking)}): enable the kernel's "
            "cgroups for it (on a Raspberry Pi: cgroup_enable=memory in cmdline.txt), then restart it"
        )


def refuse_runtime(runtime: str, info: dict[str, Any], dialect: Dialect) -> None:
    """Raise SandboxError if jobs would not run with this runtime (empty: any): some engines would not say so."""
    known = sorted(info.get("Runtimes") or ()) if dialect.runtimes else [str(info.get("DefaultRuntime"))]
    # A containerd shim needs no entry in the engine's configuration.
    if runtime and runtime not in known and not (dialect.runtimes and runtime.startswith("io.containerd.")):
        raise SandboxError(
            f"sandbox_runtime is {runtime}, and {dialect.kind} runs containers with {' or '.join(known)}: install "
            f"{runtime} and name it in the engine's configuration, or take the engine's own: "
            "homie config set sandbox_runtime ''"
        )
