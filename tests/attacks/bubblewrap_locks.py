"""Every lock of a bubblewrap sandbox: how to take it away, and the attack that then gets through.

A lock is an argument, a limit of the control group, or something that the daemon does beside the sandbox.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from homie_core.model.job import Limits
from homie_core.sandbox.bubblewrap.arguments import OUTRANK
from homie_core.sandbox.bubblewrap.syscalls import ALLOW, RETURN

ROOT, PLAIN = "root", "plain user"
BOTH = (ROOT, PLAIN)
ARITY = {
    "--setenv": 2, "--ro-bind": 2, "--ro-bind-try": 2, "--bind": 2, "--bind-try": 2, "--symlink": 2,
    "--dir": 1, "--perms": 1, "--size": 1, "--tmpfs": 1, "--proc": 1, "--dev": 1, "--hostname": 1, "--chdir": 1,
    "--remount-ro": 1,
}  # fmt: skip
"""How many values each option has; the others have none."""

Option = tuple[str, ...]


@dataclass
class Confinement:
    """What one sandbox is made of; to be taken apart."""

    options: list[Option]
    """Of bubblewrap, each with its values."""
    command: list[str]
    seccomp: bytes
    limits: Limits
    """What the control group holds, where there is one."""
    watched: bool = True


def parse(arguments: list[str]) -> tuple[list[Option], list[str]]:
    """Return the options and, after them, the command."""
    options, at = [], 0
    while arguments[at] != "--":
        end = at + 1 + ARITY.get(arguments[at], 0)
        options.append(tuple(arguments[at:end]))
        at = end
    return options, arguments[at + 1 :]


@dataclass(frozen=True)
class Lock:
    """One thing that keeps a job from one attack."""

    take_away: Callable[[Confinement], None]
    attack: str
    whose: tuple[str, ...] = BOTH
    """Whose sandboxes have it."""
    behind: str = ""
    """The lock in front of it: the attack gets through only without both."""


def without(*options: Option) -> Callable[[Confinement], None]:
    def change(of: Confinement) -> None:
        for option in options:
            of.options.remove(option)

    return change


def without_size_of(place: str) -> Callable[[Confinement], None]:
    def change(of: Confinement) -> None:
        size = of.options.index(("--tmpfs", place)) - 1
        assert of.options.pop(size)[0] == "--size"

    return change


def writable(target: str) -> Callable[[Confinement], None]:
    def change(of: Confinement) -> None:
        [at] = [at for at, (name, *values) in enumerate(of.options) if values[1:] == [target] and "bind" in name]
        name, *values = of.options[at]
        of.options[at] = (name.replace("--ro-", "--"), *values)
        assert of.options[at][0] != name

    return change


def visible(target: str) -> Callable[[Confinement], None]:
    def change(of: Confinement) -> None:
        of.options.remove(("--ro-bind", "/dev/null", target))

    return change


def unsaid(*words: str, instead: tuple[str, ...] = ()) -> Callable[[Confinement], None]:
    """Take away words of the command that stand together; each may be the start of one."""

    def change(of: Confinement) -> None:
        starts = range(len(of.command) - len(words) + 1)
        [at] = [at for at in starts if all(map(str.startswith, of.command[at:], words))]
        of.command[at : at + len(words)] = instead

    return change


def any_call(of: Confinement) -> None:
    of.seccomp = struct.pack("=HBBI", RETURN, 0, 0, ALLOW)


def unlimited(**limits: int) -> Callable[[Confinement], None]:
    def change(of: Confinement) -> None:
        of.limits = msgspec.structs.replace(of.limits, **limits)

    return change


def unwatched(of: Confinement) -> None:
    of.watched = False


LOCKS = {
    "--unshare-ipc": Lock(without(("--unshare-ipc",)), "find_the_host's_shared_memory"),
    "--unshare-pid": Lock(without(("--unshare-pid",), ("--as-pid-1",)), "see_the_host's_processes"),
    "--unshare-net": Lock(without(("--unshare-net",)), "reach_the_host"),
    "--unshare-uts": Lock(without(("--unshare-uts",), ("--hostname", "homie")), "learn_the_host's_name"),
    "--hostname": Lock(without(("--hostname", "homie")), "learn_the_host's_name"),
    "--unshare-cgroup": Lock(without(("--unshare-cgroup-try",)), "share_the_host's_control_groups"),
    "--new-session": Lock(without(("--new-session",)), "signal_the_launcher"),
    "--as-pid-1": Lock(without(("--as-pid-1",)), "kill_the_runner"),
    "--clearenv": Lock(without(("--clearenv",)), "read_the_owner's_environment"),
    "/proc/keys": Lock(visible("/proc/keys"), "list_the_owner's_keys"),
    # The same is done to the other files of /proc that are masked; here is none to show it with.
    "size of /dev/shm": Lock(without_size_of("/dev/shm"), "fill_shm"),
    "size of /tmp": Lock(without_size_of("/tmp"), "fill_tmp"),
    "read-only environment": Lock(writable("/homie/env/0"), "change_an_environment"),
    "read-only root": Lock(without(("--remount-ro", "/")), "fill_the_root", (PLAIN,)),
    "read-only root, whoever owns it": Lock(without(("--remount-ro", "/")), "find_a_writable_mount"),
    "read-only /dev": Lock(without(("--remount-ro", "/dev")), "fill_dev", (PLAIN,)),
    "read-only /dev, whoever owns it": Lock(without(("--remount-ro", "/dev")), "find_a_writable_mount"),
    "oom_score_adj": Lock(unsaid(OUTRANK, instead=('exec "$@"',)), "outlive_the_owner's_programs"),
    "nofile": Lock(unsaid("--nofile="), "open_files"),
    "fsize": Lock(unsaid("--fsize="), "make_a_huge_file"),
    "core": Lock(unsaid("--core="), "dump_core"),
    "seccomp": Lock(any_call, "io_uring"),
    # As root, bubblewrap keeps what root has.
    "--reuid": Lock(unsaid("--reuid", ""), "be_root", (ROOT,)),
    "--regid": Lock(unsaid("--regid", ""), "be_in_root's_group", (ROOT,)),
    "--clear-groups": Lock(
        unsaid("--clear-groups", instead=("--keep-groups",)), "keep_the_daemon's_groups", (ROOT,)
    ),
    "--bounding-set": Lock(unsaid("--bounding-set=-all"), "hold_capabilities", (ROOT,)),
    "--inh-caps": Lock(unsaid("--inh-caps=-all"), "inherit_capabilities", (ROOT,)),
    "memory": Lock(unlimited(memory=1 << 40), "take_memory", (ROOT,)),
    "pids": Lock(unlimited(pids=1000), "fork", (ROOT,)),
    "cpu": Lock(unlimited(cpus=64), "take_cpu", (ROOT,)),
    # Without a control group: what each process may do, and the watchdog.
    "--disable-userns": Lock(without(("--disable-userns",)), "make_a_user_namespace", (PLAIN,), behind="seccomp"),
    "nproc": Lock(unsaid("--nproc="), "fork", (PLAIN,)),
    "data": Lock(unsaid("--data="), "grab_memory_at_once", (PLAIN,)),
    "nice": Lock(unsaid("nice", "-n", "10"), "outrun_the_owner", (PLAIN,)),
    "watchdog": Lock(unwatched, "keep_memory", (PLAIN,)),
}

NEEDED_BY_OTHERS = {("--unshare-user",): "--disable-userns wants it said; a plain user gets it anyway"}
"""Arguments that bubblewrap itself demands, without which none of the above can be."""

NOT_LOCKS = {"--setenv", "--proc", "--dev", "--perms", "--dir", "--symlink", "--bind", "--tmpfs", "--chdir"}
"""Options that give a job something; the golden arguments hold them."""
