"""What a bubblewrap sandbox of ours may do, as arguments. Pure: the same box gives the same arguments."""

from dataclasses import dataclass, replace
from pathlib import Path

from homie_core.model.job import Limits
from homie_core.sandbox.base import ENVIRONMENTS, RUNNER, SPOOL, WORK, Box
from homie_core.sandbox.profile import HOSTNAME, MAIN, MAX_FILE, User, etc_files

BIN = "/homie/bin"
"""Where `python3` is found first, inside."""

MASKED = ("keys", "latency_stats", "sched_debug")
"""Files of /proc that tell everybody about the host: the daemon's session keyring, say, which jobs inherit."""

OUTRANK = 'echo 1000 >/proc/self/oom_score_adj && exec "$@"'
"""If the machine itself runs out of memory, jobs go first."""

SLACK = 512 << 20
"""Bytes of data that one process may ask for, beyond twice the job's memory, where no control group holds it:
stacks of threads, say. Only a backstop against what grows faster than the watchdog looks."""

NICE = 10
"""Without a share of the processors to hold, jobs at least give way to the owner."""


@dataclass(frozen=True)
class Host:
    """What is to be known of this machine before a sandbox can be made on it."""

    executable: str
    """The interpreter that jobs get: the real one, never that of a virtual environment."""
    prefix: str
    """The folder it is installed in."""
    parts: tuple[str, ...]
    """The folders in `prefix` that a Python needs, of those that are there; none if `prefix` is below /usr."""
    links: tuple[tuple[str, str], ...]
    """Top-level links into /usr, (name, target): `("/bin", "usr/bin")`."""
    folders: tuple[str, ...]
    """Top-level system folders that are no links."""
    masked: tuple[str, ...]
    """Those of `MASKED` that this kernel has."""
    user: User
    """Whom jobs are."""
    root: bool
    """Whether the caller is root: then the user is changed inside, and no user namespace is needed."""
    groups: bool
    """Whether control groups hold memory, processes and processors."""


def job_arguments(box: Box, host: Host, runner: Path) -> list[str]:
    """Return the arguments of a job's sandbox; `box.folder` holds `etc/` as `etc_files` of this module gives it.

    `runner` is the host's folder that has homie_core in it.
    """
    package = MAIN.rpartition("/")[0]
    mounts = [
        *("--bind", str(box.work), WORK),
        *("--bind", str(box.spool), SPOOL),
        *_below("/homie", RUNNER, f"{RUNNER}/homie_core"),
        *("--ro-bind", str(runner / package), f"{RUNNER}/{package}"),
        *_below(ENVIRONMENTS),
    ]
    for number, path in enumerate(box.environments):
        mounts += ["--ro-bind", str(path), f"{ENVIRONMENTS}/{number}"]
    for name in sorted(etc(host.user)):
        mounts += ["--ro-bind", str(box.folder / "etc" / name), f"/etc/{name}"]
    command = ["python3", "-I", "-S", f"{RUNNER}/{MAIN}", SPOOL]
    return _arguments(host, box.limits, mounts, WORK, command)


def python_arguments(host: Host, limits: Limits, *arguments: str, writable: Path | None = None) -> list[str]:
    """Return the arguments that run the interpreter for ourselves; `writable` becomes environment 0."""
    mounts = [*_below("/homie", ENVIRONMENTS)]
    if writable:
        mounts += ["--bind", str(writable), f"{ENVIRONMENTS}/0"]
    alone = replace(host, groups=False)  # no control group is made for these
    return _arguments(alone, limits, mounts, "/", ["python3", "-I", "-S", *arguments])


def etc(user: User) -> dict[str, str]:
    """Return the files of /etc, and what they hold."""
    return {**etc_files(user), "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n"}


def _arguments(host: Host, limits: Limits, mounts: list[str], folder: str, command: list[str]) -> list[str]:
    """Return what every sandbox of ours has in common: no network, no privilege, nothing of the host to write.

    The runner is process 1, which nothing inside can kill. There is no --die-with-parent: it would fire when the
    thread that started it ends, and a job outlives its daemon. By itself bubblewrap sets no_new_privs, keeps the
    caller's uid and, for a plain user, drops all capabilities. Each lock here is taken away once in
    tests/attacks/test_bubblewrap_mutations.py.
    """
    user = host.user
    become = [
        *("setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--"),
    ]
    alone = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    return [
        *([] if host.root else ["--unshare-user", "--disable-userns"]),
        *alone,
        *("--hostname", HOSTNAME, "--new-session", "--as-pid-1", "--clearenv"),
        *("--setenv", "PATH", f"{BIN}:/usr/local/bin:/usr/bin:/bin", "--setenv", "HOME", "/tmp"),  # noqa: S108
        *_system(host),
        *("--proc", "/proc", "--dev", "/dev"),
        *(part for name in host.masked for part in ("--ro-bind", "/dev/null", f"/proc/{name}")),
        *("--perms", "1777", "--size", str(limits.memory // 2), "--tmpfs", "/dev/shm"),  # noqa: S108
        *("--perms", "1777", "--size", str(limits.tmp), "--tmpfs", "/tmp"),  # noqa: S108
        *mounts,
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", folder, "--"),
        *("/bin/sh", "-c", OUTRANK, "sh"),
        *_ration(host, limits),
        *(become if host.root else []),
        *command,
    ]


def _ration(host: Host, limits: Limits) -> list[str]:
    """Return what sets the limits that the kernel keeps for each process; set inside, while they may be."""
    wanted = ["prlimit", f"--nofile={limits.open_files}", f"--fsize={MAX_FILE}", "--core=0"]
    if host.groups:
        return [*wanted, "--"]
    wanted.append(f"--data={2 * limits.memory + SLACK}")
    if not host.root:  # counted in the job's own user namespace; for root's jobs it would count all jobs together
        wanted.append(f"--nproc={limits.pids}")
    return [*wanted, "--", "nice", "-n", str(NICE)]


def _system(host: Host) -> list[str]:
    """Return how the host's programs, libraries and interpreter come in, each at its own place, to be read."""
    wanted = ["--ro-bind", "/usr", "/usr"]
    for name, target in host.links:
        wanted += ["--symlink", target, name]
    for name in host.folders:
        wanted += ["--ro-bind", name, name]
    wanted += _below("/etc")
    for name in ("/etc/ld.so.cache", "/etc/alternatives"):
        wanted += ["--ro-bind-try", name, name]
    if host.parts:  # parents by hand: those that bubblewrap makes by itself may be closed to the job
        wanted += _below(*(str(parent) for parent in reversed(Path(host.prefix, "x").parents[:-1])))
    for part in host.parts:
        wanted += ["--ro-bind", f"{host.prefix}/{part}", f"{host.prefix}/{part}"]
    wanted += _below("/homie", BIN)
    return [*wanted, "--symlink", host.executable, f"{BIN}/python3", "--symlink", "python3", f"{BIN}/python"]


def _below(*folders: str) -> list[str]:
    return [part for folder in folders for part in ("--perms", "0755", "--dir", folder)]
