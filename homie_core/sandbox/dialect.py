"""What container engines differ in that speak Docker's API. All the rest is the same code for all of them."""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """One kind of engine, as it was measured."""

    kind: str
    """For people: `docker 28.2`."""
    seccomp_by_path: bool
    """Whether a seccomp profile is named by its path on the engine's machine; else its text is handed over."""
    tmpfs_limits: bool
    """Whether a tmpfs can be given an owner and a cap of its files."""
    closed: tuple[str, ...]
    """Places that it makes writable, whatever it was told, unless something else is there."""
    healthcheck: bool
    """Whether an image's health check can be switched off; else it is only left alone."""
    processes: bool
    """Whether it must be told a limit of processes per user: its own may be more than it may grant."""
    tells_memory: bool
    """Whether it says that the kernel killed a process for its memory; else the runner does, by its status."""
    reattaches: bool
    """Whether a container's input stays open for who attaches next; else named pipes reach its runner."""
    cards: bool
    """Whether it gives graphics cards by their ids; else it would forget silently that it was asked to."""
    runtimes: bool
    """Whether a container may ask for another runtime than the engine's; else it would be forgotten silently."""
    keep_id: str
    """The user namespace, made by a plain user's engine, in which that user has the number that it has outside;
    empty if there is none: then it is root, inside, that this user is."""


DOCKER = Dialect(
    kind="docker",
    seccomp_by_path=False,
    tmpfs_limits=True,
    closed=(),
    healthcheck=True,
    processes=False,
    tells_memory=True,
    reattaches=True,
    cards=True,
    runtimes=True,
    keep_id="",
)
PODMAN = Dialect(
    kind="podman",
    seccomp_by_path=True,
    tmpfs_limits=False,
    closed=("/run", "/var/tmp"),  # noqa: S108 - inside
    healthcheck=False,
    processes=True,
    tells_memory=False,
    reattaches=False,
    cards=False,
    runtimes=False,
    keep_id="keep-id",
)


def dialect_of(version: dict[str, Any]) -> Dialect:
    """Return which kind of engine this is, by what it says: Podman may listen at Docker's address."""
    names = (str(part.get("Name", "")) for part in version.get("Components") or ())
    return PODMAN if any(re.match("podman", name, re.IGNORECASE) for name in names) else DOCKER
