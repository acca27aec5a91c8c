"""Whom a job is: inside, where engines may map users, and on this machine, where its files lie."""

import os
from pathlib import Path
from typing import Any

from homie_core.model.errors import SandboxError
from homie_core.sandbox.dialect import Dialect
from homie_core.sandbox.profile import User

JOB_UID = 10001
"""Whom jobs are when the daemon is root: nobody else on the machine."""

MARK = "owner"
"""The file that the probe makes: whom it belongs to out here was seen, not assumed."""


def rootless(info: dict[str, Any]) -> bool:
    """Return whether this engine runs as a plain user."""
    named = any("rootless" in option for option in info.get("SecurityOptions") or ())
    return named or bool(info.get("Rootless"))  # Docker's way to say it, and Podman's


def user_inside(dialect: Dialect, info: dict[str, Any], uid: int, gid: int) -> User:
    """Return whom jobs are inside, for a daemon that runs as uid and gid here. Pure.

    Root can give files to whomever the engine maps a stranger to. What a plain user's engine runs as anybody
    but that user would leave files that he can neither read nor delete; so there a job is him, with less rights.
    """
    if uid == 0:
        return User(JOB_UID, JOB_UID)
    if rootless(info):
        return User(uid, gid, dialect.keep_id) if dialect.keep_id else User(0, 0)
    remapped = any("userns" in option for option in info.get("SecurityOptions") or ())
    return User(uid, gid, "host" if remapped else "")


def user_here(folder: Path, uid: int) -> User:
    """Return whom a job's files belong to on this machine, for a daemon that runs as uid.

    Raises SandboxError if the job and the daemon could not both use them.
    """
    try:
        status = (folder / MARK).stat()
    except FileNotFoundError as error:
        raise SandboxError(
            "what it writes does not appear on this machine; is the engine on another one? Use one of this machine"
        ) from error
    if status.st_uid == 0:
        raise SandboxError("the engine runs it as this machine's root")
    if uid not in (0, status.st_uid):
        raise SandboxError(
            f"the engine gives its files to user {status.st_uid}, and this daemon runs as user {uid}: use an "
            "engine of this user, or set DOCKER_HOST or CONTAINER_HOST if it is not at the usual place"
        )
    return User(status.st_uid, status.st_gid)


def hand_over(folder: Path, user: User) -> None:
    """Give a whole tree of ours to a user; no link is followed."""
    os.chown(folder, user.uid, user.gid)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(where) / name, user.uid, user.gid, follow_symlinks=False)
